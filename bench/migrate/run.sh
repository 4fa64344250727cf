#!/bin/bash
# bench/migrate/run.sh: time and memory of `ferrolb migrate convert`, `verify` and `reverse` for a ConfigMap of 1 MiB with 10,000
# pools, one line each: name value unit limit. The program is FERROLB= (default: this project's, built with the profile `lab` here).
# Exits with 1 where a limit is missed. Needs GNU time.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [[ -z ${FERROLB:-} ]]; then
  cargo build --locked --profile lab >&2
fi
ferrolb=${FERROLB:-$PWD/target/lab/ferrolb}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
missed=0

# Names that no resource can have, so that each gets a new one; half of the pools for BGP, with an advertisement.
config_map() {
  echo "apiVersion: v1"
  echo "kind: ConfigMap"
  echo "metadata: {name: config, namespace: metallb-system}"
  echo "data:"
  echo "  config: |"
  echo "    peers:"
  echo "    - {my-asn: 64512, peer-asn: 64513, peer-address: 203.0.113.1, password: secret}"
  echo "    address-pools:"
  awk 'BEGIN {
    for (i = 0; i < 10000; i++) {
      address = sprintf("10.%d.%d.0/28", i / 250, i % 250)
      if (i % 2) printf "    - {name: Pool_%d, protocol: layer2, addresses: [%s]}\n", i, address
      else printf "    - {name: Pool_%d, protocol: bgp, addresses: [%s], bgp-advertisements: [{localpref: %d}]}\n", i, address, i
    }
  }'
}
config_map >"$folder/config.yaml"

figure() { # NAME COMMAND...
  local name=$1 seconds memory; shift
  /usr/bin/time -f '%e %M' -o "$folder/time" "$@" >"$folder/out" 2>"$folder/err" || { cat "$folder/err" >&2; exit 1; }
  read -r seconds memory <"$folder/time"
  awk -v n="$name" -v s="$seconds" -v m="$memory" 'BEGIN {
    printf "migrate-%s-time %.2f s 2\nmigrate-%s-memory %.1f MiB 200\n", n, s, n, m / 1024
    exit !(s < 2 && m / 1024 < 200)
  }' || missed=1
}

echo "migrate-input $(stat -c %s "$folder/config.yaml") bytes -"
figure convert "$ferrolb" migrate convert "$folder/config.yaml" -o "$folder/crs.yaml"
figure verify "$ferrolb" migrate verify "$folder/config.yaml" --crs "$folder/crs.yaml"
figure reverse "$ferrolb" migrate reverse "$folder/crs.yaml" -o "$folder/again.yaml"
figure check-sarif "$ferrolb" migrate check "$folder/config.yaml" --report sarif
exit "$missed"
