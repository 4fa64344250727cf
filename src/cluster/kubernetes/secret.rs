//! The memberlist secret, and what the controller may know of its own Deployment.
//!
//! Upstream: at start, where the secret does not exist, it is made: key `secretkey` = 16 random octets as unpadded
//! standard base64 (and that text is again the secret's data), owned by the controller's Deployment.
//! RBAC: list of secrets with the name in the field selector, create of secrets, get of the Deployment.

use k8s_openapi::ByteString;
use kube::core::Request;
use kube::core::params::ListParams;
use serde::Deserialize;
use serde_json::json;

use super::client::{Api, Failure, REQUEST_TIMEOUT};
use super::{SecretError, SecretOutcome};

/// What makes the key: as long as an AES-128 key.
const KEY_OCTETS: usize = 16;

#[derive(Deserialize)]
struct List {
    items: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Deployment {
    metadata: DeploymentMeta,
    spec: DeploymentSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DeploymentMeta {
    uid: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DeploymentSpec {
    replicas: Option<u32>,
}

async fn deployment(api: &Api, namespace: &str, name: &str) -> Result<Deployment, Failure> {
    if name.is_empty() {
        return Err(Failure::Malformed(
            "no Deployment is named; set -deployment or METALLB_DEPLOYMENT".to_owned(),
        ));
    }
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
    api.json(Api::get(&path), REQUEST_TIMEOUT).await
}

/// `spec.replicas`; absent: 1.
pub(super) async fn replicas(api: &Api, namespace: &str, name: &str) -> Result<u32, Failure> {
    let deployment = deployment(api, namespace, name).await?;
    Ok(deployment.spec.replicas.unwrap_or(1))
}

/// Unpadded standard base64 of 16 random octets: 22 characters.
fn random_key() -> Result<String, Failure> {
    let octets: [u8; KEY_OCTETS] = rand::random();
    match serde_json::to_value(ByteString(octets.to_vec())) {
        Ok(serde_json::Value::String(text)) => Ok(text.trim_end_matches('=').to_owned()),
        Ok(_) => Err(Failure::Malformed("base64 is no text".to_owned())),
        Err(error) => Err(Failure::Malformed(error.to_string())),
    }
}

/// Makes the secret unless it exists.
pub(super) async fn ensure(
    api: &Api,
    namespace: &str,
    name: &str,
    deployment_name: &str,
) -> Result<SecretOutcome, SecretError> {
    let path = format!("/api/v1/namespaces/{namespace}/secrets");
    // RBAC grants the list of this one name, not get.
    let params = ListParams::default().fields(&format!("metadata.name={name}"));
    let request = Request::new(&path)
        .list(&params)
        .map_err(|error| Failure::Malformed(error.to_string()));
    let list = api.json::<List>(request, REQUEST_TIMEOUT).await;
    let list = list.map_err(|failure| SecretError::List {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        failure,
    })?;
    if list.items.is_some_and(|items| !items.is_empty()) {
        return Ok(SecretOutcome::Exists);
    }
    let owner = deployment(api, namespace, deployment_name).await;
    let owner = owner.map_err(|failure| SecretError::Owner {
        namespace: namespace.to_owned(),
        deployment: deployment_name.to_owned(),
        failure,
    })?;
    let failed = |failure| SecretError::Create {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        failure,
    };
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "ownerReferences": [{
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": deployment_name,
                "uid": owner.metadata.uid,
            }],
        },
        "stringData": { "secretkey": random_key().map_err(failed)? },
    });
    let body = serde_json::to_vec(&secret);
    let body = body.map_err(|error| failed(Failure::Malformed(error.to_string())))?;
    let request = Api::with_body(http::Method::POST, &path, "application/json", body);
    match api.bytes(request, REQUEST_TIMEOUT).await {
        Ok(_) => Ok(SecretOutcome::Created),
        // Another controller was faster.
        Err(failure) if failure.code() == Some(409) => Ok(SecretOutcome::Exists),
        Err(failure) => Err(failed(failure)),
    }
}

#[cfg(test)]
mod tests;
