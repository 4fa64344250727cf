# syntax=docker/dockerfile:1
# One static binary, two images:
#   docker build --target controller -t quay.io/ferrolb/controller:v0.1.0 .
#   docker build --target speaker    -t quay.io/ferrolb/speaker:v0.1.0 .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# glibc, linked statically: no dynamic loader, no libraries in the images.
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN cargo build --release --locked --target "$(rustc -vV | sed -n 's/^host: //p')" \
 && install -D target/*/release/ferrolb /out/ferrolb
RUN apt-get update && apt-get install -y --no-install-recommends busybox-static

FROM scratch AS controller
COPY --from=build /out/ferrolb /controller
ENTRYPOINT ["/controller"]

FROM scratch AS speaker
COPY --from=build /out/ferrolb /speaker
# What the init containers of metallb-frr.yaml call: a shell, cp, and the two files they copy.
COPY --from=build /bin/busybox /bin/sh
COPY --from=build /bin/busybox /bin/cp
COPY --from=build /bin/busybox /bin/sleep
COPY manifests/image/frr-reloader.sh /frr-reloader.sh
# The same program again, for whoever copies it into another image: it serves the figures of BGP and BFD there.
COPY --from=build /out/ferrolb /frr-metrics
ENTRYPOINT ["/speaker"]
