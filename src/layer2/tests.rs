use super::*;

#[test]
fn a_report_names_the_setting_that_mends_it() {
    let report = Report::StrictArpOff {
        interfaces: vec!["eth0".to_owned()],
        addresses: vec!["192.0.2.10".parse().unwrap()],
    };
    let message = report.message();
    assert!(message.contains("strictARP: true"), "{message}");
    assert!(
        message.contains("net.ipv4.conf.all.arp_ignore=1"),
        "{message}"
    );
    assert!(message.contains("192.0.2.10"), "{message}");
    assert!(message.contains("eth0"), "{message}");
    assert_eq!(report.event_reason(), Some("StrictARPOff"));
    assert_eq!(report.record().level, Level::Warn);
}
