//! An operator's session with an API server: single objects by their path, as JSON.
//!
//! For commands that read and write a few objects and end; the programs watch. What is read and why is the caller's
//! business, so is the order of writes. Nothing is tried again: who asks knows whether it is worth it.
//!
//! Invariant: an object is deleted only with its uid as a precondition; nothing is taken by force from another owner.

use std::fmt;
use std::path::Path;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{Access, Api, ConnectError, Failure, REQUEST_TIMEOUT};

/// Objects of one page of a list.
const PAGE: u32 = 500;

/// The most that is read of a list: whatever answers without end is no API server.
const MOST_PAGES: usize = 2000;

/// What was asked and not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refused {
    /// `get`, `list`, `patch` …: the verb of RBAC.
    pub verb: &'static str,
    /// Of what: `configmaps metallb-system/config`.
    pub what: String,
    /// Why.
    #[source]
    pub failure: Failure,
}

impl Refused {
    /// What helps; empty: nothing that is known.
    #[must_use]
    pub fn help(&self) -> String {
        let Self { verb, what, .. } = self;
        match &self.failure {
            Failure::Status { code: 401, .. } => {
                "the server does not know these credentials: log in again, or name another kubeconfig or context".to_owned()
            }
            Failure::Status { code: 403, .. } => {
                let resource = what.split(' ').next().unwrap_or_default();
                format!("the account needs the verb {verb} on {resource}")
            }
            Failure::Status { code: 404, .. } => {
                "the server does not know it: are the custom resource definitions installed?".to_owned()
            }
            Failure::Status { code: 415, .. } => {
                "the server has no server-side apply: Kubernetes 1.16 or later has".to_owned()
            }
            Failure::Status { .. } | Failure::Malformed(_) => String::new(),
            Failure::Transport(_) | Failure::Timeout(_) => {
                "is the API server there? Try again; what is done already is not done twice".to_owned()
            }
        }
    }

    /// Whether the account may not do it.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.failure.code() == Some(403)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.verb, self.what, self.failure)?;
        let help = self.help();
        if help.is_empty() {
            Ok(())
        } else {
            write!(f, " ({help})")
        }
    }
}

/// A collection of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// Its path: `/api/v1/namespaces/x/secrets`.
    pub path: String,
    /// What RBAC calls it: `secrets`, `bgppeers.metallb.io`.
    pub resource: String,
    /// Its namespace; empty: it has none, or all.
    pub namespace: String,
}

impl Collection {
    /// `configmaps metallb-system/config`.
    fn title(&self, name: &str) -> String {
        match (self.namespace.as_str(), name) {
            ("", "") => format!("{} of the cluster", self.resource),
            (namespace, "") => format!("{} in namespace {namespace}", self.resource),
            ("", name) => format!("{} {name}", self.resource),
            (namespace, name) => format!("{} {namespace}/{name}", self.resource),
        }
    }
}

/// An object that was applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// Whether it was not there before.
    pub is_new: bool,
    /// The object as the server has it.
    pub object: Value,
}

/// A right that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// The verb.
    pub verb: &'static str,
    /// The API group; empty: the core.
    pub group: String,
    /// The plural name.
    pub resource: String,
    /// The namespace; empty: all.
    pub namespace: String,
}

impl Right {
    /// What it is on: `bgppeers.metallb.io in namespace metallb-system`.
    #[must_use]
    pub fn object(&self) -> String {
        let mut object = self.resource.clone();
        if !self.group.is_empty() {
            object = format!("{object}.{}", self.group);
        }
        match self.namespace.as_str() {
            "" => object + " in all namespaces",
            namespace => format!("{object} in namespace {namespace}"),
        }
    }
}

/// A session.
#[derive(Clone)]
pub struct Session {
    api: Api,
    /// Where the server is.
    pub server: String,
    /// Its version, as it says itself; `unknown` if it does not tell us.
    pub version: String,
}

impl Session {
    /// Connects as kubectl would.
    ///
    /// # Errors
    /// No credentials, no such server, or it does not know us.
    pub async fn connect(
        kubeconfig: Option<&Path>,
        context: Option<&str>,
        user_agent: &'static str,
    ) -> Result<Self, ConnectError> {
        let access = Access::Operator {
            kubeconfig,
            context,
        };
        let (api, server) = Api::connect(access, user_agent).await?;
        Ok(Self {
            api,
            server: server.address,
            version: server.version,
        })
    }

    /// A session with something that only looks like an API server.
    #[cfg(test)]
    fn of(api: Api) -> Self {
        Self {
            api,
            server: "https://test".to_owned(),
            version: "v1.20.2".to_owned(),
        }
    }

    /// Reads an object; `None`: it, or its kind, is not there.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn get(&self, of: &Collection, name: &str) -> Result<Option<Value>, Refused> {
        let path = format!("{}/{name}", of.path);
        match self.api.json(Api::get(&path), REQUEST_TIMEOUT).await {
            Ok(object) => Ok(Some(object)),
            Err(failure) if failure.code() == Some(404) => Ok(None),
            Err(failure) => Err(refused("get", of, name, failure)),
        }
    }

    /// Reads all objects, page by page; `None`: there is no such kind.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn list(&self, of: &Collection) -> Result<Option<Vec<Value>>, Refused> {
        let failed = |failure| refused("list", of, "", failure);
        let mut objects = Vec::new();
        let mut next = String::new();
        for _ in 0..MOST_PAGES {
            let mut path = format!("{}?limit={PAGE}", of.path);
            if !next.is_empty() {
                path += "&continue=";
                path += &escape(&next);
            }
            let answer = self
                .api
                .json::<Value>(Api::get(&path), REQUEST_TIMEOUT)
                .await;
            let mut page = match answer {
                Ok(page) => page,
                Err(failure) if failure.code() == Some(404) => return Ok(None),
                // The place in the list has expired: it is read from the start.
                Err(failure) if failure.code() == Some(410) && !next.is_empty() => {
                    objects.clear();
                    next.clear();
                    continue;
                }
                Err(failure) => return Err(failed(failure)),
            };
            if let Some(Value::Array(items)) = page.get_mut("items") {
                objects.append(items);
            }
            next = match page.pointer("/metadata/continue") {
                Some(Value::String(token)) if !token.is_empty() => token.clone(),
                _ => return Ok(Some(objects)),
            };
        }
        let endless = format!("a list of more than {MOST_PAGES} pages");
        Err(failed(Failure::Malformed(endless)))
    }

    /// Applies an object on the server's side, without force.
    ///
    /// # Errors
    /// The server refuses it, or does not answer.
    pub async fn apply(
        &self,
        to: &Collection,
        name: &str,
        manifest: &Value,
        field_manager: &str,
        dry_run: bool,
    ) -> Result<Applied, Refused> {
        let mut path = format!(
            "{}/{name}?fieldManager={}&force=false",
            to.path,
            escape(field_manager)
        );
        if dry_run {
            path += "&dryRun=All";
        }
        let failed = |failure| refused("patch", to, name, failure);
        // JSON is YAML.
        let body = serde_json::to_vec(manifest);
        let body = body.map_err(|error| failed(Failure::Malformed(error.to_string())))?;
        let request = Api::with_body(Method::PATCH, &path, "application/apply-patch+yaml", body);
        let answer = self.api.answer(request, REQUEST_TIMEOUT).await;
        let (status, body) = answer.map_err(failed)?;
        let object = serde_json::from_slice(&body);
        Ok(Applied {
            is_new: status == StatusCode::CREATED,
            object: object.map_err(|error| failed(Failure::Malformed(error.to_string())))?,
        })
    }

    /// Sets or removes an annotation of the object that has this uid.
    ///
    /// # Errors
    /// The server refuses it (another object has the name meanwhile), or does not answer.
    pub async fn annotate(
        &self,
        of: &Collection,
        name: &str,
        uid: &str,
        annotation: (&str, Option<&str>),
        field_manager: &str,
        dry_run: bool,
    ) -> Result<(), Refused> {
        let mut path = format!("{}/{name}?fieldManager={}", of.path, escape(field_manager));
        if dry_run {
            path += "&dryRun=All";
        }
        let (key, value) = annotation;
        let patch = json!({"metadata": {"uid": uid, "annotations": {key: value}}});
        let failed = |failure| refused("patch", of, name, failure);
        let body = patch.to_string().into_bytes();
        let request = Api::with_body(Method::PATCH, &path, "application/merge-patch+json", body);
        let answer = self.api.bytes(request, REQUEST_TIMEOUT).await;
        answer.map(drop).map_err(failed)
    }

    /// Deletes the object that has this uid; `false`: it is not there (any more).
    ///
    /// # Errors
    /// The server refuses it, or does not answer.
    pub async fn delete(&self, of: &Collection, name: &str, uid: &str) -> Result<bool, Refused> {
        let path = format!("{}/{name}", of.path);
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
        });
        let body = options.to_string().into_bytes();
        let request = Api::with_body(Method::DELETE, &path, "application/json", body);
        match self.api.bytes(request, REQUEST_TIMEOUT).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.code() == Some(404) => Ok(false),
            Err(failure) => Err(refused("delete", of, name, failure)),
        }
    }

    /// Whether the account has a right. `None`: the server does not say.
    pub async fn may(&self, right: &Right) -> Option<bool> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "verb": right.verb,
                "group": right.group,
                "resource": right.resource,
                "namespace": right.namespace,
            }},
        });
        let request = Api::with_body(
            Method::POST,
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            "application/json",
            review.to_string().into_bytes(),
        );
        let answer = self.api.json::<Value>(request, REQUEST_TIMEOUT).await;
        answer.ok()?.pointer("/status/allowed")?.as_bool()
    }
}

fn refused(verb: &'static str, of: &Collection, name: &str, failure: Failure) -> Refused {
    Refused {
        verb,
        what: of.title(name),
        failure,
    }
}

/// A text as a value of a query.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests;
