use serde_json::json;

use super::*;
use crate::cluster::kubernetes::fake::{Answer, server};

fn pools() -> Collection {
    Collection {
        path: "/apis/metallb.io/v1beta1/namespaces/lb/ipaddresspools".to_owned(),
        resource: "ipaddresspools.metallb.io".to_owned(),
        namespace: "lb".to_owned(),
    }
}

#[tokio::test]
async fn a_list_is_read_page_by_page_and_anew_where_its_place_has_expired() {
    let (api, log) = server(|number, _| match number {
        0 | 2 => Answer::Json(
            200,
            json!({"items": [{"n": 1}], "metadata": {"continue": "a&b="}}),
        ),
        1 => Answer::Json(410, json!({"reason": "Expired", "message": "too old"})),
        _ => Answer::Json(200, json!({"items": [{"n": 2}], "metadata": {}})),
    });
    let listed = Session::of(api).list(&pools()).await.unwrap().unwrap();
    assert_eq!(listed, [json!({"n": 1}), json!({"n": 2})]);
    let uris: Vec<String> = log.lock().unwrap().iter().map(|s| s.uri.clone()).collect();
    assert_eq!(uris.len(), 4);
    assert!(
        uris[1].ends_with("?limit=500&continue=a%26b%3D"),
        "{uris:?}"
    );
    assert!(uris[2].ends_with("?limit=500"), "{uris:?}");
}

#[tokio::test]
async fn what_is_not_there_is_no_failure() {
    let (api, _) = server(|_, _| Answer::Json(404, json!({"reason": "NotFound", "message": "no"})));
    let session = Session::of(api);
    assert_eq!(session.list(&pools()).await, Ok(None));
    assert_eq!(session.get(&pools(), "a").await, Ok(None));
    assert_eq!(session.delete(&pools(), "a", "1").await, Ok(false));
}

#[tokio::test]
async fn an_object_is_applied_without_force_and_deleted_by_its_uid() {
    let (api, log) =
        server(|number, _| Answer::Json(if number == 0 { 201 } else { 200 }, json!({"kind": "X"})));
    let session = Session::of(api);
    let manifest = json!({"kind": "IPAddressPool"});
    let first = session
        .apply(&pools(), "a", &manifest, "me & you", false)
        .await;
    assert!(first.unwrap().is_new);
    let second = session.apply(&pools(), "a", &manifest, "me", true).await;
    assert!(!second.unwrap().is_new);
    assert_eq!(session.delete(&pools(), "a", "u-1").await, Ok(true));
    let log = log.lock().unwrap();
    let uri = "/apis/metallb.io/v1beta1/namespaces/lb/ipaddresspools/a";
    assert_eq!(
        log[0].uri,
        format!("{uri}?fieldManager=me%20%26%20you&force=false")
    );
    assert_eq!(log[0].content_type, "application/apply-patch+yaml");
    assert_eq!(
        log[1].uri,
        format!("{uri}?fieldManager=me&force=false&dryRun=All")
    );
    assert_eq!(
        (log[2].method.as_str(), log[2].uri.as_str()),
        ("DELETE", uri)
    );
    assert_eq!(log[2].body["preconditions"], json!({"uid": "u-1"}));
}

#[tokio::test]
async fn a_refusal_names_verb_and_object_and_what_the_account_needs() {
    let message = "ipaddresspools.metallb.io is forbidden";
    let (api, _) =
        server(move |_, _| Answer::Json(403, json!({"reason": "Forbidden", "message": message})));
    let refused = Session::of(api).list(&pools()).await.unwrap_err();
    assert!(refused.is_forbidden());
    assert_eq!(
        refused.to_string(),
        "cannot list ipaddresspools.metallb.io in namespace lb: ipaddresspools.metallb.io is forbidden (HTTP 403) \
         (the account needs the verb list on ipaddresspools.metallb.io)"
    );
}

#[tokio::test]
async fn a_right_is_what_the_server_says_and_unknown_where_it_does_not() {
    let right = Right {
        verb: "patch",
        group: "metallb.io".to_owned(),
        resource: "bgppeers".to_owned(),
        namespace: "lb".to_owned(),
    };
    assert_eq!(right.object(), "bgppeers.metallb.io in namespace lb");
    let (api, log) = server(|number, _| match number {
        0 => Answer::Json(201, json!({"status": {"allowed": true}})),
        1 => Answer::Json(201, json!({"status": {"allowed": false}})),
        _ => Answer::Json(403, json!({"message": "no reviews here"})),
    });
    let session = Session::of(api);
    assert_eq!(session.may(&right).await, Some(true));
    assert_eq!(session.may(&right).await, Some(false));
    assert_eq!(session.may(&right).await, None);
    let attributes = &log.lock().unwrap()[0].body["spec"]["resourceAttributes"];
    assert_eq!(
        attributes,
        &json!({"verb": "patch", "group": "metallb.io", "resource": "bgppeers", "namespace": "lb"})
    );
}
