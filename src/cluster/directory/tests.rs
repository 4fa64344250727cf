//! Tests of the folder as a cluster: real files, real notifications.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::view::ObjectKey;

/// Long enough for the slowest machine: a test that waits this long has failed.
const LONG: Duration = Duration::from_secs(20);

/// A folder and the program that watches it.
struct Rig {
    dir: TempDir,
    records: Arc<Mutex<Vec<Record>>>,
    /// The state file, where it is not in the folder.
    state: Option<PathBuf>,
    running: Option<Running>,
}

struct Running {
    directory: Directory,
    changes: mpsc::Receiver<Change>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Rig {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            records: Arc::default(),
            state: None,
            running: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// As a careful editor writes.
    fn replace(&self, name: &str, text: &str) {
        let new = self.path(&format!(".{name}.swp"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    fn options(&self) -> Options {
        Options {
            dir: self.dir.path().to_path_buf(),
            config_name: "config".to_owned(),
            node_name: "host".into(),
            persistence: Persistence::File(
                self.state.clone().unwrap_or_else(|| self.path(STATE_FILE)),
            ),
            exclusive: true,
            own_files: vec![self.path(".ferrolb-status.json")],
        }
    }

    async fn try_open(&self, options: Options) -> Result<(Directory, Driver), OpenError> {
        let records = self.records.clone();
        let journal: Journal = Arc::new(move |record| records.lock().unwrap().push(record));
        Directory::open(options, journal).await
    }

    /// Starts, and gives what is told up to the last `Synced`.
    async fn start(&mut self) -> Vec<Change> {
        let (directory, driver) = self.try_open(self.options()).await.unwrap();
        let (sender, changes) = mpsc::channel(256);
        let cancel = CancellationToken::new();
        let task = tokio::spawn(driver.run(sender, cancel.clone()));
        self.running = Some(Running {
            directory,
            changes,
            cancel,
            task,
        });
        let mut first = Vec::new();
        while first.last() != Some(&Change::Synced(Kind::Services)) {
            first.push(self.next().await);
        }
        first
    }

    async fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.cancel.cancel();
        running.task.await.unwrap();
    }

    fn running(&mut self) -> &mut Running {
        self.running.as_mut().unwrap()
    }

    async fn next(&mut self) -> Change {
        next(&mut self.running().changes).await
    }

    async fn assign(&mut self, change: &Change, address: &str) -> Change {
        let Change::Service(service) = change else {
            panic!("{change:?}");
        };
        let write = view::StatusWrite {
            key: service.key.clone(),
            resource_version: service.resource_version.clone(),
            addresses: vec![address.parse().unwrap()],
        };
        let directory = self.running().directory.clone();
        directory.write_status(write).await.unwrap();
        self.next().await
    }

    /// Waits until the log has a line with this message.
    async fn said(&self, message: &str) -> Record {
        self.logged(message, |record| record.msg.contains(message))
            .await
    }

    /// Waits until the log has a line with this error.
    async fn said_error(&self, text: &str) -> Record {
        self.logged(text, |record| {
            record
                .error
                .as_ref()
                .is_some_and(|error| error.contains(text))
        })
        .await
    }

    async fn logged(&self, what: &str, is_it: impl Fn(&Record) -> bool) -> Record {
        let begun = Instant::now();
        loop {
            let found = self
                .records
                .lock()
                .unwrap()
                .iter()
                .find(|record| is_it(record))
                .cloned();
            if let Some(record) = found {
                return record;
            }
            assert!(
                begun.elapsed() < LONG,
                "not said: {what:?}; but {:?}",
                self.records.lock().unwrap()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Nothing was told but what the test has taken: the next word is that of a Node written now.
    async fn nothing_else(&mut self) {
        let name = format!("marker-{}", fs::read_dir(self.dir.path()).unwrap().count());
        self.write(
            &format!("zz-{name}.yaml"),
            &format!("{{apiVersion: v1, kind: Node, metadata: {{name: {name}}}}}"),
        );
        match self.next().await {
            Change::Node(node) => assert_eq!(*node.name, *name),
            other => panic!("{other:?}"),
        }
    }
}

async fn next(changes: &mut mpsc::Receiver<Change>) -> Change {
    let next = tokio::time::timeout(LONG, changes.recv()).await;
    next.expect("no change came").expect("the watcher ended")
}

fn web(port: u16) -> String {
    service("web", port)
}

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  type: LoadBalancer\n  ports:\n  - port: {port}\n"
    )
}

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config, namespace: metallb-system}\ndata:\n  \
                      config: |\n    address-pools: []\n";

/// `name:port:address` of a Service; the kind's name of anything else.
fn brief(change: &Change) -> String {
    match change {
        Change::Service(service) => format!(
            "{}:{}:{}",
            service.key.name(),
            service.ports.first().map_or(0, |port| port.port),
            service.ingress.join(",")
        ),
        Change::ServiceGone(key) => format!("-{}", key.name()),
        Change::ConfigMap(map) => format!(
            "config {}",
            map.config.as_deref().unwrap_or("(none)").trim()
        ),
        Change::Node(node) => format!("node {}", node.name),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_word_is_everything_and_then_synced() {
    let mut rig = Rig::new();
    rig.write("config.yaml", CONFIG);
    rig.write("web.yml", &web(80));
    rig.write(".hidden.yaml", "{ broken");
    rig.write("notes.txt", "{ broken");
    let first: Vec<_> = rig.start().await.iter().map(brief).collect();
    assert_eq!(
        first,
        [
            "config address-pools: []",
            "node host",
            "web:80:",
            "Speakers(Some({\"host\"}))",
            "Synced(ConfigMap)",
            "Synced(Nodes)",
            "Synced(Speakers)",
            "Synced(Endpoints)",
            "Synced(Services)",
        ]
    );
    rig.nothing_else().await;
}

#[tokio::test]
async fn an_empty_folder_says_that_there_is_no_configuration() {
    let mut rig = Rig::new();
    let first = rig.start().await;
    assert_eq!(
        first
            .iter()
            .filter(|change| **change == Change::ConfigMapGone)
            .count(),
        1
    );
    rig.write("config.yaml", "address-pools: []\n");
    assert_eq!(brief(&rig.next().await), "config address-pools: []");
    rig.nothing_else().await;
}

#[tokio::test]
async fn writes_replacements_and_removals_are_seen() {
    let mut rig = Rig::new();
    rig.start().await;
    rig.write("web.yaml", &web(80));
    assert_eq!(brief(&rig.next().await), "web:80:");
    rig.replace("web.yaml", &web(81));
    assert_eq!(brief(&rig.next().await), "web:81:");
    rig.write(
        "more.json",
        "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"more\"}}",
    );
    assert_eq!(brief(&rig.next().await), "more:0:");
    fs::remove_file(rig.path("web.yaml")).unwrap();
    assert_eq!(brief(&rig.next().await), "-web");
    rig.nothing_else().await;
}

#[tokio::test]
async fn a_file_that_is_away_for_a_moment_loses_nothing() {
    let mut rig = Rig::new();
    rig.write("web.yaml", &web(80));
    rig.start().await;
    // As editors do: move the old one away, write the new one; or truncate and write.
    fs::rename(rig.path("web.yaml"), rig.path("web.yaml~")).unwrap();
    rig.write("web.yaml", &web(81));
    assert_eq!(brief(&rig.next().await), "web:81:");
    rig.write("web.yaml", "");
    rig.write("web.yaml", &web(82));
    assert_eq!(brief(&rig.next().await), "web:82:");
    rig.nothing_else().await;
}

#[tokio::test]
async fn a_broken_file_leaves_what_it_gave_and_the_others_go_on() {
    let mut rig = Rig::new();
    rig.write("config.yaml", CONFIG);
    rig.write("web.yaml", &web(80));
    rig.start().await;
    rig.write("web.yaml", &web(80).replace("port: 80", "port: eighty"));
    let refused = rig.said("file refused").await;
    let error = refused.error.unwrap();
    assert!(error.contains("web.yaml:7:"), "{error}");
    assert_eq!(refused.level, Level::Error);
    assert_eq!(rig.running().directory.problems().len(), 1);
    rig.write("other.yaml", &service("other", 1));
    assert_eq!(brief(&rig.next().await), "other:1:");
    rig.write("web.yaml", &web(81));
    assert_eq!(brief(&rig.next().await), "web:81:");
    rig.said("file is good again").await;
    assert_eq!(rig.running().directory.problems(), Vec::<String>::new());
    rig.nothing_else().await;
}

#[tokio::test]
async fn a_mounted_config_map_is_swapped_atomically() {
    let mut rig = Rig::new();
    let version = |n: u8, text: &str| {
        fs::create_dir(rig.path(&format!("..v{n}"))).unwrap();
        rig.write(&format!("..v{n}/config.yaml"), text);
    };
    version(1, "address-pools: []\n");
    version(2, "peers: []\n");
    symlink("..v1", rig.path("..data")).unwrap();
    symlink("..data/config.yaml", rig.path("config.yaml")).unwrap();
    let first = rig.start().await;
    assert!(
        first
            .iter()
            .any(|change| brief(change) == "config address-pools: []")
    );
    symlink("..v2", rig.path("..data_tmp")).unwrap();
    fs::rename(rig.path("..data_tmp"), rig.path("..data")).unwrap();
    fs::remove_dir_all(rig.path("..v1")).unwrap();
    assert_eq!(brief(&rig.next().await), "config peers: []");
    // And where a link leads out of the folder, changes there are seen as well.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("real.yaml"), web(80)).unwrap();
    symlink(elsewhere.path().join("real.yaml"), rig.path("web.yaml")).unwrap();
    assert_eq!(brief(&rig.next().await), "web:80:");
    fs::write(elsewhere.path().join("real.yaml"), web(81)).unwrap();
    assert_eq!(brief(&rig.next().await), "web:81:");
    rig.nothing_else().await;
}

#[tokio::test]
async fn a_folder_that_vanishes_changes_nothing_until_it_is_back() {
    let mut rig = Rig::new();
    rig.write("web.yaml", &web(80));
    rig.start().await;
    let away = rig.dir.path().with_extension("away");
    fs::rename(rig.dir.path(), &away).unwrap();
    rig.said("nothing changes until it can").await;
    fs::create_dir(rig.dir.path()).unwrap();
    rig.write("web.yaml", &web(80));
    rig.write("more.yaml", &service("more", 1));
    assert_eq!(brief(&rig.next().await), "more:1:");
    rig.said("can be read again").await;
    rig.nothing_else().await;
    fs::remove_dir_all(away).unwrap();
}

#[tokio::test]
async fn addresses_survive_a_restart() {
    let mut rig = Rig::new();
    rig.write("web.yaml", &web(80));
    let first = rig.start().await;
    let web_change = first
        .iter()
        .find(|change| brief(change) == "web:80:")
        .unwrap();
    let echo = rig.assign(web_change, "10.0.0.1").await;
    assert_eq!(brief(&echo), "web:80:10.0.0.1");
    rig.nothing_else().await;
    rig.stop().await;
    let again = rig.start().await;
    assert!(
        again
            .iter()
            .any(|change| brief(change) == "web:80:10.0.0.1"),
        "{again:?}"
    );
    // Gone with its manifest, also when that goes while nobody looks.
    rig.stop().await;
    fs::remove_file(rig.path("web.yaml")).unwrap();
    rig.start().await;
    rig.said("no manifest has the Service any more").await;
    rig.stop().await;
    let state = fs::read_to_string(rig.path(STATE_FILE)).unwrap();
    assert!(!state.contains("10.0.0.1"), "{state}");
}

#[tokio::test]
async fn a_file_broken_at_the_start_gives_what_it_gave_before() {
    let mut rig = Rig::new();
    rig.write("all.yaml", &format!("{CONFIG}---\n{}", web(80)));
    let first = rig.start().await;
    let web_change = first
        .iter()
        .find(|change| brief(change) == "web:80:")
        .unwrap();
    rig.assign(web_change, "10.0.0.1").await;
    rig.stop().await;
    rig.write("all.yaml", "kind: [");
    let again: Vec<_> = rig.start().await.iter().map(brief).collect();
    assert!(again.contains(&"web:80:10.0.0.1".to_owned()), "{again:?}");
    assert!(
        again.contains(&"config address-pools: []".to_owned()),
        "{again:?}"
    );
    rig.said("what it gave before the restart stays in force")
        .await;
    // Mended, it is what it is now.
    rig.write("all.yaml", &format!("{CONFIG}---\n{}", web(81)));
    assert_eq!(brief(&rig.next().await), "web:81:10.0.0.1");
    rig.nothing_else().await;
}

#[tokio::test]
async fn a_damaged_state_file_is_said_and_kept() {
    let mut rig = Rig::new();
    rig.write("web.yaml", &web(80));
    rig.write(STATE_FILE, "{\"version\":1,");
    let first: Vec<_> = rig.start().await.iter().map(brief).collect();
    assert!(first.contains(&"web:80:".to_owned()), "{first:?}");
    let said = rig.said("the state file is damaged").await;
    assert_eq!(said.level, Level::Error);
    assert_eq!(
        fs::read_to_string(rig.path(".ferrolb-state.json.corrupt")).unwrap(),
        "{\"version\":1,"
    );
}

#[tokio::test]
async fn a_state_file_that_cannot_be_written_stops_the_start() {
    let rig = Rig::new();
    let options = Options {
        persistence: Persistence::File(rig.path("missing/state.json")),
        ..rig.options()
    };
    let Err(error) = rig.try_open(options).await else {
        panic!("opened");
    };
    assert!(error.to_string().contains("--ephemeral"), "{error}");
}

#[tokio::test]
async fn a_state_file_that_cannot_be_written_any_more_is_said_and_tried_again() {
    let mut rig = Rig::new();
    rig.write("web.yaml", &web(80));
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = elsewhere.path().join("state");
    fs::create_dir(&folder).unwrap();
    rig.state = Some(folder.join("state.json"));
    let first = rig.start().await;
    let web_change = first
        .iter()
        .find(|change| brief(change) == "web:80:")
        .unwrap();
    fs::remove_dir_all(&folder).unwrap();
    // It serves all the same.
    let echo = rig.assign(web_change, "10.0.0.1").await;
    assert_eq!(brief(&echo), "web:80:10.0.0.1");
    rig.said("the state file cannot be written").await;
    assert_eq!(rig.running().directory.problems().len(), 1);
    fs::create_dir(&folder).unwrap();
    rig.nothing_else().await;
    rig.said("the state file is written again").await;
    let state = fs::read_to_string(folder.join("state.json")).unwrap();
    assert!(state.contains("10.0.0.1"), "{state}");
    assert_eq!(rig.running().directory.problems(), Vec::<String>::new());
}

#[tokio::test]
async fn a_dry_run_writes_nothing_and_minds_no_other() {
    let mut rig = Rig::new();
    rig.write("web.yaml", &web(80));
    rig.start().await;
    // what the running instance has to say of the Service is on disk soon after it was told
    let before = loop {
        let now = fs::read(rig.path(STATE_FILE)).unwrap();
        if String::from_utf8_lossy(&now).contains("default/web") {
            break now;
        }
        tokio::task::yield_now().await;
    };
    let Err(error) = rig.try_open(rig.options()).await else {
        panic!("two instances");
    };
    assert!(error.to_string().contains("another instance"), "{error}");
    assert_eq!(is_running(rig.dir.path()).unwrap(), Some(true));

    let (sender, mut changes) = mpsc::channel(256);
    let options = Options {
        persistence: Persistence::ReadOnly(rig.path(STATE_FILE)),
        exclusive: false,
        ..rig.options()
    };
    let (dry, driver) = rig.try_open(options).await.unwrap();
    let cancel = CancellationToken::new();
    let task = tokio::spawn(driver.run(sender, cancel.clone()));
    let service = loop {
        if let Change::Service(service) = changes.recv().await.unwrap() {
            break service;
        }
    };
    dry.write_status(view::StatusWrite {
        key: service.key,
        resource_version: service.resource_version,
        addresses: vec!["10.0.0.1".parse().unwrap()],
    })
    .await
    .unwrap();
    cancel.cancel();
    task.await.unwrap();
    assert_eq!(fs::read(rig.path(STATE_FILE)).unwrap(), before);
    rig.stop().await;
    assert_eq!(is_running(rig.dir.path()).unwrap(), Some(false));
}

#[tokio::test]
async fn many_writes_at_once_are_all_answered_and_echoed() {
    let mut rig = Rig::new();
    let names: Vec<String> = (0..200).map(|n| format!("s{n:03}")).collect();
    let text: Vec<String> = names.iter().map(|name| service(name, 1)).collect();
    rig.write("all.yaml", &text.join("---\n"));
    let first = rig.start().await;
    let directory = rig.running().directory.clone();
    let writes = first.iter().filter_map(|change| match change {
        Change::Service(service) => Some(service),
        _ => None,
    });
    let tasks: Vec<_> = writes
        .enumerate()
        .map(|(n, service)| {
            let directory = directory.clone();
            let write = view::StatusWrite {
                key: service.key.clone(),
                resource_version: service.resource_version.clone(),
                addresses: vec![format!("10.0.0.{n}").parse().unwrap()],
            };
            tokio::spawn(async move { directory.write_status(write).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    for _ in 0..200 {
        assert!(brief(&rig.next().await).contains(":10.0.0."));
    }
    rig.nothing_else().await;
}

#[tokio::test]
async fn duplicates_are_said_once() {
    let mut rig = Rig::new();
    rig.write("a.yaml", &web(80));
    rig.write("b.yaml", &web(81));
    let first: Vec<_> = rig.start().await.iter().map(brief).collect();
    assert!(first.contains(&"web:80:".to_owned()) && !first.contains(&"web:81:".to_owned()));
    let said = rig.said("two manifests of one object").await;
    assert!(said.error.unwrap().contains("a.yaml"));
    rig.nothing_else().await;
    let times = rig
        .records
        .lock()
        .unwrap()
        .iter()
        .filter(|r| r.msg.contains("two manifests"))
        .count();
    assert_eq!(times, 1);
}

#[test]
fn what_exceeds_a_limit_is_left_out_and_said() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        fs::write(dir.path().join(format!("{name}.yaml")), service(name, 1)).unwrap();
    }
    let length = u64::try_from(service("a", 1).len()).unwrap();
    let limits = Limits::default();
    for (limits, given, said) in [
        (
            Limits {
                file: length - 1,
                ..limits
            },
            0,
            "at most",
        ),
        (
            Limits {
                total: 2 * length,
                ..limits
            },
            2,
            "together",
        ),
        (Limits { files: 1, ..limits }, 1, "3 files in the folder"),
        (
            Limits {
                objects: 2,
                ..limits
            },
            2,
            "more than 2 objects",
        ),
    ] {
        let mut folder = Folder::new(dir.path(), "config", BTreeSet::new(), limits);
        let look = folder.look(SystemTime::now()).unwrap();
        let objects: usize = folder.files().map(|(_, objects)| objects.len()).sum();
        assert_eq!(objects, given, "{said}");
        let errors: Vec<_> = look
            .records
            .iter()
            .filter_map(|r| r.error.clone())
            .collect();
        assert!(
            errors.iter().any(|error| error.contains(said)),
            "{said}: {errors:?}"
        );
        // Said once.
        assert_eq!(
            folder.look(SystemTime::now()).unwrap().records,
            [],
            "{said}"
        );
    }
}

#[test]
fn odd_files_are_refused_and_do_not_hang() {
    let dir = tempfile::tempdir().unwrap();
    nix_mkfifo(&dir.path().join("pipe.yaml"));
    symlink("nowhere", dir.path().join("dangling.yaml")).unwrap();
    fs::create_dir(dir.path().join("sub.yaml")).unwrap();
    fs::write(dir.path().join("latin1.yaml"), b"kind: x\n# caf\xe9\n").unwrap();
    let mut folder = Folder::new(dir.path(), "config", BTreeSet::new(), Limits::default());
    folder.look(SystemTime::now()).unwrap();
    let problems: Vec<String> = folder
        .problems()
        .into_iter()
        .map(|problem| format!("{}: {}", problem.file, problem.fault))
        .collect();
    assert_eq!(
        problems,
        [
            "dangling.yaml: this is a symbolic link to a file that does not exist",
            "latin1.yaml: 2:6: the file is not UTF-8 text",
            "pipe.yaml: this is not a regular file",
        ]
    );
}

fn nix_mkfifo(path: &Path) {
    let made = std::process::Command::new("mkfifo")
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}

#[tokio::test]
async fn events_are_kept_and_counted() {
    let mut rig = Rig::new();
    rig.start().await;
    let directory = rig.running().directory.clone();
    let event = |n: usize| view::KubernetesEvent {
        about: view::ObjectReference {
            kind: "Service",
            key: ObjectKey::new("default", &format!("s{n}")),
            uid: "".into(),
        },
        warning: true,
        reason: "AllocationFailed",
        message: "no room".to_owned(),
    };
    for n in [0, 1, 0] {
        directory.record(event(n));
    }
    let kept: Vec<_> = directory
        .events()
        .iter()
        .map(|kept| (kept.event.about.key.name().to_owned(), kept.count))
        .collect();
    assert_eq!(kept, [("s1".to_owned(), 1), ("s0".to_owned(), 2)]);
    (0..500).for_each(|n| directory.record(event(n)));
    assert_eq!(directory.events().len(), EVENTS);
    assert_eq!(rig.said("no room").await.level, Level::Warn);
}

#[tokio::test]
async fn a_configuration_file_is_watched_bare_and_as_a_manifest() {
    let rig = Rig::new();
    let path = rig.path("mounted");
    let records = rig.records.clone();
    let journal: Journal = Arc::new(move |record| records.lock().unwrap().push(record));
    let key = ObjectKey::new("metallb-system", "config");
    let mut changes = config_file::watch(&path, key.clone(), journal);
    assert_eq!(next(&mut changes).await, Change::ConfigMapGone);
    assert_eq!(next(&mut changes).await, Change::Synced(Kind::ConfigMap));
    rig.replace("mounted", "address-pools: []\n");
    assert_eq!(brief(&next(&mut changes).await), "config address-pools: []");
    let manifest = CONFIG
        .replace("name: config", "name: any")
        .replace("address-pools", "bgp-communities");
    rig.replace("mounted", &manifest);
    let Change::ConfigMap(map) = next(&mut changes).await else {
        panic!("no ConfigMap");
    };
    assert_eq!(map.config.as_deref(), Some("bgp-communities: []\n"));
    assert_eq!(map.key, key);
    // The settings alone are a change too.
    rig.replace(
        "mounted",
        &format!(
            "{}  ferrolb: 'bgp: {{}}'\n",
            manifest.trim_end_matches('\n').to_owned() + "\n"
        ),
    );
    let Change::ConfigMap(map) = next(&mut changes).await else {
        panic!("no ConfigMap");
    };
    assert_eq!(map.settings.as_deref(), Some("bgp: {}"));
    rig.replace("mounted", "apiVersion: v1\nkind: ConfigMap\ndata: [");
    rig.said_error("mounted:4:").await;
    rig.replace("mounted", "peers: []\n");
    assert_eq!(brief(&next(&mut changes).await), "config peers: []");
    fs::remove_file(&path).unwrap();
    assert_eq!(next(&mut changes).await, Change::ConfigMapGone);
    rig.replace("mounted", "peers: []\n");
    assert_eq!(brief(&next(&mut changes).await), "config peers: []");
}
