#!/bin/bash
# bench/failover/run.sh [addresses|busy|gossip]...: figures of layer-2 failover, in network namespaces (root, iproute2, iptables). See README.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
what=${*:-addresses gossip busy}
profile=${PROFILE:-lab}
netns() { # TEST
  cargo test --locked --profile "$profile" --test netns -- --ignored --exact --nocapture "failover::$1" |
    grep -E '^(cut|leave|busy|test )'
}
for one in $what; do
  case $one in
  addresses) netns needs_patience_figures_of_a_failover ;;
  busy) netns needs_patience_a_busy_lossy_cluster_declares_nobody_dead ;;
  gossip) cargo bench --locked --profile "$profile" --bench gossip ;;
  *) echo "unknown: $one" >&2; exit 2 ;;
  esac
done
