//! Figures on a real API server: assignment rate, time to effect, memory, time to the first announcement.
//!
//! Run by `bench/run`, which brings the lab's API server up. The programs to measure come from `CONTROLLER` and `SPEAKER`
//! (paths of programs with 0.12's flags), so that another implementation can be put in their place. Each figure is one
//! line: `name value unit reference ratio`; the reference is measured in the same run and named in the figure's comment.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark on real servers reads the clock"
)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Namespace, Service};
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::client::{Body, ConfigExt};
use kube::{Client, ResourceExt};
use serde_json::json;
use tower::{BoxError, Layer, ServiceExt};

/// Requests in flight, of the plain client as of the preparations.
const IN_FLIGHT: usize = 32;

/// A watch that says nothing for so long is given up: while something is measured something happens.
const SILENCE: Duration = Duration::from_secs(5);

#[path = "parts/routes.rs"]
mod routes;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let Some(what) = args.first() else {
        println!("# nothing asked for: bench/run runs this on the lab's API server");
        return Ok(());
    };
    let number =
        |i: usize, default: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let bench = Bench::new().await?;
    match what.as_str() {
        "assign" => bench.assign(number(1, 1000)).await,
        "reload" => bench.reload(number(1, 1), false).await,
        "reload-file" => bench.reload(number(1, 1), true).await,
        "memory" => bench.memory(number(1, 1)).await,
        "latency" => bench.latency(number(1, 20)).await,
        "routes" => bench.routes(number(1, 1)).await,
        other => bail!("{other}: not one of assign, reload, reload-file, memory, latency, routes"),
    }
}

/// A client that sends at once: kube's own leaves Nagle's algorithm on, which costs each small write 40 ms.
async fn client() -> Result<Client> {
    let config = kube::Config::infer().await?;
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(connector);
    let service = http.map_err(BoxError::from);
    let auth = config
        .auth_layer()?
        .context("the administrator has a token")?;
    Ok(Client::new(
        config.base_uri_layer().layer(auth.layer(service)),
        config.default_namespace.clone(),
    ))
}

struct Bench {
    client: Client,
    services: Api<Service>,
    config: Api<ConfigMap>,
    work: PathBuf,
}

/// A program under measurement; ended when dropped.
struct Program(Child);

impl Program {
    fn rss_kib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status
            .lines()
            .find(|l| l.starts_with("VmRSS:"))
            .context("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).context("VmRSS")?.parse()?)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn figure(name: &str, value: f64, unit: &str, reference: f64) {
    println!(
        "{name} {value:.3} {unit} {reference:.3} {:.3}",
        value / reference
    );
}

fn program(variable: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| PathBuf::from("target/lab/ferrolb"), PathBuf::from)
}

const BIG_POOL: &str =
    "address-pools:\n- name: big\n  protocol: layer2\n  addresses: [10.64.0.0/16]\n";

impl Bench {
    async fn new() -> Result<Self> {
        let client = client()
            .await
            .context("KUBECONFIG must name the lab's administrator")?;
        let work = PathBuf::from(
            std::env::var("BENCH_DIR").unwrap_or_else(|_| "/tmp/ferrolb-bench".into()),
        );
        std::fs::create_dir_all(&work)?;
        let bench = Self {
            services: Api::namespaced(client.clone(), "bench"),
            config: Api::namespaced(client.clone(), "metallb-system"),
            client,
            work,
        };
        let spaces: Api<Namespace> = Api::all(bench.client.clone());
        let _ = spaces
            .create(
                &PostParams::default(),
                &serde_json::from_value(json!({"metadata": {"name": "bench"}}))?,
            )
            .await;
        bench.clear().await?;
        Ok(bench)
    }

    /// No Services, no ConfigMap.
    async fn clear(&self) -> Result<()> {
        let _ = self.config.delete("config", &DeleteParams::default()).await;
        let names: Vec<String> = self
            .services
            .list(&Default::default())
            .await?
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        stream::iter(names)
            .map(|name| async move {
                self.services
                    .delete(&name, &DeleteParams::default())
                    .await
                    .map(|_| ())
            })
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    async fn create(&self, prefix: &str, count: usize, local: bool) -> Result<()> {
        stream::iter(0..count)
            .map(|i| async move {
                let policy = if local { "Local" } else { "Cluster" };
                let service = serde_json::from_value(json!({
                    "metadata": {"name": format!("{prefix}{i}"), "labels": {"app": "bench"}},
                    "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "externalTrafficPolicy": policy},
                }))?;
                self.services.create(&PostParams::default(), &service).await?;
                anyhow::Ok(())
            })
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    async fn configure(&self, text: &str) -> Result<()> {
        let map: ConfigMap = serde_json::from_value(
            json!({"metadata": {"name": "config"}, "data": {"config": text}}),
        )?;
        if self.config.get_opt("config").await?.is_some() {
            self.config
                .patch("config", &PatchParams::default(), &Patch::Merge(&map))
                .await?;
        } else {
            self.config.create(&PostParams::default(), &map).await?;
        }
        Ok(())
    }

    /// A kubeconfig with just a service account's rights.
    fn account(&self, name: &str) -> Result<PathBuf> {
        let out = Command::new("lab/token")
            .args(["metallb-system", name])
            .output()?;
        ensure!(
            out.status.success(),
            "lab/token: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let token = String::from_utf8(out.stdout)?;
        let file = self.work.join(format!("{name}.kubeconfig"));
        // the LAN's address of the API server is reachable from this host and from its namespaces
        let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": "https://172.30.0.1:6443", "insecure-skip-tls-verify": true}}],
            "users": [{"name": name, "user": {"token": token.trim()}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}]});
        std::fs::write(&file, text.to_string())?;
        Ok(file)
    }

    fn start(
        &self,
        variable: &str,
        word: &str,
        namespace: Option<&str>,
        extra: &[&str],
    ) -> Result<Program> {
        let binary = program(variable);
        let link = self.work.join(word);
        let _ = std::fs::remove_file(&link);
        // the name decides which program a many-in-one binary is
        std::os::unix::fs::symlink(
            binary
                .canonicalize()
                .with_context(|| binary.display().to_string())?,
            &link,
        )?;
        let log = std::fs::File::create(self.work.join(format!("{word}.log")))?;
        let kubeconfig = self.account(word)?;
        let mut command = match namespace {
            Some(name) => {
                let mut c = Command::new("ip");
                c.args(["netns", "exec", name]).arg(&link);
                c
            }
            None => Command::new(&link),
        };
        command
            .args(["-kubeconfig".as_ref(), kubeconfig.as_os_str()])
            .args([
                "-port",
                if word == "controller" {
                    "17472"
                } else {
                    "17473"
                },
            ])
            .args(extra)
            .env("METALLB_NAMESPACE", "metallb-system")
            .env("METALLB_NODE_NAME", "bench-node")
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null());
        Ok(Program(command.spawn()?))
    }

    fn controller(&self, extra: &[&str]) -> Result<Program> {
        self.start("CONTROLLER", "controller", None, extra)
    }

    /// Waits until `count` Services whose names begin so have an address; when the last one was seen.
    async fn assigned(&self, prefix: &str, count: usize) -> Result<Instant> {
        let limit = Instant::now() + Duration::from_secs(600);
        // one Service alone: a watch of just that, at once, however many others there are
        let (only, watch) = if count == 1 && !prefix.ends_with('-') {
            let field = format!("metadata.name={prefix}");
            (
                ListParams::default().fields(&field),
                WatchParams::default().fields(&field),
            )
        } else {
            (ListParams::default(), WatchParams::default())
        };
        loop {
            let list = self.services.list(&only).await?;
            let version = list.metadata.resource_version.clone().unwrap_or_default();
            let mut have: HashMap<String, bool> = list
                .iter()
                .filter(|s| s.name_any().starts_with(prefix))
                .map(|s| (s.name_any(), has_address(s)))
                .collect();
            let mut missing = count - have.values().filter(|v| **v).count();
            if missing == 0 {
                return Ok(Instant::now());
            }
            let mut events = self
                .services
                .watch(&watch.clone().timeout(60), &version)
                .await?
                .boxed();
            // Kubernetes 1.20 forgets a watch of Services that could not follow, and keeps its connection.
            while let Ok(event) = tokio::time::timeout(SILENCE, events.try_next()).await {
                let Some(event) = event? else { break };
                if let WatchEvent::Added(s) | WatchEvent::Modified(s) = event
                    && s.name_any().starts_with(prefix)
                    && has_address(&s)
                    && have.insert(s.name_any(), true) != Some(true)
                {
                    missing -= 1;
                    if missing == 0 {
                        return Ok(Instant::now());
                    }
                }
            }
            // A watch that ends or is silent before all were seen distorts the figure: whoever reads it should know.
            let unseen = have.iter().find(|(_, seen)| !**seen);
            println!(
                "# a watch from {version} ended or was silent when {missing} of {count} Services were not seen with an address, such as {:?}",
                unseen.map(|(name, _)| name)
            );
            ensure!(
                Instant::now() < limit,
                "{missing} of {count} Services have no address after 10 minutes"
            );
        }
    }

    /// A client that knows the answer and only PUTs it, with the same watch beside it.
    async fn plain(&self, prefix: &str, count: usize) -> Result<f64> {
        self.create(prefix, count, false).await?;
        let list: Vec<Service> = self
            .services
            .list(&Default::default())
            .await?
            .into_iter()
            .filter(|s| s.name_any().starts_with(prefix))
            .collect();
        let start = Instant::now();
        let writes = stream::iter(list.into_iter().enumerate())
            .map(|(i, mut service)| async move {
                let ip = Ipv4Addr::from(0x0a41_0000 + u32::try_from(i)?);
                service.status = Some(serde_json::from_value(
                    json!({"loadBalancer": {"ingress": [{"ip": ip}]}}),
                )?);
                let name = service.name_any();
                self.services
                    .replace_status(&name, &PostParams::default(), &service)
                    .await?;
                anyhow::Ok(())
            })
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<Vec<()>>();
        let (done, written) = tokio::join!(self.assigned(prefix, count), writes);
        written?;
        Ok(count as f64 / (done? - start).as_secs_f64())
    }

    /// Milliseconds that one status PUT of the plain client takes until a watch shows it, in the median of five.
    async fn one_put(&self) -> Result<f64> {
        let mut puts = Vec::new();
        for i in 0..5 {
            puts.push(1000.0 / self.plain(&format!("one{i}-"), 1).await?);
        }
        self.clear().await?;
        Ok(median(&mut puts))
    }

    /// Services per second from the configuration's arrival to the last address; reference: the plain client.
    async fn assign(&self, count: usize) -> Result<()> {
        // once for warmth, then measured
        self.plain("warm-", count / 10).await?;
        let reference = self.plain("plain-", count).await?;
        self.clear().await?;
        self.create("ours-", count, false).await?;
        let _controller = self.controller(&[])?;
        self.until_answers(17472).await?;
        let start = Instant::now();
        self.configure(BIG_POOL).await?;
        let done = self.assigned("ours-", count).await?;
        figure(
            &format!("assign_{count}"),
            count as f64 / (done - start).as_secs_f64(),
            "services/s",
            reference,
        );
        self.clear().await
    }

    /// Milliseconds from a change of the configuration to the address of a Service that waited for it, with `held`
    /// other Services; reference: one status PUT of the plain client, seen by the same watch.
    async fn reload(&self, held: usize, file: bool) -> Result<()> {
        let path = self.work.join("config.yaml");
        let narrow = "address-pools:\n- name: big\n  protocol: layer2\n  addresses: [10.64.0.0/16]\n  auto-assign: true\n- name: late\n  protocol: layer2\n  addresses: [10.70.0.0/32]\n  auto-assign: false\n";
        let set = |text: String| {
            let path = path.clone();
            async move {
                if file {
                    let next = path.with_extension("next");
                    std::fs::write(&next, text)?;
                    std::fs::rename(&next, &path)?;
                    anyhow::Ok(())
                } else {
                    self.configure(&text).await
                }
            }
        };
        let reference = self.one_put().await?;
        set(narrow.to_owned()).await?;
        self.create("held-", held, false).await?;
        let flag = format!("--config-file={}", path.display());
        let _controller = self.controller(
            if file {
                std::slice::from_ref(&flag)
            } else {
                &[]
            }
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .as_slice(),
        )?;
        self.assigned("held-", held).await?;
        self.quiet().await?;
        let mut times = Vec::new();
        for round in 0..10u32 {
            let name = format!("late{round}");
            let service = serde_json::from_value(json!({
                "metadata": {"name": name, "annotations": {"metallb.universe.tf/address-pool": format!("late{round}")}},
                "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}))?;
            self.services
                .create(&PostParams::default(), &service)
                .await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
            let mut text = narrow.to_owned();
            for r in 0..=round {
                text.push_str(&format!("- name: late{r}\n  protocol: layer2\n  addresses: [10.71.0.{r}/32]\n  auto-assign: false\n"));
            }
            let watch = self.assigned(&name, 1);
            let change = async {
                // the watch must be there first
                tokio::time::sleep(Duration::from_millis(200)).await;
                let start = Instant::now();
                set(text).await?;
                anyhow::Ok(start)
            };
            let (seen, start) = tokio::join!(watch, change);
            times.push((seen? - start?).as_secs_f64() * 1000.0);
        }
        let kind = if file { "reload_file" } else { "reload" };
        figure(
            &format!("{kind}_{held}_p50"),
            median(&mut times),
            "ms",
            reference,
        );
        figure(
            &format!("{kind}_{held}_max"),
            times.last().copied().unwrap_or_default(),
            "ms",
            reference,
        );
        self.clear().await
    }

    /// Resident memory of controller and speaker with `count` Services that have addresses; reference: the API
    /// server's for the same objects.
    async fn memory(&self, count: usize) -> Result<()> {
        self.configure(BIG_POOL).await?;
        self.create("mem-", count, false).await?;
        let api: u64 = rss_of("kube-apiserver")?;
        let controller = self.controller(&[])?;
        self.assigned("mem-", count).await?;
        self.endpoints("mem-", count).await?;
        self.namespace()?;
        let speaker = self.start(
            "SPEAKER",
            "speaker",
            Some("flb-bench"),
            &["-disable-epslices"],
        )?;
        tokio::time::sleep(Duration::from_secs(8)).await;
        figure(
            &format!("rss_controller_{count}"),
            controller.rss_kib()? as f64 / 1024.0,
            "MiB",
            api as f64 / 1024.0,
        );
        let pid = speaker.0.id();
        ensure!(
            std::path::Path::new(&format!("/proc/{pid}")).exists(),
            "the speaker ended: see {}",
            self.work.display()
        );
        figure(
            &format!("rss_speaker_{count}"),
            speaker.rss_kib()? as f64 / 1024.0,
            "MiB",
            api as f64 / 1024.0,
        );
        // a controller that starts with everything assigned has the same to hold
        drop(controller);
        let again = self.controller(&[])?;
        tokio::time::sleep(Duration::from_secs(6)).await;
        figure(
            &format!("rss_controller_restarted_{count}"),
            again.rss_kib()? as f64 / 1024.0,
            "MiB",
            api as f64 / 1024.0,
        );
        drop((again, speaker));
        self.clear().await
    }

    /// Milliseconds from a Service's creation to its address in the watch, and from there to the first gratuitous ARP
    /// on the LAN; from the speaker's start to its first. References: one status PUT of the plain client; a list of
    /// all Services by a new client.
    async fn latency(&self, rounds: usize) -> Result<()> {
        let put = self.one_put().await?;
        self.namespace()?;
        self.configure(BIG_POOL).await?;
        let _controller = self.controller(&[])?;
        let speaker = self.start(
            "SPEAKER",
            "speaker",
            Some("flb-bench"),
            &["-disable-epslices"],
        )?;
        self.until_answers(17472).await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let sniffer = Sniffer::start("lan0")?;
        let (mut address, mut announced) = (Vec::new(), Vec::new());
        for i in 0..rounds {
            let name = format!("lat{i}");
            self.endpoints_of(&name).await?;
            let watch = self.assigned(&name, 1);
            let create = async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let start = Instant::now();
                let service = serde_json::from_value(json!({"metadata": {"name": name},
                    "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}))?;
                self.services
                    .create(&PostParams::default(), &service)
                    .await?;
                anyhow::Ok(start)
            };
            let (seen, start) = tokio::join!(watch, create);
            let (seen, start) = (seen?, start?);
            let ip: Ipv4Addr = self
                .services
                .get(&name)
                .await
                .ok()
                .and_then(|s| first_address(&s))
                .context("no address")?
                .parse()?;
            let heard = sniffer
                .wait(ip, Duration::from_secs(10))
                .with_context(|| format!("no gratuitous ARP for {ip}"))?;
            address.push((seen - start).as_secs_f64() * 1000.0);
            // it may be on the wire before this watch has heard of the address
            announced.push(heard.saturating_duration_since(seen).as_secs_f64() * 1000.0);
        }
        figure("address_after_create_p50", median(&mut address), "ms", put);
        figure(
            "address_after_create_max",
            address.last().copied().unwrap_or_default(),
            "ms",
            put,
        );
        figure(
            "announced_after_address_p50",
            median(&mut announced),
            "ms",
            put,
        );
        figure(
            "announced_after_address_max",
            announced.last().copied().unwrap_or_default(),
            "ms",
            put,
        );
        let ip: Ipv4Addr = self
            .services
            .get("lat0")
            .await
            .ok()
            .and_then(|s| first_address(&s))
            .context("no address")?
            .parse()?;
        drop(speaker);
        tokio::time::sleep(Duration::from_secs(6)).await;
        sniffer.forget();
        let list = Instant::now();
        let fresh = client().await?;
        Api::<Service>::all(fresh).list(&Default::default()).await?;
        let list = list.elapsed().as_secs_f64() * 1000.0;
        let start = Instant::now();
        let _speaker = self.start(
            "SPEAKER",
            "speaker",
            Some("flb-bench"),
            &["-disable-epslices"],
        )?;
        let heard = sniffer
            .wait(ip, Duration::from_secs(30))
            .context("no gratuitous ARP after the start")?;
        figure(
            "first_announcement_after_start",
            (heard - start).as_secs_f64() * 1000.0,
            "ms",
            list,
        );
        self.clear().await
    }

    /// A namespace on the LAN for the speaker: it is to be one host among others.
    fn namespace(&self) -> Result<()> {
        let script = "ip netns list | grep -qw flb-bench || { ip netns add flb-bench && ip link add flb-bench0 type veth peer name eth0 netns flb-bench && ip link set flb-bench0 master lan0 up && ip -n flb-bench addr add 172.30.0.50/24 dev eth0 && ip -n flb-bench link set lo up && ip -n flb-bench link set eth0 up; }";
        let out = Command::new("bash").args(["-c", script]).output()?;
        ensure!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(())
    }

    /// Until the API server's own watch cache has caught up: after thousands of writes its watches are seen minutes behind,
    /// whoever watches.
    async fn quiet(&self) -> Result<()> {
        let limit = Instant::now() + Duration::from_secs(600);
        loop {
            let name = "probe";
            let seen = async {
                let field = WatchParams::default()
                    .fields("metadata.name=probe")
                    .timeout(60);
                let version = self
                    .services
                    .list(&ListParams::default().limit(1))
                    .await?
                    .metadata
                    .resource_version
                    .unwrap_or_default();
                let start = Instant::now();
                let mut events = self.services.watch(&field, &version).await?.boxed();
                let service = serde_json::from_value(
                    json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}),
                )?;
                self.services
                    .create(&PostParams::default(), &service)
                    .await?;
                while let Some(event) = events.try_next().await? {
                    if matches!(event, WatchEvent::Added(_)) {
                        break;
                    }
                }
                anyhow::Ok(start.elapsed())
            };
            let took = seen.await?;
            self.services.delete(name, &DeleteParams::default()).await?;
            if took < Duration::from_millis(200) {
                return Ok(());
            }
            ensure!(
                Instant::now() < limit,
                "the API server's watches are {took:?} behind"
            );
        }
    }

    async fn endpoints(&self, prefix: &str, count: usize) -> Result<()> {
        stream::iter(0..count)
            .map(|i| async move { self.endpoints_of(&format!("{prefix}{i}")).await })
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    async fn endpoints_of(&self, name: &str) -> Result<()> {
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), "bench");
        let object = serde_json::from_value(json!({"metadata": {"name": name}, "subsets": [{
            "addresses": [{"ip": "10.244.1.9", "nodeName": "bench-node"}, {"ip": "10.244.2.9", "nodeName": "bench-node"}],
            "ports": [{"port": 80}]}]}))?;
        let _ = api.create(&PostParams::default(), &object).await;
        Ok(())
    }

    /// Until the program's `/metrics` says that a connection is possible at all.
    async fn until_answers(&self, port: u16) -> Result<()> {
        let limit = Instant::now() + Duration::from_secs(30);
        #[expect(clippy::disallowed_types, reason = "a benchmark waits for a real port")]
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(
                Instant::now() < limit,
                "nothing listens on port {port}: see {}",
                self.work.display()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(())
    }
}

fn has_address(service: &Service) -> bool {
    first_address(service).is_some()
}

fn first_address(service: &Service) -> Option<String> {
    service
        .status
        .as_ref()?
        .load_balancer
        .as_ref()?
        .ingress
        .as_ref()?
        .first()?
        .ip
        .clone()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn rss_of(name: &str) -> Result<u64> {
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        if status
            .lines()
            .next()
            .is_some_and(|l| l.split_whitespace().nth(1) == Some(name))
        {
            let line = status
                .lines()
                .find(|l| l.starts_with("VmRSS:"))
                .context("no VmRSS")?;
            return Ok(line.split_whitespace().nth(1).context("VmRSS")?.parse()?);
        }
    }
    bail!("no process is called {name}")
}

/// Listens for ARP on an interface and remembers when each sender address was first heard.
struct Sniffer {
    heard: std::sync::Arc<std::sync::Mutex<BTreeMap<Ipv4Addr, Instant>>>,
}

impl Sniffer {
    fn start(interface: &str) -> Result<Self> {
        use std::io::Read;
        const ETH_P_ARP: u16 = 0x0806;
        let socket = socket2::Socket::new(
            socket2::Domain::PACKET,
            socket2::Type::RAW,
            Some(socket2::Protocol::from(i32::from(ETH_P_ARP.to_be()))),
        )?;
        socket
            .bind_device(Some(interface.as_bytes()))
            .context("bind")?;
        let heard = std::sync::Arc::new(std::sync::Mutex::new(BTreeMap::new()));
        let map = heard.clone();
        std::thread::spawn(move || {
            let mut socket = socket;
            let mut frame = [0u8; 2048];
            while let Ok(length) = socket.read(&mut frame) {
                let now = Instant::now();
                if let Some(&[a, b, c, d]) = frame.get(..length).and_then(|f| f.get(28..32)) {
                    map.lock()
                        .expect("no panic holds it")
                        .entry(Ipv4Addr::new(a, b, c, d))
                        .or_insert(now);
                }
            }
        });
        Ok(Self { heard })
    }

    fn wait(&self, ip: Ipv4Addr, limit: Duration) -> Option<Instant> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Some(at) = self.heard.lock().expect("no panic holds it").get(&ip) {
                return Some(*at);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    }

    fn forget(&self) {
        self.heard.lock().expect("no panic holds it").clear();
    }
}
