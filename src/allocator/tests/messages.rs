//! What operators read. Each text begins with MetalLB 0.12.1's words, as recorded in its Events.

use super::*;

#[test]
fn refusals_begin_with_the_words_of_0_12_1() {
    let mut allocator = allocator(&[
        avoiding(pool("a", &["10.0.0.0/28"])),
        manual(pool("small", &["10.0.1.0/30", "fd00::/128"])),
    ]);
    let address = ips(&["10.0.1.1"]);
    for (name, port) in [("s4", "TCP/1"), ("s5", "TCP/2")] {
        allocator
            .assign(&key(name), &address, &claim(&[port], "k", ""))
            .unwrap();
    }
    allocator
        .assign(&key("s6"), &ips(&["10.0.1.2", "fd00::"]), &alone())
        .unwrap();
    let mut refusal = |families: Option<Families>, pool: &str, wanted: &[&str], claim: Claim| {
        let service = &key("s3");
        match families {
            None => allocator.assign(service, &ips(wanted), &claim).unwrap_err(),
            Some(families) if pool.is_empty() => {
                allocator.allocate(service, families, &claim).unwrap_err()
            }
            Some(families) => allocator
                .allocate_from_pool(service, families, pool, &claim)
                .unwrap_err(),
        }
        .to_string()
    };
    let dual = Some(Families::Dual);
    let table = [
        (
            refusal(None, "", &["10.0.9.9"], alone()),
            r#"["10.0.9.9"] is not allowed in config"#,
        ),
        (
            refusal(None, "", &["10.0.0.1", "fd00:9::"], alone()),
            r#"["10.0.0.1" "fd00:9::"] is not allowed in config: fd00:9:: is in no address pool"#,
        ),
        (
            refusal(None, "", &["10.0.0.0"], alone()),
            r#"["10.0.0.0"] is not allowed in config: 10.0.0.0 is in pool "a", which avoids addresses that end in .0 or .255"#,
        ),
        (
            refusal(None, "", &["10.0.0.1", "fd00::"], alone()),
            r#"["10.0.0.1" "fd00::"] is not allowed in config: fd00:: is in pool "small", but all must be in one pool, here "a""#,
        ),
        (
            refusal(None, "", &["10.0.1.1"], claim(&["TCP/9"], "other", "")),
            r#"can't change sharing key for "default/s3", address also in use by default/s4,default/s5: sharing key "other" does not match existing sharing key "k" (10.0.1.1)"#,
        ),
        (
            refusal(None, "", &["10.0.1.1"], alone()),
            r#"can't change sharing key for "default/s3", address also in use by default/s4,default/s5: new service does not allow sharing (10.0.1.1)"#,
        ),
        (
            refusal(None, "", &["10.0.1.2"], claim(&["TCP/9"], "k", "")),
            r#"can't change sharing key for "default/s3", address also in use by default/s6: existing service does not allow sharing (10.0.1.2)"#,
        ),
        (
            refusal(None, "", &["10.0.1.1"], claim(&["TCP/9"], "k", "app=a")),
            r#"can't change sharing key for "default/s3", address also in use by default/s4,default/s5: to share, both must have externalTrafficPolicy Cluster, or both Local and the same selector (10.0.1.1)"#,
        ),
        (
            refusal(None, "", &["10.0.1.1"], claim(&["TCP/9", "TCP/2"], "k", "")),
            r#"port TCP/2 is already in use on "10.0.1.1", by default/s5"#,
        ),
        (
            refusal(dual, "nowhere", &[], alone()),
            r#"unknown pool "nowhere""#,
        ),
        (
            refusal(dual, "small", &[], alone()),
            r#"no available IPs in pool "small" for dual IPFamily"#,
        ),
        (
            refusal(Some(V6), "small", &[], alone()),
            r#"no available IPs in pool "small" for ipv6 IPFamily"#,
        ),
        (
            refusal(Some(V6), "", &[], alone()),
            "no available IPs for ipv6 IPFamily in the one pool with auto-assign",
        ),
    ];
    for (got, want) in table {
        assert_eq!(got, want);
    }
}

#[test]
fn many_holders_are_counted_instead_of_named() {
    let mut allocator = allocator(&[pool("a", &["10.0.0.0/28"])]);
    let address = ips(&["10.0.0.1"]);
    for n in 10..30 {
        let claim = claim(&[&format!("TCP/{n}")], "k", "");
        allocator
            .assign(&key(&format!("s{n}")), &address, &claim)
            .unwrap();
    }
    let text = allocator
        .assign(&key("x"), &address, &alone())
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        "can't change sharing key for \"default/x\", address also in use by default/s10,default/s11,default/s12,\
         default/s13,default/s14 and 15 more: new service does not allow sharing (10.0.0.1)"
    );
}

#[test]
fn refused_pools_name_services_and_addresses_and_what_to_do() {
    let mut allocator = allocator(&[pool("a", &["10.0.0.0/28"])]);
    for n in 0..7 {
        allocator
            .allocate(&key(&format!("s{n}")), V4, &alone())
            .unwrap();
    }
    let text = allocator
        .set_pools(&[avoiding(pool("b", &["10.0.0.0/31"]))])
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        "new config not compatible with assigned IPs: \
         service \"default/s0\" cannot own \"10.0.0.0\" under new config \
         (it is in pool \"b\", which avoids addresses that end in .0 or .255); \
         service \"default/s2\" cannot own \"10.0.0.2\" under new config (it is in no address pool); \
         service \"default/s3\" cannot own \"10.0.0.3\" under new config (it is in no address pool); \
         service \"default/s4\" cannot own \"10.0.0.4\" under new config (it is in no address pool); \
         service \"default/s5\" cannot own \"10.0.0.5\" under new config (it is in no address pool); \
         and 1 more. Keep these addresses in a pool, or delete the services first"
    );
}

#[test]
fn no_pool_with_auto_assign_is_said() {
    let mut allocator = allocator(&[manual(pool("a", &["10.0.0.0/28"]))]);
    assert_eq!(
        allocator
            .allocate(&key("s0"), V4, &alone())
            .unwrap_err()
            .to_string(),
        "no available IPs: no address pool has auto-assign"
    );
}
