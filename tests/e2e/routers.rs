//! BGP on the cluster: the tutorials' router in a pod, a router on the LAN with a client behind it, and both FRR manifests.
//!
//! After the tests of layer 2, on the same cluster. The routers are FRR as Debian packages it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::kernel;
use crate::lab::{
    apply, client, ingress, kubectl, lab as lab_command, root, run, try_run, wait_for, wait_or_show,
};
use crate::{apply_file, config_map, ready_pods};

const ADDRESS: &str = "198.51.100.1";
const NODES: [&str; 3] = ["172.30.0.11", "172.30.0.12", "172.30.0.13"];
/// The client's own address on the LAN: it is the router here.
const ROUTER: &str = "172.30.0.200";

const CONFIG: &str = "\
peers:
- {my-asn: 64512, peer-asn: 64513, peer-address: 172.30.0.200, bfd-profile: quick}
bfd-profiles:
- {name: quick, receive-interval: 200, transmit-interval: 200, detect-multiplier: 5}
address-pools:
- {name: routed, protocol: bgp, avoid-buggy-ips: true, addresses: [198.51.100.0/24]}
";

/// FRR in the client's namespace, and a client behind it.
struct Router {
    daemons: Vec<Child>,
    folder: TempDir,
}

impl Router {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // FRR's daemons do not stay root.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let mut router = Self {
            daemons: Vec::new(),
            folder,
        };
        let mut bgpd = format!(
            "router bgp 64513\nbgp router-id {ROUTER}\nno bgp ebgp-requires-policy\nbgp bestpath as-path multipath-relax\n"
        );
        for node in NODES {
            bgpd += &format!(
                "neighbor {node} remote-as 64512\nneighbor {node} timers connect 1\nneighbor {node} bfd profile quick\n"
            );
        }
        bgpd += "address-family ipv4 unicast\nmaximum-paths 8\nexit-address-family\nexit\n";
        router.daemon("zebra", "");
        router.daemon(
            "bfdd",
            "bfd\nprofile quick\nreceive-interval 200\ntransmit-interval 200\ndetect-multiplier 5\nexit\nexit\n",
        );
        router.daemon("bgpd", &bgpd);
        far_client();
        router
    }

    fn daemon(&mut self, name: &str, configuration: &str) {
        let path = |ending: &str| {
            let path = self.folder.path().join(format!("{name}.{ending}"));
            path.to_str().unwrap().to_owned()
        };
        let directory = self.folder.path().to_str().unwrap();
        fs::write(path("conf"), configuration).unwrap();
        let log = File::create(path("log")).unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", "labclient"]);
        command.arg(format!("/usr/lib/frr/{name}"));
        command.args(["--vty_socket", directory, "-P", "0", "--log", "stdout"]);
        command.args(["-z", &format!("{directory}/zserv.api")]);
        command.args(["-i", &path("pid"), "-f", &path("conf")]);
        if name == "bfdd" {
            command.args(["--bfdctl", &format!("{directory}/bfdd.sock")]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemons.push(child);
        wait_for(name, Duration::from_secs(30), || {
            fs::exists(path("vty")).unwrap().then_some(())
        });
    }

    fn vtysh(&self, command: &str) -> String {
        let directory = self.folder.path().to_str().unwrap();
        run("vtysh", &["--vty_socket", directory, "-c", command])
    }

    /// Waits until all nodes are next hops and the far client reaches nginx; the page.
    fn serves_by_three(&self) -> String {
        self.leads_to(Duration::from_secs(60), &NODES);
        wait_for(
            "the far client reaches nginx",
            Duration::from_secs(60),
            || far_curl(ADDRESS),
        )
    }

    /// Waits until the route to the Service's address leads to exactly these nodes, in the router's kernel.
    fn leads_to(&self, limit: Duration, nodes: &[&str]) {
        wait_or_show(
            &format!("{ADDRESS} leads to {nodes:?}"),
            limit,
            || (next_hops(ADDRESS) == nodes).then_some(()),
            || {
                format!(
                    "it leads to {:?}\n{}\n{}",
                    next_hops(ADDRESS),
                    self.vtysh("show bgp ipv4 unicast"),
                    self.vtysh("show bfd peers brief"),
                )
            },
        );
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = try_run("ip", &["netns", "del", "labfar"]);
    }
}

/// A client with nothing but the router: 192.0.2.2 behind 192.0.2.1.
fn far_client() {
    let _ = try_run("ip", &["netns", "del", "labfar"]);
    for line in [
        "netns add labfar",
        "-n labclient link add far0 type veth peer name eth0 netns labfar",
        "-n labclient address add 192.0.2.1/24 dev far0",
        "-n labclient link set far0 up",
        "-n labfar link set lo up",
        "-n labfar address add 192.0.2.2/24 dev eth0",
        "-n labfar link set eth0 up",
        "-n labfar route add default via 192.0.2.1",
        "netns exec labclient sysctl -qw net.ipv4.ip_forward=1",
        "-n labn1 route replace 192.0.2.0/24 via 172.30.0.200",
        "-n labn2 route replace 192.0.2.0/24 via 172.30.0.200",
        "-n labn3 route replace 192.0.2.0/24 via 172.30.0.200",
    ] {
        run("ip", &line.split(' ').collect::<Vec<_>>());
    }
}

fn far_curl(address: &str) -> Option<String> {
    let url = format!("http://{address}/");
    let curl = [
        "netns", "exec", "labfar", "curl", "-s", "-f", "-m", "2", &url,
    ];
    try_run("ip", &curl).ok()
}

fn next_hops(address: &str) -> Vec<String> {
    let said = client(&["ip", "route", "show", address]).unwrap_or_default();
    kernel::next_hops(&said)
}

fn figure(node: &str, port: u16, line: &str) -> bool {
    let url = format!("http://{node}:{port}/metrics");
    client(&["curl", "-s", "-f", "-m", "2", &url])
        .is_some_and(|text| text.lines().any(|known| known == line))
}

/// What the router in the pod knows of a prefix: the paths, as vtysh's JSON has them.
fn router_in_the_pod(prefix: &str) -> Vec<serde_json::Value> {
    let show = format!("show bgp ipv4 unicast {prefix} json");
    let exec = [
        "exec",
        "-n",
        "metallb-system",
        "deploy/test-bgp-router",
        "--",
        "vtysh",
        "-c",
        &show,
    ];
    let said = try_run("kubectl", &exec).unwrap_or_default();
    serde_json::from_str::<serde_json::Value>(&said)
        .ok()
        .and_then(|told| told["paths"].as_array().cloned())
        .unwrap_or_default()
}

fn next_hops_of(paths: &[serde_json::Value]) -> Vec<&str> {
    let mut hops: Vec<&str> = paths
        .iter()
        .filter_map(|path| path["nexthops"][0]["ip"].as_str())
        .collect();
    hops.sort_unstable();
    hops
}

/// The Service of tutorial-2, made anew in the pool of the day.
fn nginx_anew(config: impl FnOnce()) {
    kubectl(&["delete", "service", "nginx", "--ignore-not-found"]);
    config();
    apply_file("manifests/tutorial-2.yaml");
    kubectl(&["scale", "deployment", "nginx", "--replicas=3"]);
    wait_for("nginx has its address", Duration::from_secs(20), || {
        (ingress("default", "nginx") == [ADDRESS]).then_some(())
    });
}

fn roll_out(daemon_set: &str) {
    let limit = "--timeout=180s";
    kubectl(&[
        "rollout",
        "status",
        "-n",
        "metallb-system",
        daemon_set,
        limit,
    ]);
}

#[test]
#[ignore = "needs root, FRR and the lab with three nodes; run by tests/run"]
fn e1_the_bgp_tutorial_runs_as_written() {
    apply_file("manifests/tutorial-1.yaml");
    roll_out("deployment/test-bgp-router");
    nginx_anew(|| apply_file("manifests/tutorial-3.yaml"));
    let host_route = format!("{ADDRESS}/32");
    let paths = wait_for("three nodes announce", Duration::from_secs(60), || {
        let paths = router_in_the_pod(&host_route);
        (next_hops_of(&paths) == NODES).then_some(paths)
    });
    for path in &paths {
        assert_eq!(path["locPrf"], 0, "{path}");
        assert_eq!(path["origin"], "incomplete", "{path}");
        assert!(path["community"].is_null(), "{path}");
    }

    apply_file("manifests/tutorial-4.yaml");
    let paths = wait_for(
        "three nodes announce the whole pool, too",
        Duration::from_secs(60),
        || {
            let whole = router_in_the_pod("198.51.100.0/24");
            let paths = router_in_the_pod(&host_route);
            let changed = paths.iter().all(|path| path["locPrf"] == 100);
            (next_hops_of(&whole) == NODES && next_hops_of(&paths) == NODES && changed)
                .then_some(paths)
        },
    );
    for path in &paths {
        assert_eq!(path["community"]["string"], "no-advertise", "{path}");
    }
    kubectl(&[
        "delete",
        "-f",
        root().join("manifests/tutorial-1.yaml").to_str().unwrap(),
    ]);
}

#[test]
#[ignore = "needs root, FRR and the lab with three nodes; run by tests/run"]
fn e2_a_client_behind_a_router_is_served_by_three_nodes_and_by_two_when_one_dies() {
    let router = Router::start();
    nginx_anew(|| apply(&config_map(CONFIG)));
    let page = router.serves_by_three();
    assert!(page.starts_with("nginx-"), "{page}");
    for node in NODES {
        let peer = format!("{{peer=\"{ROUTER}:179\"}}");
        assert!(figure(
            node,
            7472,
            &format!("metallb_bgp_session_up{peer} 1")
        ));
    }

    lab_command("node", &["cut", "2"]);
    lab_command("node", &["kill", "2"]);
    // BFD: five of 200 ms; the hold time is 90 s.
    router.leads_to(Duration::from_secs(20), &[NODES[0], NODES[2]]);
    // The dead node's pod is an endpoint until Kubernetes gives the node up.
    wait_for(
        "ten requests in a row are answered",
        Duration::from_secs(120),
        || (0..10).all(|_| far_curl(ADDRESS).is_some()).then_some(()),
    );
    lab_command("node", &["mend", "2"]);
    lab_command("node", &["start", "2"]);
    router.leads_to(Duration::from_secs(180), &NODES);

    kubectl(&["delete", "service", "nginx"]);
    router.leads_to(Duration::from_secs(20), &[]);
    assert_eq!(
        router
            .vtysh("show bgp ipv4 unicast json")
            .matches("\"valid\"")
            .count(),
        0,
        "nothing is left"
    );
}

#[test]
#[ignore = "needs root, FRR and the lab with three nodes; run by tests/run"]
fn e3_our_manifest_of_frr_mode_speaks_and_shows_its_figures() {
    let router = Router::start();
    apply_file("manifests/metallb-frr.yaml");
    roll_out("daemonset/speaker");
    nginx_anew(|| apply(&config_map(CONFIG)));
    router.serves_by_three();
    figures_of_frr_mode();
}

#[test]
#[ignore = "needs root, FRR and the lab with three nodes; run by tests/run"]
fn e4_the_frr_manifest_of_0_12_runs_with_our_images_beside_an_idle_frr() {
    let router = Router::start();
    // What differs from the manifest without FRR is the DaemonSet.
    kubectl(&["delete", "-n", "metallb-system", "daemonset", "speaker"]);
    apply_file("tests/e2e/frr-sidecars.yaml");
    roll_out("daemonset/speaker");
    assert_eq!(ready_pods("component=speaker"), 3);
    router.serves_by_three();
    // bfdd in the sidecar has BFD's port: ours hears its packets all the same.
    figures_of_frr_mode();
    assert!(
        NODES.iter().all(|node| !router
            .vtysh(&format!("show bfd peer {node}"))
            .contains("Status: down")),
        "{}",
        router.vtysh("show bfd peers brief")
    );
}

/// BGP and BFD with the router, on the port of FRR's exporter.
fn figures_of_frr_mode() {
    for node in NODES {
        for line in [
            format!("metallb_bgp_session_up{{peer=\"{ROUTER}:179\"}} 1"),
            format!("metallb_bfd_session_up{{peer=\"{ROUTER}\"}} 1"),
        ] {
            wait_for(&format!("{node}: {line}"), Duration::from_secs(30), || {
                figure(node, 7473, &line).then_some(())
            });
        }
    }
}
