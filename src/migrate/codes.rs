//! The codes of findings: what each means at length, for `ferrolb migrate explain` and for reports that programs read.
//!
//! Invariant: a code never changes its meaning, and none is used twice.

use super::Level;

/// A code and what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// `MIG012`
    pub code: &'static str,
    /// The level that it usually has.
    pub level: Level,
    /// In a few words.
    pub title: &'static str,
    /// What it means and what to do.
    pub text: &'static str,
}

/// The code, if it is one of the migration's.
#[must_use]
pub fn find(code: &str) -> Option<&'static Code> {
    CODES
        .iter()
        .find(|known| known.code.eq_ignore_ascii_case(code))
}

const fn code(code: &'static str, level: Level, title: &'static str, text: &'static str) -> Code {
    Code {
        code,
        level,
        title,
        text,
    }
}

use Level::{Blocked, Info, Invalid, Warning};

/// All of them, in order.
pub const CODES: &[Code] = &[
    code(
        "MIG001",
        Invalid,
        "unknown key",
        "MetalLB 0.12 reads its configuration strictly: a key that it does not know makes it refuse all of it and go on with the last good one. Upstream's converter drops such a key without a word. Correct the key; the help names the one that was probably meant.",
    ),
    code(
        "MIG002",
        Invalid,
        "a key that is there twice",
        "MetalLB 0.12 refuses a configuration in which a mapping has a key twice. Upstream's converter takes the last one. Remove one of them.",
    ),
    code(
        "MIG003",
        Invalid,
        "wrong type",
        "The value has a type that MetalLB 0.12 does not take there, for example a number between quotes, or a list where a text is wanted. Write it in the type that the message names.",
    ),
    code(
        "MIG004",
        Invalid,
        "protocol is neither layer2 nor bgp",
        "MetalLB 0.12 refuses the configuration. Upstream's converter makes a pool without any advertisement of it: addresses are assigned and never announced. Write `layer2` or `bgp`.",
    ),
    code(
        "MIG005",
        Invalid,
        "bgp-advertisements on a layer2 pool",
        "MetalLB 0.12 refuses the configuration. Upstream's converter announces the pool in both protocols. Remove the advertisements, or make the pool one of protocol bgp.",
    ),
    code(
        "MIG006",
        Invalid,
        "the same peer twice",
        "MetalLB 0.12 refuses two peers that are equal in every value, defaults included (port 179 and no port are the same). Remove one.",
    ),
    code(
        "MIG007",
        Invalid,
        "the same advertisement twice",
        "MetalLB 0.12 refuses two advertisements of one pool that are equal in every value. Remove one.",
    ),
    code(
        "MIG008",
        Invalid,
        "pools overlap",
        "An address is in two pools, or twice in one. MetalLB 0.12 refuses it, and so does every later release. Take the address out of one of them.",
    ),
    code(
        "MIG009",
        Info,
        "a text that upstream's converter rewrites",
        "The value has no quotes and looks like a number or a boolean: MetalLB 0.12 keeps the text as it is written (`0123456`), upstream's converter writes what YAML takes it for (`42798`). Here it is kept. Nothing is to do; compare if the resources were made with upstream's converter before.",
    ),
    code(
        "MIG010",
        Warning,
        "an AS number that is cut",
        "MetalLB 0.12 reads a number with a point (`65010.1`) as what stands before the point, so the sessions run with that AS number, and the resources say the same. If another one was meant, write it as one number.",
    ),
    code(
        "MIG011",
        Warning,
        "further YAML documents",
        "MetalLB 0.12 reads the first document only; what follows `---` or `...` has never been in force and is not converted.",
    ),
    code(
        "MIG012",
        Warning,
        "a pool gets another name",
        "The pool's name is none that an API server takes for a resource. Services that ask for the pool by the annotation `metallb.universe.tf/address-pool` lose their address unless they ask for the new name: `ferrolb migrate services` lists them. From 0.14.9 on the annotation `metallb.io/address-pool` with the new name can be added in advance, since 0.12 does not read it. `--names map=FILE` chooses other names, `--names keep` refuses instead.",
    ),
    code(
        "MIG013",
        Info,
        "two names become the same",
        "Two names differ only in what a resource's name cannot have (`My_Pool`, `my-pool`). A name that is valid stays; the other one gets six digits of the SHA-256 of its original.",
    ),
    code(
        "MIG014",
        Warning,
        "a Service asks for a pool by its old name",
        "The Service's annotation names a pool that is renamed. Until it names the new one, the new controller takes its address away.",
    ),
    code(
        "MIG015",
        Warning,
        "a Service's address is in no pool",
        "MetalLB 0.12 to 0.13 keep such an address, later releases take it away.",
    ),
    code(
        "MIG016",
        Info,
        "a BFD profile gets another name",
        "The name is none that an API server takes. The peers that refer to it get the new one; nothing else refers to profiles.",
    ),
    code(
        "MIG017",
        Info,
        "selectors or values that are there twice",
        "MetalLB 0.12 takes equal node selectors, and equal values in one; every later release refuses them. They are written once, which means the same.",
    ),
    code(
        "MIG018",
        Info,
        "hold time cut to whole seconds",
        "MetalLB 0.12 cuts it, because BGP counts in seconds. The resource has the cut value, since later releases do not cut.",
    ),
    code(
        "MIG019",
        Blocked,
        "a hold time of 0",
        "In 0.12 it is really 0: no keepalives, the session never times out. 0.13.0 to 0.14.8 take it for 90 s, 0.14.9 and later for 0 again. Convert for 0.14.9 or later, or write another time; `--allow MIG019` takes the 90 s.",
    ),
    code(
        "MIG020",
        Blocked,
        "a keepalive time of 0",
        "In 0.12 it is really 0; 0.13.0 to 0.14.8 take it for a third of the hold time. Convert for 0.14.9 or later, or remove it; `--allow MIG020` takes the third.",
    ),
    code(
        "MIG021",
        Blocked,
        "a keepalive time in native mode",
        "Native BGP refuses it, in 0.12 and later. Such a configuration runs with FRR: convert with `--bgp-mode frr`, or remove it.",
    ),
    code(
        "MIG022",
        Blocked,
        "a port above 16384",
        "The schema of BGPPeer allows ports up to 16384, so an API server refuses the resource. The router must listen on another port.",
    ),
    code(
        "MIG023",
        Blocked,
        "an aggregation length below 1",
        "MetalLB 0.12 takes 0 and less where it does no harm; the schema of BGPAdvertisement wants 1 at least. Where the pool has no address of the family the length is left out; else announce two halves.",
    ),
    code(
        "MIG024",
        Warning,
        "advertisements that make the same route",
        "Two advertisements of a pool make the same route. Native BGP in 0.12 announces the last of them; FRR unites their communities and takes the highest localpref. Later releases refuse different localprefs, or go by the order of names. One resource says what 0.12 did. With `--advertisements one-per-entry`, and where the target refuses, this stops the conversion.",
    ),
    code(
        "MIG025",
        Info,
        "localprefs told apart by a length without meaning",
        "0.13.10 to 0.14.9 refuse different localprefs in one pool unless the lengths of both families differ. The pool has addresses of one family only, so the other family's length means nothing, and is set to tell the advertisements apart.",
    ),
    code(
        "MIG026",
        Blocked,
        "IPv6 with native BGP",
        "Native BGP announces no IPv6. Before 0.14.9 it refuses every BGPAdvertisement while any pool has IPv6 addresses, even one of layer2.",
    ),
    code(
        "MIG027",
        Blocked,
        "BFD's echo function while IPv6 is announced",
        "0.13.10 and later refuse the whole configuration. Switch echo-mode off, announce the IPv6 pool by layer2, or convert for a release before 0.13.10.",
    ),
    code(
        "MIG028",
        Blocked,
        "what FRR has once for all peers",
        "FRR has one router ID and one AS number for all sessions of a speaker, and one session per address. MetalLB 0.12's native mode takes a configuration with several; FRR refuses it. Make them equal, or convert with `--bgp-mode native`.",
    ),
    code(
        "MIG029",
        Info,
        "a session for both families",
        "MetalLB 0.12 announces routes of both families over each session. From 0.15.0 on FRR does so only with dualStackAddressFamily, which the resource gets.",
    ),
    code(
        "MIG030",
        Info,
        "a password in plain text",
        "With `--password inline` the password stands in the BGPPeer, where everybody who may read peers reads it. Without it a Secret holds it.",
    ),
    code(
        "MIG031",
        Blocked,
        "Kubernetes 1.36 and the schemas before 0.16",
        "The schema of BGPPeer says int32 of AS numbers and a maximum that no int32 has: Kubernetes 1.36 and later refuses every BGPPeer. Convert for 0.16 or later.",
    ),
    code(
        "MIG032",
        Warning,
        "another namespace",
        "The resources go to another namespace than the ConfigMap is in. MetalLB reads resources of its own namespace only.",
    ),
    code(
        "MIG033",
        Warning,
        "nodes that will not announce",
        "From 0.14.2 on nodes with the label node.kubernetes.io/exclude-from-external-load-balancers announce nothing. 0.12 does not look at it. kubeadm sets it on control planes.",
    ),
    code(
        "MIG034",
        Warning,
        "the chart's BGP implementation is another",
        "MetalLB's chart takes native to 0.13.9, FRR to 0.15, FRR-K8s from 0.16.0, unless told otherwise. Set speaker.frr.enabled and frrk8s.enabled in the values to what was converted for.",
    ),
    code(
        "MIG035",
        Info,
        "the ORIGIN of routes",
        "Native BGP says ORIGIN incomplete in 0.12 and IGP from 0.13.2 on. A router that compares routes of the same length from different places may choose otherwise.",
    ),
    code(
        "MIG036",
        Warning,
        "a node's address in a pool",
        "0.15.0, and no other release, refuses a pool that contains the address of a node.",
    ),
    code(
        "MIG037",
        Warning,
        "a pool without addresses",
        "A range from one family to the other has no addresses, in 0.12 and later. Write a range of one family.",
    ),
    code(
        "MIG038",
        Info,
        "a community's name that nothing uses",
        "No advertisement uses the name. It is converted; `--prune-unused` leaves it out.",
    ),
    code(
        "MIG039",
        Info,
        "a control character in a value",
        "The value has DEL or another control character, which upstream's converter cannot write: it stops in the middle of its file. Here it is written with an escape, or in base64 where it is a password.",
    ),
    code(
        "MIG040",
        Blocked,
        "a resource that is there already",
        "The cluster has a resource of this name that says something else and is not ours, or a pool that overlaps.",
    ),
    code(
        "MIG041",
        Warning,
        "buggy addresses cut out",
        "Releases before 0.13.4 cannot leave out the addresses that end in .0 and .255: the pool is written as ranges without them. What cannot be cut so stops the conversion.",
    ),
    code(
        "MIG042",
        Warning,
        "loadBalancerIP and pool disagree",
        "The Service asks for an address of one pool and, by annotation, for another pool. 0.12 goes by the address; 0.13.10 and later fail the Service.",
    ),
    code(
        "MIG043",
        Warning,
        "a ConfigMap that the pods do not read",
        "MetalLB 0.12 reads the ConfigMap that `--config` names, `config` unless told otherwise, and of it the key `config`. With `--config-name` a ConfigMap of another name is refused.",
    ),
    code(
        "MIG044",
        Warning,
        "a hold time that BGP cannot say",
        "BGP has 16 bits for the hold time: 65535 s at most.",
    ),
    code(
        "MIG045",
        Blocked,
        "BFD with native BGP",
        "Native BGP has no BFD: the API server takes the BFDProfile, and then every speaker keeps its old configuration. Convert with `--bgp-mode frr`, or remove the profiles.",
    ),
    code(
        "MIG046",
        Info,
        "an empty configuration",
        "MetalLB 0.12 takes an empty text for a valid configuration without pools and peers, so there are no resources. If that is not what runs, another ConfigMap or another key was meant.",
    ),
    code(
        "MIG047",
        Warning,
        "settings of FerroLB's own",
        "The ConfigMap's key `ferrolb` holds settings that the target does not have. They are not converted; the message says what newer releases, or FRR, have instead. (graceful-restart is converted for 0.14.6 and later with FRR: MIG075.)",
    ),
    code(
        "MIG048",
        Warning,
        "not quite the same, as was allowed",
        "A finding was allowed with `--allow`, and the resources do not mean what 0.12 does: the message says where they differ.",
    ),
    code(
        "MIG049",
        Blocked,
        "an API server refuses the resource",
        "The resource does not fit the schema of the target release: an unknown field, a wrong type, a value out of bounds.",
    ),
    code(
        "MIG050",
        Blocked,
        "the new controller runs already",
        "While the resources come one by one, a controller of 0.13 or later takes the address of every Service whose pool it has not seen. Stop it first.",
    ),
    code(
        "MIG051",
        Blocked,
        "the cluster does not know the resources",
        "The CustomResourceDefinitions of the target are not installed, or are of another release. Install them, and no controller yet.",
    ),
    code(
        "MIG052",
        Warning,
        "a webhook that nobody answers",
        "MetalLB's ValidatingWebhookConfiguration is in the cluster, and no controller of 0.13 or later runs that answers it: the API server refuses every resource. Delete it; the new controller's manifests bring it back.",
    ),
    code(
        "MIG060",
        Blocked,
        "a field that 0.12 does not have",
        "0.12's peers have no such setting: vrf, dynamicASN, interface, connectTime, localASN, disableMP. With `--lossy` it is left out, with a comment where it was. enableGracefulRestart becomes a setting of FerroLB's (MIG075), unless native BGP would refuse it, another peer of the same address and port has it not, or `--output data` leaves no place for settings.",
    ),
    code(
        "MIG061",
        Blocked,
        "a pool announced by both protocols, or by none",
        "In 0.12 a pool has one protocol. Announce it by layer2 or by BGP. With `--lossy` one that has both becomes one of bgp, and one that has none of layer2.",
    ),
    code(
        "MIG062",
        Blocked,
        "an advertisement for some",
        "0.12 announces from all nodes, on all interfaces, to all peers, for all Services. With `--lossy` the limits are left out.",
    ),
    code(
        "MIG063",
        Blocked,
        "a pool for some",
        "In 0.12 any Service may have an address of any pool. With `--lossy` serviceAllocation is left out.",
    ),
    code(
        "MIG064",
        Blocked,
        "a large community",
        "0.12 has communities of two 16-bit numbers only. With `--lossy` it is left out.",
    ),
    code(
        "MIG065",
        Blocked,
        "a password that cannot be had",
        "The Secret that the peer names is not among the resources (`--secrets FILE` adds it), it is no text, or there is a password as well.",
    ),
    code(
        "MIG066",
        Blocked,
        "a session of one family",
        "Routes of the other family are announced as well, and over this session the target does not send them. 0.12 sends both families over every session. With `--lossy` it will.",
    ),
    code(
        "MIG067",
        Blocked,
        "a kind that 0.12 cannot say",
        "The kind, or its version, is none that a configuration of 0.12 can be made of.",
    ),
    code(
        "MIG068",
        Blocked,
        "0.12 refuses what it would have to be",
        "The configuration that says the same is one that 0.12 refuses: the message is its own.",
    ),
    code(
        "MIG069",
        Blocked,
        "a reference to what is not there",
        "A pool, a BFD profile or a community that is named does not exist, so that the target does not run this either.",
    ),
    code(
        "MIG070",
        Blocked,
        "it would not mean the same",
        "The ConfigMap was made and compared with the resources, and they differ. Please tell us: this should have been found before.",
    ),
    code(
        "MIG071",
        Info,
        "a name given back",
        "The resource was renamed when it was converted; the ConfigMap gets the name that it had.",
    ),
    code(
        "MIG072",
        Info,
        "a time cut to whole seconds",
        "BGP counts in seconds, and 0.12 cuts times to them.",
    ),
    code(
        "MIG073",
        Blocked,
        "resources of several namespaces",
        "MetalLB reads the resources of its own namespace. Say with `--namespace` which one is meant.",
    ),
    code(
        "MIG074",
        Blocked,
        "one Secret for several passwords",
        "`--password external=NAME` makes every peer refer to one Secret, and the peers have different passwords.",
    ),
    code(
        "MIG075",
        Info,
        "graceful restart of FerroLB's settings",
        "With the setting graceful-restart of the ConfigMap's key `ferrolb` a router keeps the routes while a speaker starts again. From 0.14.6 on BGPPeers have enableGracefulRestart for it, with FRR (native BGP refuses it), which the resources get. The field has no time: FRR asks for 120 s; where the setting has another time this is a warning. `reverse` makes the setting of the field, as a warning, since MetalLB 0.12 does not look at it.",
    ),
];
