#![expect(clippy::disallowed_methods, reason = "test: the clock is virtual")]

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::view::{ConfigMap, KubernetesEvent, Port, Service};

/// A cluster of one server in memory: it keeps versions as a real one does, and can be told to misbehave.
#[derive(Clone)]
struct Fake(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    changes: mpsc::Sender<Change>,
    /// Lets writes go on; none: they go on at once.
    gate: Option<tokio::sync::Semaphore>,
}

#[derive(Default)]
struct State {
    services: BTreeMap<ObjectKey, Service>,
    version: u64,
    /// What the next writes answer, before they do anything.
    answers: Vec<WriteError>,
    writes: Vec<StatusWrite>,
    at_once: usize,
    most_at_once: usize,
    per_service: BTreeMap<ObjectKey, usize>,
    events: Vec<KubernetesEvent>,
}

impl Fake {
    fn new(gate: Option<usize>) -> (Self, mpsc::Receiver<Change>) {
        let (changes, receiver) = mpsc::channel(16);
        let inner = Inner {
            state: Mutex::default(),
            changes,
            gate: gate.map(tokio::sync::Semaphore::new),
        };
        (Self(Arc::new(inner)), receiver)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    async fn tell(&self, change: Change) {
        self.0.changes.send(change).await.unwrap();
    }

    /// Stores a Service under a new version, and tells of it.
    async fn put(&self, mut service: Service) {
        {
            let mut state = self.state();
            state.version += 1;
            service.resource_version = state.version.to_string().into();
            state.services.insert(service.key.clone(), service.clone());
        }
        self.tell(Change::Service(Box::new(service))).await;
    }

    async fn start(&self, cidr: &str) {
        self.tell(Change::ConfigMap(config(cidr))).await;
        self.tell(Change::Synced(Kind::ConfigMap)).await;
        self.tell(Change::Synced(Kind::Services)).await;
    }

    fn ingress(&self) -> BTreeMap<String, Vec<String>> {
        self.state()
            .services
            .values()
            .map(|service| (service.key.name().to_owned(), service.ingress.clone()))
            .collect()
    }

    fn assigned(&self) -> usize {
        self.state()
            .services
            .values()
            .filter(|service| !service.ingress.is_empty())
            .count()
    }
}

impl Cluster for Fake {
    fn write_status(
        &self,
        write: StatusWrite,
    ) -> impl Future<Output = Result<(), WriteError>> + Send {
        let inner = self.0.clone();
        async move {
            let key = write.key.clone();
            {
                let mut state = inner.state.lock().unwrap();
                state.at_once += 1;
                state.most_at_once = state.most_at_once.max(state.at_once);
                let own = state.per_service.entry(key.clone()).or_default();
                *own += 1;
                assert_eq!(*own, 1, "two writes of {key} at once");
                state.writes.push(write.clone());
            }
            // Somebody else's turn, as over a network.
            tokio::task::yield_now().await;
            if let Some(gate) = &inner.gate {
                gate.acquire().await.unwrap().forget();
            }
            let (result, echo) = {
                let mut state = inner.state.lock().unwrap();
                state.at_once -= 1;
                state.per_service.remove(&key);
                state.store(&write)
            };
            if let Some(echo) = echo {
                let changes = inner.changes.clone();
                tokio::spawn(async move { changes.send(Change::Service(Box::new(echo))).await });
            }
            result
        }
    }

    fn record(&self, event: KubernetesEvent) {
        self.state().events.push(event);
    }
}

impl State {
    fn store(&mut self, write: &StatusWrite) -> (Result<(), WriteError>, Option<Service>) {
        if let Some(answer) = self.answers.pop() {
            return (Err(answer), None);
        }
        self.version += 1;
        let version = self.version;
        let Some(service) = self.services.get_mut(&write.key) else {
            return (Err(WriteError::Gone), None);
        };
        if service.resource_version != write.resource_version {
            return (Err(WriteError::Conflict), None);
        }
        service.resource_version = version.to_string().into();
        service.ingress = write.addresses.iter().map(IpAddr::to_string).collect();
        (Ok(()), Some(service.clone()))
    }
}

fn config(cidr: &str) -> ConfigMap {
    let text =
        format!("address-pools:\n- name: default\n  protocol: layer2\n  addresses:\n  - {cidr}\n");
    ConfigMap {
        key: ObjectKey::new("metallb-system", "config"),
        uid: "uid".into(),
        settings: None,
        config: Some(text.into()),
        origin: "ConfigMap metallb-system/config".to_owned(),
    }
}

fn service(name: &str) -> Service {
    Service {
        key: ObjectKey::new("default", name),
        uid: name.into(),
        resource_version: "".into(),
        is_load_balancer: true,
        load_balancer_class: None,
        cluster_ips: vec!["10.96.0.1".to_owned()],
        load_balancer_ip: String::new(),
        local_traffic_policy: false,
        selector: BTreeMap::new(),
        ports: vec![Port {
            protocol: "TCP".into(),
            port: 80,
        }],
        annotation_pool: None,
        annotation_ips: None,
        sharing_key: String::new(),
        ingress: Vec::new(),
    }
}

fn seat() -> Seat<metrics::Controller> {
    Seat {
        journal: Journal::silent(),
        metrics: Arc::default(),
        health: Arc::new(Health::new(&[Kind::ConfigMap, Kind::Services])),
        stop: CancellationToken::new(),
    }
}

struct Driven {
    seat: Seat<metrics::Controller>,
    task: tokio::task::JoinHandle<Ended>,
}

fn driven(fake: &Fake, changes: mpsc::Receiver<Change>) -> Driven {
    let seat = seat();
    let controller = Controller::new(Params::default());
    let task = tokio::spawn(drive(controller, changes, fake.clone(), seat.clone()));
    Driven { seat, task }
}

impl Driven {
    async fn end(self) {
        self.seat.stop.cancel();
        assert_eq!(self.task.await.unwrap(), Ended::Stopped);
    }

    fn page(&self) -> String {
        let mut registry = Registry::default();
        registry.add(self.seat.metrics.clone());
        registry.render()
    }
}

/// Waits for a condition, not for a time.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let patience = tokio::time::timeout(Duration::from_secs(60), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(patience.await.is_ok(), "{what} did not come true");
}

/// Lets everything that can happen without the clock happen.
async fn rest() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_micros(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_services_get_a_thousand_addresses() {
    let (fake, changes) = Fake::new(None);
    let driven = driven(&fake, changes);
    fake.start("192.0.2.0/24").await;
    fake.tell(Change::ConfigMap(config("198.18.0.0/22"))).await;
    for n in 0..1000 {
        fake.put(service(&format!("s{n:04}"))).await;
    }
    until("1,000 assignments", || fake.assigned() == 1000).await;
    rest().await;

    let addresses: std::collections::BTreeSet<_> = fake.ingress().into_values().collect();
    assert_eq!(addresses.len(), 1000);
    {
        let state = fake.state();
        assert!(state.most_at_once <= WRITES, "{}", state.most_at_once);
        assert!(state.most_at_once > 1, "{}", state.most_at_once);
        let told = |reason| {
            let events = state.events.iter();
            events.filter(|event| event.reason == reason).count()
        };
        assert_eq!(told("IPAllocated"), 1000);
        assert_eq!(told("AllocationFailed"), 0);
    }
    let page = driven.page();
    for line in [
        "metallb_allocator_addresses_in_use_total{pool=\"default\"} 1000\n",
        "metallb_allocator_addresses_total{pool=\"default\"} 1024\n",
        "metallb_k8s_client_config_loaded_bool 1\n",
        "metallb_k8s_client_config_stale_bool 0\n",
        "ferrolb_status_writes_total{outcome=\"refused\"} 0\n",
        "ferrolb_status_writes_total{outcome=\"unavailable\"} 0\n",
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
    driven.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_write_is_decided_again_on_the_newer_version() {
    let (fake, changes) = Fake::new(Some(0));
    let driven = driven(&fake, changes);
    fake.start("192.0.2.0/24").await;
    fake.put(service("a")).await;
    until("the first write", || fake.state().writes.len() == 1).await;
    // While it is under way somebody changes the Service.
    let mut changed = service("a");
    changed.annotation_ips = Some("192.0.2.7".to_owned());
    fake.put(changed).await;
    rest().await;
    assert_eq!(fake.state().writes.len(), 1, "one at a time");
    fake.0.gate.as_ref().unwrap().add_permits(10);
    until("the wanted address", || {
        fake.ingress()["a"] == ["192.0.2.7"]
    })
    .await;
    rest().await;
    assert!(
        driven
            .page()
            .contains("ferrolb_status_writes_total{outcome=\"superseded\"} 1\n")
    );
    assert!(
        driven
            .page()
            .contains("metallb_allocator_addresses_in_use_total{pool=\"default\"} 1\n")
    );
    driven.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_lost_waits_for_the_news_however_late_they_come() {
    let (fake, changes) = Fake::new(None);
    let driven = driven(&fake, changes);
    fake.state().answers.push(WriteError::Conflict);
    fake.start("192.0.2.0/24").await;
    fake.put(service("a")).await;
    until("the lost write", || {
        fake.state().writes.len() == 1 && fake.state().at_once == 0
    })
    .await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(fake.assigned(), 0);
    assert_eq!(fake.state().writes.len(), 1, "nothing is written blindly");
    fake.put(service("a")).await;
    until("the address", || fake.assigned() == 1).await;
    driven.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_is_asked_again_and_not_in_a_tight_circle() {
    let (fake, changes) = Fake::new(None);
    let driven = driven(&fake, changes);
    let away = || WriteError::Unavailable("connection refused".to_owned());
    fake.state().answers = (0..5).map(|_| away()).collect();
    fake.start("192.0.2.0/24").await;
    let begun = tokio::time::Instant::now();
    fake.put(service("a")).await;
    until("the address", || fake.assigned() == 1).await;
    assert_eq!(fake.state().writes.len(), 6);
    assert!(begun.elapsed() >= 5 * REST, "{:?}", begun.elapsed());
    assert!(
        driven
            .page()
            .contains("ferrolb_status_writes_total{outcome=\"unavailable\"} 5\n")
    );
    driven.end().await;
}

#[tokio::test(start_paused = true)]
async fn writes_begin_in_the_order_of_the_decisions() {
    let (fake, changes) = Fake::new(Some(0));
    let driven = driven(&fake, changes);
    fake.start("192.0.2.0/24").await;
    for n in 0..100 {
        fake.put(service(&format!("s{n:03}"))).await;
    }
    rest().await;
    assert_eq!(fake.state().writes.len(), WRITES);
    fake.0.gate.as_ref().unwrap().add_permits(100);
    until("100 assignments", || fake.assigned() == 100).await;
    let order: Vec<String> = fake
        .state()
        .writes
        .iter()
        .map(|write| write.key.name().to_owned())
        .collect();
    let mut sorted = order.clone();
    sorted.sort();
    assert_eq!(order, sorted);
    driven.end().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_given_away_before_all_services_are_told() {
    let (fake, changes) = Fake::new(None);
    let driven = driven(&fake, changes);
    fake.tell(Change::ConfigMap(config("192.0.2.1/32"))).await;
    fake.tell(Change::Synced(Kind::ConfigMap)).await;
    fake.put(service("a-new")).await;
    rest().await;
    assert_eq!(fake.state().writes.len(), 0);
    let mut holder = service("z-holder");
    holder.ingress = vec!["192.0.2.1".to_owned()];
    fake.put(holder).await;
    fake.tell(Change::Synced(Kind::Services)).await;
    rest().await;
    assert_eq!(fake.ingress()["z-holder"], ["192.0.2.1"]);
    assert_eq!(fake.ingress()["a-new"], [""; 0]);
    assert_eq!(fake.state().writes.len(), 0);
    driven.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_is_told_and_a_stop_is_at_once() {
    let (fake, changes) = Fake::new(Some(0));
    let running = driven(&fake, changes);
    fake.start("192.0.2.0/24").await;
    fake.put(service("a")).await;
    rest().await;
    assert_eq!(fake.state().at_once, 1);
    // The write under way does not hold the end back.
    running.end().await;

    let (sender, changes) = mpsc::channel(1);
    let (fake, _) = Fake::new(None);
    let driven = driven(&fake, changes);
    drop(sender);
    assert_eq!(driven.task.await.unwrap(), Ended::SourceGone);
}
