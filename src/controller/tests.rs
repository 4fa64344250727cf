//! The controller, event by event.

use std::sync::Arc;

use super::*;
use crate::journal::Subject;
use crate::view::{ConfigMap, Port, Service, StatusWrite};

mod configuration;
mod services;
mod writes;

/// Two auto-assign pools of two IPv4 addresses each, and one that must be asked for.
const POOLS: &str = "\
address-pools:
- name: first
  protocol: layer2
  addresses: [10.0.0.0/31, 'fd00:1::/127']
- name: second
  protocol: layer2
  addresses: [10.0.1.0/31]
- name: asked
  protocol: bgp
  auto-assign: false
  addresses: [10.0.2.0/30]
";

/// A controller under test, and what it wanted done since that was last taken.
struct Bench {
    controller: Controller,
    writes: Vec<StatusWrite>,
    events: Vec<KubernetesEvent>,
    logs: Vec<Record>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Params::default())
    }

    fn with(params: Params) -> Self {
        Self {
            controller: Controller::new(params),
            writes: Vec::new(),
            events: Vec::new(),
            logs: Vec::new(),
        }
    }

    /// At work, with these pools and without Services.
    fn working(text: &str) -> Self {
        let mut bench = Self::new();
        bench.configure(text);
        bench.handle(Event::ServicesSynced);
        bench.settle();
        bench.take();
        bench
    }

    fn handle(&mut self, event: Event) {
        self.controller.handle(event);
        while let Some(effect) = self.controller.poll_effect() {
            match effect {
                Effect::WriteStatus(write) => self.writes.push(write),
                Effect::Record(event) => self.events.push(event),
                Effect::Log(record) => self.logs.push(record),
            }
        }
    }

    fn configure(&mut self, text: &str) {
        self.handle(Event::ConfigMap(ConfigMap {
            key: ObjectKey::new("metallb-system", "config"),
            uid: "config-uid".into(),
            settings: None,
            config: Some(text.into()),
            origin: "test".to_owned(),
        }));
    }

    fn tell(&mut self, service: &Service) {
        self.handle(Event::Service(Box::new(service.clone())));
    }

    /// Tells the Service, does the writes that follow, and comes to rest.
    fn put(&mut self, service: &mut Service) {
        self.tell(service);
        self.settle();
        self.echo(service);
    }

    /// The server does the last write for this Service, if there is one, and tells it.
    fn echo(&mut self, service: &mut Service) {
        let Some(place) = self
            .writes
            .iter()
            .rposition(|write| write.key == service.key)
        else {
            return;
        };
        let write = self.writes.remove(place);
        assert_eq!(
            write.resource_version, service.resource_version,
            "this write would lose"
        );
        show(
            service,
            &write
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
        );
        self.outcome(service, WriteOutcome::Written);
        self.tell(service);
        self.settle();
    }

    fn outcome(&mut self, service: &Service, outcome: WriteOutcome) {
        self.handle(Event::StatusWrite(service.key.clone(), outcome));
    }

    fn gone(&mut self, service: &Service) {
        self.handle(Event::ServiceGone(service.key.clone()));
    }

    fn settle(&mut self) {
        self.handle(Event::Settled);
    }

    /// The writes since they were last taken, as `name: addresses`.
    fn writes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.writes)
            .into_iter()
            .map(|write| {
                let addresses: Vec<_> = write.addresses.iter().map(ToString::to_string).collect();
                format!("{}: {}", write.key.name(), addresses.join(" "))
            })
            .collect()
    }

    /// The Events since they were last taken, as `name reason`.
    fn reasons(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events)
            .into_iter()
            .map(|event| format!("{} {}", event.about.key.name(), event.reason))
            .collect()
    }

    /// The Events since they were last taken, as `name: text`.
    fn texts(&mut self) -> Vec<String> {
        std::mem::take(&mut self.events)
            .into_iter()
            .map(|event| format!("{}: {}", event.about.key.name(), event.message))
            .collect()
    }

    /// The subjects of the log lines since they were last taken, but for `noChange`.
    fn logged(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.logs)
            .into_iter()
            .map(|record| match record.subject {
                Subject::Event(name) | Subject::Op(name) => name,
            })
            .filter(|name| *name != "noChange")
            .collect()
    }

    /// Forgets what was wanted so far.
    fn take(&mut self) {
        self.writes.clear();
        self.events.clear();
        self.logs.clear();
    }

    fn in_use(&self) -> i64 {
        self.controller
            .stats()
            .pools
            .iter()
            .map(|pool| pool.2)
            .sum()
    }
}

/// A LoadBalancer Service that wants one IPv4 address.
fn service(name: &str) -> Service {
    Service {
        key: ObjectKey::new("default", name),
        uid: format!("uid-{name}").into(),
        resource_version: "1".into(),
        is_load_balancer: true,
        load_balancer_class: None,
        cluster_ips: vec!["10.96.0.1".to_owned()],
        load_balancer_ip: String::new(),
        local_traffic_policy: false,
        selector: BTreeMap::new(),
        ports: vec![port(80)],
        annotation_pool: None,
        annotation_ips: None,
        sharing_key: String::new(),
        ingress: Vec::new(),
    }
}

fn port(port: u16) -> Port {
    Port {
        protocol: "TCP".into(),
        port,
    }
}

/// The Service changes in a way that the caller has made: another version.
fn touch(service: &mut Service) {
    let version: u64 = service.resource_version.parse().unwrap();
    service.resource_version = Arc::from((version + 1).to_string());
}

/// Somebody writes these into the status.
fn show<T: AsRef<str>>(service: &mut Service, ingress: &[T]) {
    service.ingress = ingress.iter().map(|ip| ip.as_ref().to_owned()).collect();
    touch(service);
}

/// A Service that shows these.
fn showing(name: &str, ingress: &[&str]) -> Service {
    let mut service = service(name);
    show(&mut service, ingress);
    service
}
