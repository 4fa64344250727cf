#!/bin/sh
# ARP replies of our layer 2 beside the kernel's own, over one veth pair, in one run. Needs root and iproute2.
#
#   bench/arp/run.sh [SECONDS]
#
# Prints `name value unit reference ratio`, one figure a line; the reference is the kernel's figure of the same run
# (medians of ROUNDS rounds, kernel and ours in turns). A second reference, in the lines `…_of_floor`, is the smallest
# responder that a process can be (`arp_load … answer`: a blocking receive and a send): what ours takes more than that is
# ours, what that takes more than the kernel is the price of answering outside of it. BIN: where layer2_probe and arp_load are. RESPONDER: another
# program to measure; started in the namespace `$NS`, it must answer for $VIP on eth0 until its input ends.
set -eu

time=${1:-3}
rounds=${ROUNDS:-3}
here=$(cd "$(dirname "$0")/../.." && pwd)
bin=${BIN:-$here/target/lab/examples}
NS=ferrolb-bench-$$
CLIENT=$NS-client
KERNEL=198.51.100.2
VIP=198.51.100.10
export NS VIP
responder=${RESPONDER:-"{ echo announce $VIP; cat; } | ip netns exec $NS $bin/layer2_probe eth0"}
work=$(mktemp -d)
cleanup() {
    exec 9>&- || true
    wait || true
    ip netns del "$NS" 2>/dev/null || true
    ip netns del "$CLIENT" 2>/dev/null || true
    rm -r "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

ip netns add "$NS"
ip netns add "$CLIENT"
ip link add eth0 netns "$NS" type veth peer name eth0 netns "$CLIENT"
ip -n "$NS" address add $KERNEL/24 dev eth0
ip -n "$NS" link set eth0 up
ip -n "$CLIENT" link set eth0 up

load() { ip netns exec "$CLIENT" "$bin/arp_load" eth0 "$@"; }

# One round of all modes against a target, into a file per mode.
round() {
    who=$1 target=$2
    load "$target" latency 1000 "$time" >>"$work/$who.rate1000"
    load "$target" latency 1000000 "$time" >>"$work/$who.closed"
    load "$target" saturate "$time" >>"$work/$who.saturate"
}

# Starts a responder, which ends with its input, and waits for its first answer.
start() {
    sh -c "$1" <"$work/input" >"$work/log" 2>&1 &
    exec 9>"$work/input"
    tries=0
    until load $VIP latency 10 0.2 | grep -q '"answered":[1-9]'; do
        tries=$((tries + 1))
        [ $tries -lt 50 ] || { echo "the responder does not answer for $VIP:" >&2; cat "$work/log" >&2; exit 1; }
    done
}
stop() {
    exec 9>&-
    wait
}

mkfifo "$work/input"
for _ in $(seq "$rounds"); do
    round kernel $KERNEL
    # The others run only while they are measured: they hear the kernel's requests as well.
    start "ip netns exec $NS $bin/arp_load eth0 $VIP answer"
    round floor $VIP
    stop
    start "$responder"
    round ours $VIP
    stop
done

# Median of a field over the rounds.
median() {
    sed -n "s/.*\"$2\":\([0-9.e-]*\).*/\1/p" "$work/$1" | sort -g |
        awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
figure() {
    name=$1 unit=$2 file=$3 field=$4
    for reference in kernel floor; do
        suffix=; [ $reference = kernel ] || suffix=_of_floor
        awk -v n="$name$suffix" -v u="$unit" -v o="$(median "ours.$file" "$field")" -v k="$(median "$reference.$file" "$field")" \
            'BEGIN { printf "%s %.2f %s %.2f %.2f\n", n, o, u, k, (k > 0 ? o / k : 0) }'
    done
}
figure arp_reply_p50_at_1000_per_s us rate1000 p50_us
figure arp_reply_p99_at_1000_per_s us rate1000 p99_us
figure arp_reply_p50_back_to_back us closed p50_us
figure arp_reply_p99_back_to_back us closed p99_us
figure arp_replies_at_saturation 1/s saturate replies_per_second

# Nothing is lost below saturation: half of what the slower of the two managed.
rate=$(awk -v o="$(median ours.saturate replies_per_second)" -v k="$(median kernel.saturate replies_per_second)" \
    'BEGIN { printf "%d", (o < k ? o : k) / 2 }')
start "$responder"
load $VIP offered "$rate" "$time" >"$work/half"
awk -v r="$rate" -v s="$(sed -n 's/.*"sent":\([0-9]*\).*/\1/p' "$work/half")" \
    -v a="$(sed -n 's/.*"answered":\([0-9]*\).*/\1/p' "$work/half")" \
    'BEGIN { printf "arp_lost_at_%d_per_s %d requests 0 %.6f\n", r, s - a, (s - a) / s }'
