//! A small API server without a network: objects with versions, status writes that are compare-and-swap, and a
//! controller that is driven as the program drives it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ferrolb::controller::{Controller, Effect, Event, Params, WriteOutcome};
use ferrolb::view::{ConfigMap, KubernetesEvent, ObjectKey, Service, StatusWrite};

/// More effects than this after one operation are a loop.
const LIMIT: usize = 10_000;

/// The server, the controller, and what is under way between them.
pub(crate) struct Model {
    /// The controller.
    pub(crate) controller: Controller,
    /// The Services.
    pub(crate) services: BTreeMap<String, Service>,
    /// The Kubernetes Events since they were last taken.
    pub(crate) events: Vec<KubernetesEvent>,
    config_map: Option<ConfigMap>,
    version: u64,
    /// What the controller has not been told yet.
    pub(crate) news: VecDeque<Event>,
    /// What the controller wants written.
    pub(crate) writes: VecDeque<StatusWrite>,
}

impl Model {
    /// An empty cluster with a controller that has just started.
    pub(crate) fn new() -> Self {
        let mut model = Self {
            controller: Controller::new(Params::default()),
            services: BTreeMap::new(),
            events: Vec::new(),
            config_map: None,
            version: 0,
            news: VecDeque::new(),
            writes: VecDeque::new(),
        };
        model.news.push_back(Event::ServicesSynced);
        model
    }

    /// The controller is killed, with whatever it had not done; another one starts.
    pub(crate) fn restart(&mut self) {
        self.controller = Controller::new(Params::default());
        self.news.clear();
        self.writes.clear();
        // Which of the two watches is first is chance.
        let config_map_first = self.version.is_multiple_of(2);
        let config_map = match &self.config_map {
            Some(map) => Event::ConfigMap(map.clone()),
            None => Event::ConfigMapGone,
        };
        if config_map_first {
            self.news.push_back(config_map.clone());
        }
        for service in self.services.values() {
            self.news
                .push_back(Event::Service(Box::new(service.clone())));
        }
        self.news.push_back(Event::ServicesSynced);
        if !config_map_first {
            self.news.push_back(config_map);
        }
    }

    /// Somebody applies the ConfigMap.
    pub(crate) fn configure(&mut self, text: &str) {
        let map = ConfigMap {
            key: ObjectKey::new("metallb-system", "config"),
            uid: "config-uid".into(),
            config: Some(text.into()),
            settings: None,
            origin: "model".to_owned(),
        };
        self.config_map = Some(map.clone());
        self.news.push_back(Event::ConfigMap(map));
    }

    /// Somebody creates or changes a Service.
    pub(crate) fn put(&mut self, mut service: Service) {
        let name = service.key.to_string();
        service.resource_version = self.next_version();
        match self.services.get(&name) {
            Some(old) => service.uid = old.uid.clone(),
            None => service.uid = format!("uid-{}", self.version).into(),
        }
        self.services.insert(name, service.clone());
        self.news.push_back(Event::Service(Box::new(service)));
    }

    /// Somebody deletes a Service.
    pub(crate) fn delete(&mut self, name: &str) {
        if let Some(service) = self.services.remove(name) {
            self.news.push_back(Event::ServiceGone(service.key));
        }
    }

    /// Drives everything until nothing happens any more.
    pub(crate) fn rest(&mut self) {
        for _ in 0..LIMIT {
            let told = self.tell();
            let written = self.write();
            if told || written {
                continue;
            }
            if !self.settle() {
                return;
            }
        }
        panic!("the controller does not come to rest");
    }

    /// Tells the controller the next thing, if there is one.
    pub(crate) fn tell(&mut self) -> bool {
        let Some(event) = self.news.pop_front() else {
            return false;
        };
        self.controller.handle(event);
        self.drain();
        true
    }

    /// Does the next status write, if there is one.
    pub(crate) fn write(&mut self) -> bool {
        let Some(write) = self.writes.pop_front() else {
            return false;
        };
        let outcome = self.swap(&write);
        self.news
            .push_back(Event::StatusWrite(write.key.clone(), outcome));
        true
    }

    /// Tells the controller that nothing else is waiting; says whether it wants anything done.
    pub(crate) fn settle(&mut self) -> bool {
        self.controller.handle(Event::Settled);
        self.drain()
    }

    fn swap(&mut self, write: &StatusWrite) -> WriteOutcome {
        let version = self.next_version();
        match self.services.get_mut(write.key.as_str()) {
            Some(service) if service.resource_version == write.resource_version => {
                service.resource_version = version;
                service.ingress = write.addresses.iter().map(ToString::to_string).collect();
                let echo = service.clone();
                self.news.push_back(Event::Service(Box::new(echo)));
                WriteOutcome::Written
            }
            _ => WriteOutcome::Superseded,
        }
    }

    /// Takes what the controller wants done; says whether there was anything but log lines.
    fn drain(&mut self) -> bool {
        let mut any = false;
        let mut count = 0;
        while let Some(effect) = self.controller.poll_effect() {
            count += 1;
            assert!(count < LIMIT, "one event causes effects without end");
            match effect {
                Effect::WriteStatus(write) => {
                    // A later one replaces one that has not begun.
                    self.writes.retain(|earlier| earlier.key != write.key);
                    self.writes.push_back(write);
                    any = true;
                }
                Effect::Record(event) => {
                    self.events.push(event);
                    any = true;
                }
                Effect::Log(_) => {}
            }
        }
        any
    }

    fn next_version(&mut self) -> Arc<str> {
        self.version += 1;
        self.version.to_string().into()
    }
}
