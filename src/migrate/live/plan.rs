//! The steps of a migration in their order, the tool's and the operator's, and how far a cluster is.
//!
//! In: what was read, what was converted, what would change. Out: a [`Plan`], for people to read: nothing acts on it.
//!
//! Upstream: a controller of 0.13.8 or later that finds no resources takes the address of every Service; to 0.13.7 it does
//! so for pools that it has not seen yet. So the resources come first, and 0.12, which does not read them, goes last.

use ferrolb_compat::migrate::Release;

use super::changes::{Changes, Wanted};
use super::inventory::{Inventory, Node, Role, Service, Software};
use super::services::{How, Remedy, Touched};
use super::{Kind, text};
use crate::config::Config;
use crate::migrate::{BgpMode, Level};

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is done.
    Done,
    /// It is to be done.
    ToDo,
    /// Something stands against it.
    Hindered,
    /// There is nothing to do.
    NotNeeded,
}

impl State {
    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::ToDo => "to do",
            Self::Hindered => "hindered",
            Self::NotNeeded => "not needed",
        }
    }
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub title: String,
    /// How far it is.
    pub state: State,
    /// What there is to know.
    pub notes: Vec<String>,
    /// How it is done.
    pub commands: Vec<String>,
}

/// Something to say about the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// How bad it is.
    pub level: Level,
    /// Its code.
    pub code: &'static str,
    /// What.
    pub message: String,
    /// What to do; empty: nothing.
    pub help: String,
}

/// The whole plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// What there is to say about the cluster.
    pub remarks: Vec<Remark>,
    /// The Services that would lose their addresses if the new controller came before the resources.
    pub endangered: Vec<(String, Vec<String>)>,
}

/// What a plan is made of.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'s> {
    /// What was read.
    pub inventory: &'s Inventory,
    /// What is wanted.
    pub wanted: &'s Wanted<'s>,
    /// What would change.
    pub changes: &'s Changes,
    /// Who will speak BGP.
    pub mode: BgpMode,
    /// The name of the ConfigMap.
    pub config_name: &'s str,
    /// The options that each command is to be given.
    pub options: &'s str,
}

/// The plan.
#[must_use]
pub fn plan(situation: &Situation<'_>) -> Plan {
    let inventory = situation.inventory;
    let served = inventory.services.iter();
    let endangered: Vec<&Service> = served
        .filter(|service| !service.addresses.is_empty())
        .collect();
    Plan {
        steps: vec![
            situation.backup(),
            situation.check(),
            situation.definitions(),
            situation.resources(),
            situation.annotations(),
            situation.verify(),
            situation.upgrade(),
            situation.addresses(),
            situation.last(),
        ],
        remarks: remarks(inventory, situation.wanted, situation.config_name),
        endangered: endangered
            .into_iter()
            .map(|service| (service.key.to_string(), service.addresses.clone()))
            .collect(),
    }
}

fn step(title: &str, state: State, notes: Vec<String>, commands: Vec<String>) -> Step {
    Step {
        title: title.to_owned(),
        state,
        notes,
        commands,
    }
}

/// `3 things`, `1 thing`.
fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

impl Situation<'_> {
    fn command(&self, words: &str) -> String {
        format!("ferrolb migrate {words}{}", self.options)
    }

    /// Whether all resources and annotations are as they should be.
    fn is_applied(&self) -> bool {
        self.changes.objects.is_empty()
    }

    fn backup(&self) -> Step {
        let (namespace, name) = (&self.inventory.namespace, self.config_name);
        let notes = vec![
            "apply keeps the ConfigMap, the Services' annotations and addresses in its rollback file, before it changes \
             anything; the file holds the peers' passwords, and only its owner may read it"
                .to_owned(),
        ];
        let commands = vec![format!(
            "kubectl get configmap -n {namespace} {name} -o yaml > {name}.yaml"
        )];
        step("keep a copy of the ConfigMap", State::ToDo, notes, commands)
    }

    fn check(&self) -> Step {
        let touched = self.wanted.touched;
        let open = touched
            .iter()
            .filter(|touched| touched.how.level() >= Level::Warning);
        let mut notes: Vec<String> = touched.iter().map(describe).collect();
        if notes.is_empty() {
            notes.push("no Service is touched by a rename or a lost address".to_owned());
        }
        let state = if open.count() == 0 {
            State::Done
        } else {
            State::ToDo
        };
        let commands = vec![self.command("services")];
        step(
            "look at the Services that are touched",
            state,
            notes,
            commands,
        )
    }

    fn definitions(&self) -> Step {
        let target = self.wanted.target;
        let missing: Vec<&str> = Kind::WRITTEN
            .into_iter()
            .filter(|kind| !self.inventory.serves(*kind))
            .map(|kind| kind.name)
            .collect();
        let vintage = self.inventory.vintage();
        let mut notes = Vec::new();
        let state = if !missing.is_empty() {
            notes.push(format!("not there: {}", missing.join(", ")));
            State::ToDo
        } else if let Some(vintage) = vintage.filter(|vintage| !vintage.contains(target)) {
            notes.push(format!("those that are there are of {vintage}"));
            State::ToDo
        } else {
            State::Done
        };
        let mut commands = Vec::new();
        if state == State::ToDo {
            notes.push(
                "the definitions alone: no controller and no webhook configuration yet".to_owned(),
            );
            commands.push(format!(
                "kubectl apply -f config/crd/bases   # in MetalLB's source, tag v{target}; in its chart, the folder of the \
                 sub-chart crds"
            ));
        }
        let title = format!("install the custom resource definitions of MetalLB {target}");
        step(&title, state, notes, commands)
    }

    fn resources(&self) -> Step {
        let changes = self.changes;
        let mut notes = Vec::new();
        if !changes.objects.is_empty() {
            let updates = changes
                .objects
                .iter()
                .filter(|c| c.before.is_some())
                .count();
            let created = changes.objects.len() - updates;
            let mut note = format!("{} to create", count(created, "object"));
            if updates > 0 {
                note += &format!(", {updates} of ours to change");
            }
            notes.push(note + &format!("; {} as they should be", changes.unchanged));
            let of_kind = [Kind::SECRET].into_iter().chain(Kind::WRITTEN);
            let kinds: Vec<String> = of_kind
                .map(|kind| {
                    (
                        kind,
                        changes.objects.iter().filter(|c| c.kind == kind).count(),
                    )
                })
                .filter(|(_, number)| *number > 0)
                .map(|(kind, number)| format!("{number} {}", kind.name))
                .collect();
            notes.push(format!("in this order: {}", kinds.join(", ")));
            notes.push("MetalLB 0.12 and FerroLB do not read them: nothing changes yet".to_owned());
        }
        let hindrances = changes.hindrances.iter();
        notes.extend(hindrances.clone().map(|hindrance| {
            format!(
                "{}: {} ({})",
                hindrance.code, hindrance.what, hindrance.help
            )
        }));
        let state = if hindrances.len() > 0 {
            State::Hindered
        } else if self.is_applied() {
            State::Done
        } else {
            State::ToDo
        };
        let commands = match state {
            State::Done => Vec::new(),
            _ => vec![
                self.command("diff"),
                self.command("apply --dry-run server"),
                self.command("apply"),
            ],
        };
        step("apply the resources", state, notes, commands)
    }

    fn annotations(&self) -> Step {
        let renamed = |touched: &&Touched| matches!(touched.how, How::Renamed { .. });
        let all = self.wanted.touched.iter().filter(renamed).count();
        let open = self.changes.annotations.len();
        let replaces = self.wanted.touched.iter().any(|touched| {
            matches!(
                touched.how,
                How::Renamed {
                    remedy: Remedy::Replace,
                    ..
                }
            )
        });
        let (state, notes) = if all == 0 {
            (State::NotNeeded, Vec::new())
        } else if open == 0 {
            (State::Done, Vec::new())
        } else if replaces {
            let notes = vec![
                format!("{} with the old name of a pool; this target reads one annotation only", count(open, "Service")),
                "stop the controller before, the speakers go on announcing; apply changes them then, and the new controller \
                 is started after that"
                    .to_owned(),
            ];
            (State::ToDo, notes)
        } else {
            let notes = vec![
                format!(
                    "{} with the old name of a pool: apply adds the new annotation",
                    count(open, "Service")
                ),
                "where manifests are kept elsewhere (GitOps, Helm), add it there, too".to_owned(),
            ];
            (State::ToDo, notes)
        };
        step(
            "let Services of renamed pools ask for the new name",
            state,
            notes,
            Vec::new(),
        )
    }

    fn verify(&self) -> Step {
        let state = if self.is_applied() {
            State::Done
        } else {
            State::ToDo
        };
        let commands = vec![self.command("verify --crs cluster")];
        let title = "prove that the resources in the cluster mean what the ConfigMap means";
        step(title, state, Vec::new(), commands)
    }

    fn upgrade(&self) -> Step {
        let target = self.wanted.target;
        let programs = &self.inventory.programs;
        let done = !programs.is_empty()
            && programs
                .iter()
                .all(|program| program.software == Software::Resources(target));
        let mut notes: Vec<String> = programs
            .iter()
            .map(|program| format!("today: {} ({})", program.workload, program.image))
            .collect();
        if programs.is_empty() {
            notes.push("neither controller nor speaker was found".to_owned());
        }
        let (frr, frr_k8s) = match self.mode {
            BgpMode::Native => (false, false),
            BgpMode::Frr => (true, false),
            BgpMode::FrrK8s => (false, true),
        };
        let mut values = format!("--set speaker.frr.enabled={frr}");
        if target >= Release::new(14, 0) {
            values += &format!(" --set frrk8s.enabled={frr_k8s}");
        }
        notes.push(format!(
            "BGP mode {}: MetalLB's chart of {target} takes {} unless told otherwise",
            self.mode,
            BgpMode::of_chart(target)
        ));
        notes.push("with Helm: take configInline out of the values".to_owned());
        let commands = vec![format!(
            "helm upgrade -n {} metallb metallb/metallb --version {target} {values}",
            self.inventory.namespace
        )];
        let state = if done { State::Done } else { State::ToDo };
        let title = format!("upgrade controller and speakers to MetalLB {target}");
        step(
            &title,
            state,
            if done { Vec::new() } else { notes },
            if done { Vec::new() } else { commands },
        )
    }

    fn addresses(&self) -> Step {
        let kept = self
            .inventory
            .services
            .iter()
            .filter(|service| !service.addresses.is_empty());
        let notes = vec![format!(
            "Services that have an address today: {}; sessions should be up, and routes as before",
            kept.count()
        )];
        let commands = vec![self.command("services --kept ROLLBACK_FILE")];
        step(
            "see that every Service kept its address",
            State::ToDo,
            notes,
            commands,
        )
    }

    fn last(&self) -> Step {
        let (namespace, name) = (&self.inventory.namespace, self.config_name);
        let state = if self.inventory.config_map.is_none() {
            State::Done
        } else {
            State::ToDo
        };
        let notes = vec!["until then everything can be undone".to_owned()];
        let commands = vec![format!("kubectl delete configmap -n {namespace} {name}")];
        step("delete the ConfigMap, last of all", state, notes, commands)
    }
}

/// A Service and how it is touched.
fn describe(touched: &Touched) -> String {
    let addresses = if touched.addresses.is_empty() {
        "no address".to_owned()
    } else {
        touched.addresses.join(", ")
    };
    format!("{} ({addresses}) {}", touched.key, touched.how)
}

/// What there is to say about the cluster.
fn remarks(inventory: &Inventory, wanted: &Wanted<'_>, config_name: &str) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut say = |level, code, message: String, help: &str| {
        remarks.push(Remark {
            level,
            code,
            message,
            help: help.to_owned(),
        });
    };
    for program in &inventory.programs {
        let read = program.config_map.as_deref().unwrap_or("config");
        if program.software == Software::ConfigMap && read != config_name {
            say(
                Level::Warning,
                "MIG043",
                format!(
                    "{} reads the ConfigMap {read:?}, and this is {config_name:?}",
                    program.workload
                ),
                "give its name with --config-name",
            );
        }
    }
    if let Some(map) = &inventory.config_map
        && text(map, "/metadata/namespace") != inventory.namespace
    {
        say(
            Level::Warning,
            "MIG032",
            format!(
                "the ConfigMap is of the namespace {:?}, the resources go to {:?}: MetalLB reads them from its own namespace",
                text(map, "/metadata/namespace"),
                inventory.namespace
            ),
            "give the namespace that MetalLB runs in with --namespace",
        );
    }
    for remark in nodes(&inventory.nodes, wanted.config, wanted.target) {
        say(remark.level, remark.code, remark.message, &remark.help);
    }
    if !inventory.webhooks.is_empty()
        && inventory
            .running(Role::Controller)
            .all(|program| !matches!(program.software, Software::Resources(_)))
    {
        say(
            Level::Warning,
            "MIG052",
            format!(
                "the webhook configuration {} is there, and no controller answers it: the server refuses every resource",
                inventory.webhooks.join(", ")
            ),
            "delete it until the new controller runs, which brings it back",
        );
    }
    remarks
}

/// What is to say about the nodes of a cluster.
#[must_use]
pub fn nodes(nodes: &[Node], config: &Config, target: Release) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let excluded: Vec<&str> = nodes
        .iter()
        .filter(|node| node.is_excluded)
        .map(|node| node.name.as_str())
        .collect();
    if target >= Release::new(14, 2) && !excluded.is_empty() {
        let names = excluded.iter().take(10).copied().collect::<Vec<_>>();
        remarks.push(Remark {
            level: Level::Warning,
            code: "MIG033",
            message: format!(
                "{} labelled node.kubernetes.io/exclude-from-external-load-balancers: 0.12 announces from there, {target} does not: {}",
                count(excluded.len(), "node"),
                names.join(", ")
            ),
            help: "remove the label, or from 0.14.4 on start the speakers with --ignore-exclude-lb".to_owned(),
        });
    }
    if target == Release::new(15, 0) {
        for node in nodes {
            let mut pools = config.pools.iter();
            let pool =
                pools.find(|pool| node.addresses.iter().any(|address| pool.contains(*address)));
            if let Some(pool) = pool {
                remarks.push(Remark {
                    level: Level::Blocked,
                    code: "MIG036",
                    message: format!(
                        "the pool {:?} has an address of the node {}, which 0.15.0 refuses",
                        pool.name, node.name
                    ),
                    help: "convert for 0.15.1 or later".to_owned(),
                });
            }
        }
    }
    remarks
}
