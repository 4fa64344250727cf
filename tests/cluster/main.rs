//! The Kubernetes side against a real kube-apiserver and etcd: RBAC as in `manifests/metallb.yaml`, the service
//! accounts' own tokens.
//!
//! Run by `tests/run`, which brings the lab's API server up (`lab/up -n 0`).

#![expect(clippy::unwrap_used, reason = "a test: what fails here fails the test")]

#[path = "../support/lab.rs"]
#[expect(dead_code, reason = "shared with other tests; not each uses all of it")]
mod lab;

mod kubernetes;
mod slices_v1;
mod support;
