#!/bin/sh
# BGP beside BIRD's, in one run: routes to a router's table, one change among many, memory, a peer that does not answer.
# Needs root, iproute2, tcpdump, python3 and Debian's bird2.
#
#   bench/bgp/run.sh [routes|change|peers …]
#
# Prints `name value unit reference ratio`, one figure a line. BIN: where ferrolb and examples/bgp_probe are. ROUNDS: of which
# the medians are (3). Each figure is explained in bench/bgp/README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
export BIN="${BIN:-$here/../../target/lab}"
exec python3 "$here/measure" "$@"
