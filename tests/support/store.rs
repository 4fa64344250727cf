//! An API server that is a map of objects: as much of Kubernetes as `ferrolb migrate` asks for, and a fault where the test
//! wants one.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What happens at a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection breaks before anything is done, and the server is away from then on.
    AwayBefore,
    /// It breaks when it is done, and the server is away from then on.
    AwayAfter,
    /// The server refuses this one.
    Refuses,
}

#[derive(Default)]
pub(crate) struct State {
    /// By path.
    pub(crate) objects: BTreeMap<String, Value>,
    /// Which write, counted from 0, and what happens there.
    pub(crate) fault: Option<(usize, Fault)>,
    /// Writes since the fault was set: method and path.
    pub(crate) writes: Vec<String>,
    /// Whether no connection is answered.
    pub(crate) is_away: bool,
    /// `verb resource` that the account may not.
    pub(crate) denied: Vec<&'static str>,
    uids: u64,
}

/// A running server; it ends with the test's process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { address, state }
    }

    /// A kubeconfig for it.
    pub(crate) fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let path = folder.join("kubeconfig");
        let server = format!("http://{}", self.address);
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": server}}],
            "users": [{"name": "test", "user": {"token": "t"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]});
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Puts an object there.
    pub(crate) fn put(&self, path: &str, mut object: Value) {
        let mut state = self.state.lock().unwrap();
        state.uids += 1;
        object["metadata"]["uid"] = json!(format!("put-{}", state.uids));
        state.objects.insert(path.to_owned(), object);
    }
}

/// One request a connection: what is asked and what is answered are plain to see.
fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let Some(first) = head.first() else { return };
    let mut words = first.split(' ');
    let (method, uri) = (words.next().unwrap(), words.next().unwrap());
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let Some((status, answer)) = answer(&mut state.lock().unwrap(), method, uri, &body) else {
        return;
    };
    let answer = answer.to_string();
    let mut out = stream;
    let _ = write!(
        out,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    );
}

fn failure(code: u16, reason: &str, message: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "code": code, "reason": reason, "message": message});
    (code, status)
}

/// The answer; `None`: the connection breaks.
fn answer(state: &mut State, method: &str, uri: &str, body: &Value) -> Option<(u16, Value)> {
    if state.is_away {
        return None;
    }
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    if path == "/version" {
        return Some((200, json!({"gitVersion": "v1.30.0"})));
    }
    if path.ends_with("/selfsubjectaccessreviews") {
        let asked = &body["spec"]["resourceAttributes"];
        let right = format!(
            "{} {}",
            asked["verb"].as_str().unwrap(),
            asked["resource"].as_str().unwrap()
        );
        let allowed = !state.denied.contains(&right.as_str());
        return Some((201, json!({"status": {"allowed": allowed}})));
    }
    if method == "GET" {
        return Some(read(state, path));
    }
    let is_dry = query.contains("dryRun=All");
    let mut ends = None;
    if !is_dry {
        let number = state.writes.len();
        state.writes.push(format!("{method} {path}"));
        if let Some((_, fault)) = state.fault.filter(|(at, _)| *at == number) {
            match fault {
                Fault::AwayBefore => {
                    state.is_away = true;
                    return None;
                }
                Fault::AwayAfter => ends = Some(()),
                Fault::Refuses => {
                    let words = "admission webhook \"x.metallb.io\" denied the request: no";
                    return Some(failure(400, "Invalid", words));
                }
            }
        }
    }
    let manager = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("fieldManager="));
    let answer = write(state, method, path, body, manager.unwrap_or(""), is_dry);
    if ends.is_some() {
        state.is_away = true;
        return None;
    }
    Some(answer)
}

fn read(state: &State, path: &str) -> (u16, Value) {
    if let Some(object) = state.objects.get(path) {
        return (200, object.clone());
    }
    // `/api/v1/services` are those of all namespaces.
    let (root, plural) = path.rsplit_once('/').unwrap();
    let items: Vec<&Value> = state
        .objects
        .iter()
        .filter(|(known, _)| {
            let (folder, _) = known.rsplit_once('/').unwrap();
            folder == path
                || folder.starts_with(&format!("{root}/namespaces/"))
                    && folder.ends_with(&format!("/{plural}"))
        })
        .map(|(_, object)| object)
        .collect();
    let is_collection = ["configmaps", "namespaces", "secrets"]
        .iter()
        .all(|single| root.rsplit('/').next() != Some(single));
    if items.is_empty() && !is_collection {
        return failure(404, "NotFound", "not found");
    }
    (200, json!({"items": items, "metadata": {}}))
}

fn write(
    state: &mut State,
    method: &str,
    path: &str,
    body: &Value,
    manager: &str,
    is_dry: bool,
) -> (u16, Value) {
    let known = state.objects.get(path).cloned();
    if method == "DELETE" {
        return match known {
            None => failure(404, "NotFound", "not found"),
            Some(known) if known["metadata"]["uid"] != body["preconditions"]["uid"] => {
                failure(409, "Conflict", "Precondition failed: UID")
            }
            Some(_) => {
                state.objects.remove(path);
                (200, json!({"status": "Success"}))
            }
        };
    }
    let is_new = known.is_none();
    let object = match known {
        // A patch of a Service.
        Some(mut known)
            if body["metadata"]["annotations"].is_object()
                && body.get("spec").is_none()
                && body.get("data").is_none() =>
        {
            if known["metadata"]["uid"] != body["metadata"]["uid"] {
                return failure(409, "Conflict", "Precondition failed: UID");
            }
            for (key, value) in body["metadata"]["annotations"].as_object().unwrap() {
                if value.is_null() {
                    known["metadata"]["annotations"]
                        .as_object_mut()
                        .unwrap()
                        .remove(key);
                } else {
                    known["metadata"]["annotations"][key] = value.clone();
                }
            }
            known
        }
        known => {
            let mut object = body.clone();
            state.uids += 1;
            let uid = known.map_or(json!(format!("uid-{}", state.uids)), |known| {
                known["metadata"]["uid"].clone()
            });
            object["metadata"]["uid"] = uid;
            object["metadata"]["managedFields"] =
                json!([{"manager": manager, "operation": "Apply"}]);
            object
        }
    };
    if !is_dry {
        state.objects.insert(path.to_owned(), object.clone());
    }
    (if is_new { 201 } else { 200 }, object)
}
