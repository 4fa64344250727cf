//! The recorded histories, replayed through the pure controller and a model of the API server.
//!
//! The same comparison is made on a real API server by the cluster tests.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/histories.rs"]
mod histories;
#[path = "support/model.rs"]
mod model;

use std::collections::BTreeMap;

use ferrolb::view::{KubernetesEvent, ObjectKey, Port, Service};
use ferrolb_compat::names;

use histories::{Comparison, History, Manifest, Operation, Said, State};
use model::Model;

#[test]
fn each_step_of_the_recorded_histories_ends_as_it_did_with_metallb() {
    let histories = histories::all();
    let mut differences = Vec::new();
    let mut steps = 0;
    for history in &histories {
        let mut comparison = Comparison::of(history);
        replay(history, &mut comparison);
        differences.extend(comparison.finish());
        steps += history.steps.len();
    }
    assert_eq!((histories.len(), steps), (8, 381), "histories are missing");
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn replay(history: &History, comparison: &mut Comparison) {
    let mut model = Model::new();
    model.configure(&history.start);
    model.rest();
    for step in &history.steps {
        match &step.operation {
            Operation::Create(manifest) => {
                let number = step.number;
                let cluster_ips = manifest
                    .families
                    .iter()
                    .map(|family| match family.as_str() {
                        "IPv4" => format!("10.96.0.{number}"),
                        _ => format!("fd00:96::{number}"),
                    })
                    .collect();
                model.put(service(manifest, cluster_ips, Vec::new()));
            }
            Operation::Update(manifest) => {
                let old = &model.services[&manifest.name];
                let new = service(manifest, old.cluster_ips.clone(), old.ingress.clone());
                model.put(new);
            }
            Operation::Delete(name) => model.delete(name),
            Operation::Status(name, ips) => {
                let mut changed = model.services[name].clone();
                changed.ingress.clone_from(ips);
                model.put(changed);
            }
            Operation::Config(text) => model.configure(text),
            Operation::Restart => model.restart(),
        }
        model.rest();
        let got = state(&mut model);
        comparison.compare(step, &got);
    }
}

fn service(manifest: &Manifest, cluster_ips: Vec<String>, ingress: Vec<String>) -> Service {
    let (namespace, name) = manifest.name.split_once('/').unwrap();
    let annotation = |name: &str| manifest.annotations.get(name).cloned();
    Service {
        key: ObjectKey::new(namespace, name),
        uid: "".into(),
        resource_version: "".into(),
        is_load_balancer: manifest.is_load_balancer,
        load_balancer_class: None,
        cluster_ips,
        load_balancer_ip: manifest.load_balancer_ip.clone(),
        local_traffic_policy: manifest.local,
        selector: manifest.selector.clone(),
        ports: manifest
            .ports
            .iter()
            .map(|(protocol, port)| Port {
                protocol: protocol.as_str().into(),
                port: *port,
            })
            .collect(),
        annotation_pool: annotation(names::ANNOTATION_ADDRESS_POOL),
        annotation_ips: annotation(names::ANNOTATION_LOAD_BALANCER_IPS),
        sharing_key: annotation(names::ANNOTATION_ALLOW_SHARED_IP).unwrap_or_default(),
        ingress,
    }
}

fn state(model: &mut Model) -> State {
    let services: BTreeMap<_, _> = model
        .services
        .iter()
        .map(|(name, service)| (name.clone(), service.ingress.clone()))
        .collect();
    let stats = model.controller.stats();
    State {
        services,
        pools: stats
            .pools
            .into_iter()
            .map(|(name, capacity, in_use)| (name, (capacity, in_use)))
            .collect(),
        loaded: stats.config_loaded,
        stale: stats.config_stale,
        events: std::mem::take(&mut model.events)
            .into_iter()
            .map(said)
            .collect(),
    }
}

fn said(event: KubernetesEvent) -> Said {
    Said {
        kind: if event.warning { "Warning" } else { "Normal" }.to_owned(),
        reason: event.reason.to_owned(),
        service: event.about.key.to_string(),
        message: event.message,
    }
}
