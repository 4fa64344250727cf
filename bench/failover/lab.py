"""Figures of layer-2 failover on the lab: see README.md. Python's standard library alone; run by lab.sh as root."""

import json
import os
import socket
import struct
import subprocess
import sys
import time

LAN = "lan0"
CLIENT = "172.30.0.200"


def sh(*words, check=True, quiet=True):
    done = subprocess.run(words, check=check, text=True, capture_output=quiet)
    return done.stdout


def kubectl(*words, text=None):
    return subprocess.run(("kubectl",) + words, check=True, text=True, input=text, capture_output=True).stdout


# More Services than that are none of nginx: their endpoints are written here, and kube-proxy is told that they are not its own. It and
# the cluster's controllers need minutes for thousands of them, which is not what is measured. They have a namespace of their own: a container
# that starts beside thousands of Services is given variables for each, and does not start.
OF_NGINX = 500
NAMESPACE = "failover"
NOT_KUBE_PROXYS = {"service.kubernetes.io/service-proxy-name": "nobody"}


def service(k, alone):
    labels = {"bench": "failover"} | (NOT_KUBE_PROXYS if alone else {})
    spec = {"type": "LoadBalancer", "ports": [{"port": 80}]} | ({} if alone else {"selector": {"app": "nginx"}})
    yield {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"f{k}", "labels": labels}, "spec": spec}
    if alone:
        labels = NOT_KUBE_PROXYS | {"kubernetes.io/service-name": f"f{k}", "endpointslice.kubernetes.io/managed-by": "bench"}
        yield {
            "apiVersion": "discovery.k8s.io/v1beta1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"f{k}", "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "", "port": 80}],
            "endpoints": [
                {"addresses": ["10.244.1.9"], "conditions": {"ready": True}, "topology": {"kubernetes.io/hostname": "node-1"}}
            ],
        }


def services(count):
    """`count` Services, and their addresses."""
    alone = count > OF_NGINX
    if alone and not kubectl("get", "namespace", NAMESPACE, "--ignore-not-found"):
        kubectl("create", "namespace", NAMESPACE)
    where = ("-n", NAMESPACE if alone else "default")
    of_bench = ("get", "services", "-l", "bench=failover", "-o", "json")
    have = json.loads(kubectl(*where, *of_bench))["items"]
    for i in range(len(have), count, 500):
        items = [item for k in range(i, min(i + 500, count)) for item in service(k, alone)]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        kubectl(*where, "create", "--validate=false", "-f", "-", text=text)
    end = time.monotonic() + 300
    while time.monotonic() < end:
        have = json.loads(kubectl(*where, *of_bench))["items"]
        addresses = [i["ip"] for s in have for i in s["status"]["loadBalancer"].get("ingress", [])]
        # There may be more, of an earlier run.
        if len(addresses) >= count:
            return addresses[:count]
        time.sleep(1)
    sys.exit(f"{len(addresses)} of {count} Services have an address")


class Watch:
    """Everybody's gratuitous ARP on the LAN: when, for which address, from which station. The kernel keeps the frames and notes when they came:
    to read them meanwhile would take the processor from those who send."""

    TIMESTAMPNS = 35  # SO_TIMESTAMPNS

    def __init__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.setsockopt(socket.SOL_SOCKET, self.TIMESTAMPNS, 1)
        self.socket.bind((LAN, 0))
        self.socket.setblocking(False)

    def seen(self):
        """Since the last call; times are of the monotonic clock."""
        seen = []
        ahead = time.time_ns() - time.monotonic_ns()
        while True:
            try:
                frame, notes, _, _ = self.socket.recvmsg(2048, 64)
            except BlockingIOError:
                return seen
            if len(frame) < 42 or frame[28:32] != frame[38:42]:
                continue
            at = next(struct.unpack("qq", data) for _, kind, data in notes if kind == self.TIMESTAMPNS)
            at = (at[0] * 10**9 + at[1] - ahead) / 1e9
            seen.append((at, socket.inet_ntoa(frame[28:32]), frame[22:28].hex(":")))


def stations():
    """Node by the Ethernet address of its eth0."""
    nodes = {}
    for n in (1, 2, 3):
        link = json.loads(sh("lab/sh", str(n), "ip", "-j", "link", "show", "eth0"))
        nodes[link[0]["address"]] = n
    return nodes


def settled(addresses):
    """Which node announces each address: asked of ARP."""
    owners = {}
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    raw.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
    raw.bind((LAN, 0))
    raw.settimeout(1)
    own = bytes.fromhex(open(f"/sys/class/net/{LAN}/address").read().strip().replace(":", ""))
    for ip in addresses:
        target = socket.inet_aton(ip)
        arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + own + bytes(4) + bytes(6) + target
        raw.send(b"\xff" * 6 + own + b"\x08\x06" + arp)
        end = time.monotonic() + 1
        while ip not in owners and time.monotonic() < end:
            try:
                frame = raw.recv(2048)
            except TimeoutError:
                break
            if frame[20:22] == b"\0\2" and frame[28:32] == target:
                owners[ip] = frame[22:28].hex(":")
    return owners


def ready():
    """All nodes Ready, all speakers running and members of one gossip."""
    end = time.monotonic() + 180
    while time.monotonic() < end:
        pods = json.loads(kubectl("get", "pods", "-n", "metallb-system", "-l", "component=speaker", "-o", "json"))["items"]
        fine = [p for p in pods if all(c["ready"] for c in p["status"].get("containerStatuses", [{"ready": False}]))]
        if len(fine) == 3 == len(pods):
            members = []
            for n in (1, 2, 3):
                page = sh("lab/sh", str(n), "curl", "-sm", "2", f"http://172.30.0.1{n}:7472/metrics", check=False)
                members += [l.split()[1] for l in page.splitlines() if l.startswith(("ferrolb_memberlist_members ", "ferrolb_heartbeat_watched_well "))]
            if members == ["2", "3"] * 3 or members == ["3", "2"] * 3:
                return
        time.sleep(0.5)
    sys.exit("the speakers do not come together")


def measure(kind, addresses, nodes, disturb, mend):
    ready()
    watch = Watch()
    owners = settled(addresses)
    by = {}
    for ip, station in owners.items():
        by.setdefault(station, []).append(ip)
    victim = max(by, key=lambda station: len(by[station]))
    moved = set(by[victim])
    time.sleep(6)  # bursts are over
    watch.seen()
    begin = time.monotonic()
    disturb(nodes[victim])
    time.sleep(12)
    first = {}
    for at, ip, station in watch.seen():
        if ip in moved and station != victim and at >= begin:
            first.setdefault(ip, at - begin)
    times = sorted(first.values())
    print(
        f"{kind}: services {len(addresses)} moved {len(moved)} announced {len(times)} "
        f"first {times[0] * 1000:.0f} ms last {times[-1] * 1000:.0f} ms" if times else f"{kind}: nothing was announced",
        flush=True,
    )
    mend(nodes[victim])
    time.sleep(5)


def pod_of(n):
    pods = json.loads(kubectl("get", "pods", "-n", "metallb-system", "-l", "component=speaker", "-o", "json"))["items"]
    return next(p["metadata"]["name"] for p in pods if p["spec"]["nodeName"] == f"node-{n}")


# Runs beside the client until its standard input ends: a request every 20 ms, each with a connection of its own. Of a failed one it tells when it began
# (the machine's monotonic clock, which the watch reads, too), how long it took and why it failed.
REQUESTS = """
import json, select, socket, sys, time
count, lost, longest = 0, [], 0
while not select.select([sys.stdin], [], [], 0)[0]:
    at = time.monotonic()
    count += 1
    try:
        with socket.create_connection((sys.argv[1], 80), timeout=1) as s:
            s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            why = None if s.recv(100).startswith(b"HTTP/") else "an empty answer"
    except OSError as e:
        why = str(e)
    took = time.monotonic() - at
    if why:
        lost.append((at, took, why))
    else:
        longest = max(longest, took)
    time.sleep(max(0, 0.02 - (time.monotonic() - at)))
json.dump([count, lost, longest], sys.stdout)
"""


def requests(kind, address, work):
    """A client that requests every 20 ms while `work` is done: what fails, and whether the address moved just then."""
    ready()
    watch = Watch()
    owner = settled([address])[address]
    client = subprocess.Popen(("lab/client", "python3", "-c", REQUESTS, address), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    time.sleep(3)
    work()
    ready()
    time.sleep(3)
    asked, lost, longest = json.loads(client.communicate("end\n")[0])
    moves = []
    for at, ip, station in watch.seen():
        if ip == address and station != owner:
            moves.append(at)
            owner = station
    # What was under way when the client's neighbour entry changed cannot be served: the other node's kube-proxy does not know the connection.
    under_way = sum(any(began <= at <= began + took for at in moves) for began, took, _ in lost)
    print(
        f"{kind}: requests {asked} failed {len(lost)} under-way {under_way} moves {len(moves)} longest-served {longest * 1000:.0f} ms",
        flush=True,
    )
    for began, took, why in lost:
        nearest = min((at - began for at in moves), key=abs, default=0)
        print(f"# failed: took {took * 1000:.1f} ms: {why}; the nearest move {nearest * 1000:+.1f} ms after it began", flush=True)


def update():
    kubectl("rollout", "restart", "daemonset/speaker", "-n", "metallb-system")
    kubectl("rollout", "status", "daemonset/speaker", "-n", "metallb-system", "--timeout=170s")


def twenty_moves(address, nodes):
    """The owner's pod is deleted ten times: the address goes, and comes back with the new pod."""
    for _ in range(10):
        ready()
        time.sleep(3)  # a client's kernel believes no second announcement within a second; bursts are over
        kubectl("delete", "pod", "-n", "metallb-system", pod_of(nodes[settled([address])[address]]))


def main():
    count, rounds = int(sys.argv[1]), int(sys.argv[2])
    nodes = stations()
    addresses = services(count)
    ways = {
        "cut": (lambda n: sh("lab/node", "cut", str(n)), lambda n: sh("lab/node", "mend", str(n))),
        # A power cut: nothing is sent any more, and no process is left.
        "kill": (
            lambda n: (sh("lab/node", "cut", str(n)), sh("lab/node", "kill", str(n))),
            lambda n: (sh("lab/node", "mend", str(n)), sh("lab/node", "start", str(n))),
        ),
        "pod": (
            lambda n: kubectl("delete", "pod", "-n", "metallb-system", pod_of(n), "--wait=false"),
            lambda n: None,
        ),
    }
    for kind in sys.argv[3:]:
        for _ in range(rounds):
            if kind == "rolling":
                requests("rolling update", addresses[0], update)
            elif kind == "moves":
                requests(kind, addresses[0], lambda: twenty_moves(addresses[0], nodes))
            else:
                measure(kind, addresses, nodes, *ways[kind])


main()
