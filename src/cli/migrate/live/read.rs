//! Reading a cluster: what a migration looks at, with the least rights that show it.

use ferrolb_compat::yaml::emit;
use serde_json::Value;

use super::{IO, Stop};
use crate::cluster::kubernetes::session::{Collection, Refused, Session};
use crate::migrate::live::inventory::{Inventory, Node, Object, Program, Served, Service};
use crate::migrate::live::{GROUP, Kind, list, text};

/// The objects of a kind in a namespace.
pub(super) fn collection(kind: Kind, namespace: &str) -> Collection {
    Collection {
        path: kind.path(namespace),
        resource: kind.resource(),
        namespace: namespace.to_owned(),
    }
}

/// A collection that is no migration's own.
fn other(path: &str, resource: &str, namespace: &str) -> Collection {
    Collection {
        path: path.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
    }
}

/// The Services of a namespace.
pub(super) fn services_of(namespace: &str) -> Collection {
    other(
        &format!("/api/v1/namespaces/{namespace}/services"),
        "services",
        namespace,
    )
}

/// The ConfigMaps of a namespace.
pub(super) fn config_maps(namespace: &str) -> Collection {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    other(&path, "configmaps", namespace)
}

/// Deployments or DaemonSets.
pub(super) fn workloads(plural: &str, namespace: &str) -> Collection {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/{plural}");
    other(&path, &format!("{plural}.apps"), namespace)
}

/// The minor version of `v1.20.2`.
fn minor(version: &str) -> Option<u32> {
    let rest = version.strip_prefix('v')?.strip_prefix("1.")?;
    rest.split(['.', '+', '-']).next()?.parse().ok()
}

/// What may be missing; what cannot be read is noted, and only what is no matter of rights ends the command.
fn noted<T: Default>(
    inventory: &mut Inventory,
    answer: Result<Option<T>, Refused>,
) -> Result<T, Refused> {
    match answer {
        Ok(found) => Ok(found.unwrap_or_default()),
        Err(refused) if refused.is_forbidden() => {
            inventory.unread.push(refused.to_string());
            Ok(T::default())
        }
        Err(refused) => Err(refused),
    }
}

/// Reads all but Secrets.
pub(super) async fn inventory(
    session: &Session,
    namespace: &str,
    config_name: &str,
) -> Result<Inventory, Stop> {
    let mut inventory = Inventory {
        server: session.server.clone(),
        kubernetes: minor(&session.version),
        namespace: namespace.to_owned(),
        ..Inventory::default()
    };
    inventory.config_map = session.get(&config_maps(namespace), config_name).await?;
    inventory.cluster = cluster(session).await?;
    for (kind, plural) in [("Deployment", "deployments"), ("DaemonSet", "daemonsets")] {
        let found = noted(
            &mut inventory,
            session.list(&workloads(plural, namespace)).await,
        )?;
        let programs = found
            .iter()
            .filter_map(|object| Program::read(kind, object));
        inventory.programs.extend(programs);
    }
    let all = other("/api/v1/services", "services", "");
    let found = noted(&mut inventory, session.list(&all).await)?;
    inventory.services = found.iter().filter_map(Service::read).collect();
    inventory.services.sort_by(|a, b| a.key.cmp(&b.key));
    let nodes = other("/api/v1/nodes", "nodes", "");
    let found = noted(&mut inventory, session.list(&nodes).await)?;
    inventory.nodes = found.iter().map(Node::read).collect();
    definitions(session, &mut inventory).await?;
    let hooks = other(
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "",
    );
    let found: Vec<Value> = noted(&mut inventory, session.list(&hooks).await)?;
    let about_us = |hook: &&Value| {
        list(hook, "/webhooks").iter().any(|webhook| {
            list(webhook, "/rules")
                .iter()
                .any(|rule| list(rule, "/apiGroups").iter().any(|group| group == GROUP))
        })
    };
    inventory.webhooks = found
        .iter()
        .filter(about_us)
        .map(|hook| text(hook, "/metadata/name").to_owned())
        .collect();
    for kind in Kind::WRITTEN.into_iter().chain([Kind::ADDRESS_POOL]) {
        if !inventory.serves(kind) {
            continue;
        }
        let found = session.list(&collection(kind, namespace)).await?;
        let objects = found.unwrap_or_default().into_iter();
        let objects = objects.map(|object| Object::read(kind.name, object));
        inventory.objects.extend(objects);
    }
    Ok(inventory)
}

/// Which cluster it is; empty: nobody may know.
pub(super) async fn cluster(session: &Session) -> Result<String, Refused> {
    let namespaces = other("/api/v1/namespaces", "namespaces", "");
    match session.get(&namespaces, "kube-system").await {
        Ok(found) => Ok(found.map_or(String::new(), |it| text(&it, "/metadata/uid").to_owned())),
        Err(refused) if refused.is_forbidden() => Ok(String::new()),
        Err(refused) => Err(refused),
    }
}

/// The custom resources that the server knows: their definitions, or where these may not be read, their names.
pub(super) async fn definitions(
    session: &Session,
    inventory: &mut Inventory,
) -> Result<(), Refused> {
    let definitions = other(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "customresourcedefinitions.apiextensions.k8s.io",
        "",
    );
    match session.list(&definitions).await {
        Ok(found) => {
            let found = found.unwrap_or_default();
            inventory.served = found.iter().filter_map(Served::read).collect();
        }
        Err(refused) if refused.is_forbidden() => {
            inventory.served = discovered(session).await?;
            inventory.unread.push(refused.to_string());
        }
        Err(refused) => return Err(refused),
    }
    Ok(())
}

/// What discovery tells everybody.
async fn discovered(session: &Session) -> Result<Vec<Served>, Refused> {
    let mut served: Vec<Served> = Vec::new();
    let groups = other(&format!("/apis/{GROUP}"), GROUP, "");
    for version in ["v1beta1", "v1beta2"] {
        let Some(resources) = session.get(&groups, version).await? else {
            continue;
        };
        for resource in list(&resources, "/resources") {
            let kind = text(resource, "/kind");
            match served.iter_mut().find(|known| known.kind == kind) {
                Some(known) => {
                    known.versions.insert(version.to_owned());
                }
                None => served.push(Served {
                    kind: kind.to_owned(),
                    versions: [version.to_owned()].into(),
                    fields: None,
                }),
            }
        }
    }
    Ok(served)
}

/// Ends the command if something that it cannot do without could not be read.
pub(super) fn must_have(inventory: &Inventory, resources: &[&str]) -> Result<(), Stop> {
    let missing: Vec<&str> = inventory
        .unread
        .iter()
        .filter(|unread| {
            let mut words = unread.split(' ');
            words.any(|word| resources.contains(&word))
        })
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Stop::Because(IO, missing.join("; ")))
}

/// The cluster's resources and the Secrets of its peers, as one list of manifests.
pub(super) async fn resources(session: &Session, namespace: &str) -> Result<String, Stop> {
    let mut inventory = Inventory::default();
    definitions(session, &mut inventory).await?;
    let mut objects = Vec::new();
    for kind in Kind::WRITTEN.into_iter().chain([Kind::ADDRESS_POOL]) {
        if !inventory.serves(kind) {
            continue;
        }
        let found = session.list(&collection(kind, namespace)).await?;
        for mut object in found.unwrap_or_default() {
            // Items of lists do not say what they are.
            object["apiVersion"] = kind.api_version().into();
            object["kind"] = kind.name.into();
            objects.push(object);
        }
    }
    if inventory.served.is_empty() {
        let what = "the server does not know MetalLB's custom resources: there is nothing to read";
        return Err(Stop::Because(IO, what.to_owned()));
    }
    let mut secrets: Vec<String> = objects
        .iter()
        .map(|object| text(object, "/spec/passwordSecret/name").to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    secrets.sort();
    secrets.dedup();
    for name in secrets {
        let collection = collection(Kind::SECRET, namespace);
        if let Some(object) = session.get(&collection, &name).await? {
            objects.push(object);
        }
    }
    let mut out = String::new();
    for object in &objects {
        out.push_str("---\n");
        emit::write(&mut out, &emitted(object));
    }
    Ok(out)
}

/// From JSON's values to the emitter's.
fn emitted(value: &Value) -> emit::Value {
    match value {
        Value::Null => emit::Value::Null,
        Value::Bool(truth) => emit::Value::Bool(*truth),
        // No number of these resources has a fraction.
        Value::Number(number) => number
            .as_i64()
            .map_or_else(|| emit::Value::text(number.to_string()), emit::Value::Int),
        Value::String(text) => emit::Value::text(text),
        Value::Array(items) => emit::Value::List(items.iter().map(emitted).collect()),
        Value::Object(map) => emit::Value::Map(
            map.iter()
                .map(|(key, value)| (key.clone(), emitted(value)))
                .collect(),
        ),
    }
}
