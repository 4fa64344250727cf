//! The API server from the side of a test that asks it thousands of times.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::lab::{kubeconfig, run, try_run};

/// The API server as administrator: one connection for all, where a kubectl each would take most of the time.
pub(crate) struct Api {
    proxy: Child,
    base: String,
}

impl Api {
    /// `kubectl proxy`, which holds one connection for all that is asked.
    pub(crate) fn start() -> Self {
        let mut proxy = Command::new("kubectl")
            .args(["proxy", "--port=0"])
            .env("KUBECONFIG", kubeconfig())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(proxy.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .rsplit(' ')
            .next()
            .filter(|a| a.contains(':'))
            .unwrap_or_else(|| panic!("kubectl proxy says {line:?}"));
        Self {
            base: format!("http://{address}"),
            proxy,
        }
    }

    /// What is at this path.
    pub(crate) fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.base);
        serde_json::from_str(&run("curl", &["-s", "--fail-with-body", &url])).unwrap()
    }

    /// POST, PUT or DELETE of an object at this path; the API server's words if it does not take it.
    pub(crate) fn send(&self, method: &str, path: &str, object: &Value) -> Result<String, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), object.to_string()).unwrap();
        let body = format!("@{}", file.path().display());
        let url = format!("{}{path}", self.base);
        let json = "Content-Type: application/json";
        let args = [
            "-s",
            "--fail-with-body",
            "-X",
            method,
            "-H",
            json,
            "--data-binary",
            &body,
            &url,
        ];
        try_run("curl", &args)
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}
