#!/bin/bash
# bench/failover/lab.sh [cut|kill|pod|rolling|moves]...: figures of layer-2 failover on the lab's three nodes (lab/README.md), where FerroLB runs.
# SERVICES (1): how many Services; ROUNDS (3). The client's ARP traffic is watched; the first gratuitous ARP by another node is the figure.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
export KUBECONFIG=${KUBECONFIG:-/var/tmp/k8s-lab/kubeconfig}
services=${SERVICES:-1} rounds=${ROUNDS:-3}
exec python3 "$here/lab.py" "$services" "$rounds" ${*:-cut kill pod rolling}
