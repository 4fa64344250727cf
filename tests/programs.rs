//! The binary as its users meet it: which program it is, what it prints, how it ends.
//!
//! The API server is a thread of the test that answers what a controller asks at its start: an empty cluster.

#![cfg(feature = "io")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test: an API server of its own, and waiting for another process"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_ferrolb");

/// Generous: the machine may be busy with the other tests.
const PATIENCE: Duration = Duration::from_secs(60);

fn command(program: impl AsRef<Path>, words: &[&str]) -> Command {
    let mut command = Command::new(program.as_ref());
    command.args(words).env_clear();
    command
}

fn run(words: &[&str]) -> Output {
    command(BINARY, words).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
}

/// The last line of the log.
fn last_line(output: &Output) -> serde_json::Value {
    json(text(&output.stdout).lines().last().unwrap())
}

#[test]
fn help_of_0_12_s_programs_is_on_stderr_and_exits_0() {
    for program in ["controller", "speaker"] {
        for flag in ["-h", "-help", "--help"] {
            let output = run(&[program, flag]);
            assert_eq!(output.status.code(), Some(0));
            assert_eq!(text(&output.stdout), "");
            let usage = text(&output.stderr);
            assert!(
                usage.starts_with(&format!("Usage of ferrolb {program}:\n  -config string\n")),
                "{usage}"
            );
        }
    }
}

#[test]
fn a_wrong_flag_is_told_before_the_usage_and_exits_2() {
    for (words, fault) in [
        (
            ["controller", "-nope"],
            "flag provided but not defined: -nope",
        ),
        (
            ["controller", "-node-name=x"],
            "flag provided but not defined: -node-name",
        ),
        (
            ["speaker", "-port=x"],
            "invalid value \"x\" for flag -port: parse error",
        ),
        (["speaker", "--host"], "flag needs an argument: -host"),
    ] {
        let output = run(&words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert_eq!(text(&output.stdout), "");
        let told = text(&output.stderr);
        assert_eq!(told.lines().next(), Some(fault));
        assert_eq!(
            told.lines().nth(1),
            Some(&*format!("Usage of ferrolb {}:", words[0]))
        );
    }
}

#[test]
fn the_name_it_is_called_by_is_the_program() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["controller", "speaker", "configmaptocrs"] {
        let link = folder.path().join(name);
        std::os::unix::fs::symlink(BINARY, &link).unwrap();
        let output = command(&link, &["-h"]).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0));
        let begin = format!("Usage of {}:\n", link.display());
        assert!(told.starts_with(&begin), "{told}");
    }
}

#[test]
fn ferrolb_tells_its_version_and_its_commands() {
    for words in [["version"], ["--version"], ["-V"]] {
        let output = run(&words);
        assert_eq!(output.status.code(), Some(0));
        let told = text(&output.stdout);
        let begin = concat!("ferrolb ", env!("CARGO_PKG_VERSION"));
        assert!(told.starts_with(begin), "{told}");
    }
    for words in [["help"], ["--help"], ["-h"]] {
        let output = run(&words);
        assert_eq!(output.status.code(), Some(0));
        for command in ["controller", "speaker", "version"] {
            assert!(text(&output.stdout).contains(&format!("\n  {command} ")));
        }
    }
    assert_eq!(run(&[]).status.code(), Some(2));
    assert_eq!(run(&["nonsense"]).status.code(), Some(2));
}

#[test]
fn what_is_missing_is_a_log_line_and_exit_1() {
    for (words, want) in [
        (&["controller"][..], "no namespace: use -namespace"),
        (
            &["speaker", "-namespace=x"],
            "no node name: use -node-name or METALLB_NODE_NAME",
        ),
        (
            &["controller", "-namespace=x", "-log-level=loud"],
            "log level \"loud\" is unknown",
        ),
        (
            &["controller", "-namespace=x", "-port=0"],
            "not running in a pod",
        ),
        (
            &[
                "controller",
                "-namespace=x",
                "-port=0",
                "-kubeconfig=/does/not/exist",
            ],
            "cannot use the kubeconfig /does/not/exist",
        ),
    ] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let line = last_line(&output);
        assert_eq!(line["level"], "error");
        assert_eq!(line["op"], "startup");
        let error = line["error"].as_str().unwrap();
        assert!(error.contains(want), "{words:?}: {error}");
        assert_eq!(text(&output.stderr), "", "{words:?}");
    }
}

#[test]
fn an_api_server_that_cannot_be_reached_is_a_log_line_and_exit_1() {
    // A port that was free a moment ago refuses.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = kubeconfig(folder.path(), address);
    let output = run(&[
        "controller",
        "-namespace=x",
        "-port=0",
        "-kubeconfig",
        &kubeconfig,
    ]);
    assert_eq!(output.status.code(), Some(1));
    let line = last_line(&output);
    let error = line["error"].as_str().unwrap();
    assert!(error.contains(&address.to_string()), "{error}");
    assert!(error.contains("refused"), "{error}");
}

#[test]
fn a_port_in_use_is_a_log_line_and_exit_1() {
    let taken = TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = run(&["controller", "-namespace=x", "-port", &port]);
    assert_eq!(output.status.code(), Some(1));
    let line = last_line(&output);
    let error = line["error"].as_str().unwrap();
    assert!(
        error.contains(&format!("]:{port}: another program")),
        "{error}"
    );
}

fn kubeconfig(folder: &Path, server: SocketAddr) -> String {
    let path = folder.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: 'http://{server}'}}}}]\n\
         users: [{{name: test, user: {{token: test}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n"
    );
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// An API server of an empty cluster.
fn api_server(answers: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || serve(stream, answers));
        }
    });
    address
}

/// One connection: requests without a body, one after the other, until a watch holds it.
fn serve(stream: TcpStream, answers: bool) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap_or(0) > 2 {
            line.clear();
        }
        if !answers {
            // Reads on, says nothing.
            let _ = reader.read_to_end(&mut Vec::new());
            return;
        }
        let path = request.split(' ').nth(1).unwrap_or("");
        if path.contains("watch=") {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
            let _ = stream.write_all(head.as_bytes());
            let _ = reader.read_to_end(&mut Vec::new());
            return;
        }
        let body = if path.ends_with("/deployments/controller") {
            r#"{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"name":"controller","uid":"u"},"spec":{"replicas":2}}"#
        } else if path.starts_with("/version") {
            r#"{"major":"1","minor":"24","gitVersion":"v1.24.0"}"#
        } else if path.contains("/configmaps") {
            r#"{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#
        } else {
            r#"{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// A controller at work on such a server, and its log.
struct Running {
    child: Child,
    http: SocketAddr,
    log: std::sync::mpsc::Receiver<serde_json::Value>,
    _folder: tempfile::TempDir,
}

impl Running {
    fn start(program: &str, server: SocketAddr, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = kubeconfig(folder.path(), server);
        let mut words = vec![
            program,
            "-namespace=metallb-system",
            "-port=0",
            "-log-level=all",
            "-kubeconfig",
            &kubeconfig,
        ];
        words.extend(flags);
        let mut child = command(BINARY, &words)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (lines, log) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if lines.send(json(&line)).is_err() {
                    return;
                }
            }
        });
        let mut running = Self {
            child,
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            log,
            _folder: folder,
        };
        let listening = running.wait_for_line("httpListening");
        let address: SocketAddr = listening["address"].as_str().unwrap().parse().unwrap();
        running.http.set_port(address.port());
        running
    }

    fn wait_for_line(&self, event: &str) -> serde_json::Value {
        loop {
            let line = self.log.recv_timeout(PATIENCE).unwrap();
            if line["event"] == event {
                return line;
            }
        }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn wait_for_page(&self, path: &str, what: &str) {
        let begun = Instant::now();
        loop {
            let page = self.get(path);
            if page.contains(what) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "no {what} in {page}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid])
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn metrics_answer_while_the_api_server_does_not() {
    let mut running = Running::start("controller", api_server(false), &[]);
    let page = running.get("/metrics");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("\nmetallb_k8s_client_config_loaded_bool 0\n"));
    assert!(running.get("/readyz").starts_with("HTTP/1.1 503 "));
    assert!(running.get("/healthz").starts_with("HTTP/1.1 200 "));
    running.signal("TERM");
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn sigterm_ends_a_controller_at_work_at_once_and_well() {
    for signal in ["TERM", "INT"] {
        let mut running = Running::start("controller", api_server(true), &[]);
        running.wait_for_page("/readyz", "HTTP/1.1 200 ");
        running.signal(signal);
        let line = running.wait_for_line("shutdown");
        assert_eq!(line["signal"], format!("SIG{signal}"));
        assert_eq!(running.wait().code(), Some(0));
    }
}

#[test]
fn several_controllers_are_said_loudly() {
    let running = Running::start("controller", api_server(true), &["-deployment=controller"]);
    let line = running.wait_for_line("severalControllers");
    assert_eq!(line["level"], "error");
    assert_eq!(line["replicas"], "2");
}

#[test]
fn a_configuration_file_stands_for_the_config_map() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let pool = |name, address| {
        let text = format!(
            "address-pools: [{{name: {name}, protocol: layer2, addresses: [{address}]}}]\n"
        );
        // As an editor does it: the file is whole at every moment.
        let new = folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &file).unwrap();
    };
    pool("first", "192.0.2.0/28");
    let running = Running::start(
        "controller",
        api_server(true),
        &["-config-file", file.to_str().unwrap()],
    );
    let total =
        |pool, count| format!("\nmetallb_allocator_addresses_total{{pool=\"{pool}\"}} {count}\n");
    running.wait_for_page("/metrics", &total("first", 16));
    running.wait_for_page("/readyz", "HTTP/1.1 200 ");
    pool("second", "198.51.100.0/30");
    running.wait_for_page("/metrics", &total("second", 4));
    std::fs::write(&file, "address-pools: 1\n").unwrap();
    running.wait_for_page("/metrics", "\nmetallb_k8s_client_config_stale_bool 1\n");
    running.wait_for_page("/metrics", &total("second", 4));
}

#[test]
#[ignore = "needs CAP_NET_RAW"]
fn sigterm_ends_a_speaker_at_work_within_its_pod_s_grace() {
    let mut running = Running::start(
        "speaker",
        api_server(true),
        &["-node-name=node-1", "-host=127.0.0.1"],
    );
    running.wait_for_page("/readyz", "HTTP/1.1 200 ");
    let begun = Instant::now();
    running.signal("TERM");
    assert_eq!(running.wait().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(2));
}
