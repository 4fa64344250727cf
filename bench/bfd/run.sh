#!/bin/bash
# BFD on a busy machine: our session with FRR's bfdd over a switch, 50 ms three times, while every processor is overcommitted.
# Needs root, iproute2, frr and setpriv (util-linux).
#
#   bench/bfd/run.sh [SECONDS [CUTS]]
#
# Prints `name value unit reference ratio`, one figure a line; the reference is bfdd's figure at the other end of the same
# session in the same run. BIN: where bfd_probe is (default: the profile `lab`'s examples here). RIGHTS: the capabilities that our
# end keeps, as setpriv takes them (default `+net_raw`, what the speaker's container has; `+net_raw,+sys_nice`: with real-time
# scheduling).
set -euo pipefail
seconds=${1:-300} cuts=${2:-20}
here=$(cd "$(dirname "$0")/../.." && pwd)
bin=${BIN:-$here/target/lab/examples}
rights=${RIGHTS:-+net_raw}
ns=ferrolb-bench-bfd-$$
work=$(mktemp -d)
processes=()
# Who measures must not wait for a processor. What is measured, and the load, get the ordinary share again, each in a session of
# its own: the kernel shares the processors out among sessions (autogroup) as it does among containers.
renice -n -20 $$ >/dev/null
ordinary() { exec setsid nice -n 20 "$@"; }
cleanup() {
  exec 8>&- 9>&- || true
  for process in "${processes[@]}"; do kill "$process" 2>/dev/null || true; done
  wait 2>/dev/null || true
  for n in ours theirs switch; do ip netns del "$ns-$n" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

for n in ours theirs switch; do ip netns add "$ns-$n"; done
ip -n "$ns-switch" link add br0 type bridge
ip -n "$ns-switch" link set br0 up
number=0
for n in ours theirs; do
  number=$((number + 1))
  ip link add eth0 netns "$ns-$n" type veth peer name $n netns "$ns-switch"
  ip -n "$ns-switch" link set $n master br0 up
  ip -n "$ns-$n" link set lo up
  ip -n "$ns-$n" link set eth0 up
  ip -n "$ns-$n" address add 192.0.2.$number/24 dev eth0
done

touch "$work/zebra.conf"
cat >"$work/bfdd.conf" <<'CONF'
debug bfd peer
bfd
 profile fast
  receive-interval 50
  transmit-interval 50
  detect-multiplier 3
 !
 peer 192.0.2.1 interface eth0
  profile fast
 !
!
CONF
chown -R frr:frr "$work"
chmod 755 "$work"
stamped() { while read -r line; do printf '%s %s\n' "$EPOCHREALTIME" "$line"; done; }
daemon() { # NAME ARGUMENTS...
  local name=$1; shift
  ordinary ip netns exec "$ns-theirs" "/usr/lib/frr/$name" -z "$work/zserv" -i "$work/$name.pid" --vty_socket "$work" \
    -f "$work/$name.conf" -P 0 --log stdout --log-level debugging "$@" 2>&1 &
  processes+=($!)
}
mkfifo "$work/bfdd.out" "$work/input" "$work/switch"
stamped <"$work/bfdd.out" >"$work/bfdd.log" &
daemon zebra >/dev/null
until [[ -S $work/zserv ]]; do :; done
daemon bfdd --bfdctl "$work/bfdd.sock" >"$work/bfdd.out"
ordinary ip netns exec "$ns-ours" setpriv --inh-caps=-all --bounding-set="-all,$rights" "$bin/bfd_probe" 192.0.2.2 50 3 \
  <"$work/input" >"$work/ours" 2>&1 &
probe=$!
exec 9>"$work/input"
# One that is there already cuts at once.
ip -n "$ns-switch" -batch - <"$work/switch" &
exec 8>"$work/switch"

wait_for() { # SECONDS CONDITION...
  local end=$((SECONDS + $1)); shift
  until "$@"; do
    ((SECONDS < end)) || { echo "bench/bfd: never: $*" >&2; cat "$work/ours" "$work/bfdd.log" >&2; exit 1; }
    read -rt 0.05 <> <(:) || true
  done
}
# How often each end came up and went down.
ours() { grep -c " $1" "$work/ours" || true; }
theirs() { grep -c "state-change: .*-> $1" "$work/bfdd.log" || true; }
ups() { (($(ours up) >= $1 && $(theirs up) >= $1)); }
downs() { (($(ours down) >= $1 && $(theirs down) >= $1)); }

wait_for 20 ups 1
# What comes now is under load: as many busy loops as processors, twice.
for _ in $(seq $(($(nproc) * 2))); do
  ordinary sh -c 'while :; do :; done' &
  processes+=($!)
done
o=$(ours down) t=$(theirs down)
read -rt "$seconds" <> <(:) || true
false_ours=$(($(ours down) - o)) false_theirs=$(($(theirs down) - t))

# Cuts, still under load: both ends see the same one.
for _ in $(seq "$cuts"); do
  wait_for 30 ups 1
  o=$(ours down) t=$(theirs down)
  up=$(($(ours up) + 1))
  # Somewhere in the interval.
  read -rt "0.$((RANDOM % 90 + 10))" <> <(:) || true
  cut=$EPOCHREALTIME
  echo "link set ours nomaster" >&8
  echo "$cut" >>"$work/cuts"
  wait_for 20 downs $((o + 1))
  # The first change after the cut, at each end.
  awk -v cut="$cut" '$2 == "down" && $1 > cut { print $1; exit }' "$work/ours" >>"$work/ours.times"
  awk -v cut="$cut" '/state-change: .*-> down/ && $1 > cut { print $1; exit }' "$work/bfdd.log" >>"$work/theirs.times"
  echo "link set ours master br0" >&8
  wait_for 30 ups "$up"
done
for process in "${processes[@]:2}"; do kill "$process" 2>/dev/null || true; done
exec 8>&- 9>&-
wait "$probe" || true

# From the cut to the news, in ms.
times() { paste "$work/cuts" "$work/$1.times" | awk '{ printf "%.1f\n", ($2 - $1) * 1000 }' | sort -g; }
median() { awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
figure() { awk -v n="$1" -v v="$2" -v u="$3" -v r="$4" 'BEGIN { printf "%s %s %s %s %.2f\n", n, v, u, r, (r > 0 ? v / r : (v > 0 ? 999 : 1)) }'; }
figure "bfd_false_downs_in_${seconds}_s_of_load" "$false_ours" downs "$false_theirs"
figure bfd_detection_median "$(times ours | median)" ms "$(times theirs | median)"
figure bfd_detection_longest "$(times ours | tail -n 1)" ms "$(times theirs | tail -n 1)"
