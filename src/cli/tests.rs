use std::collections::BTreeMap;

use super::controller::Options as ControllerOptions;
use super::flags::OptionError;
use super::speaker::{BgpType, Options as SpeakerOptions, Secret};
use super::*;
use crate::journal::Level;
use crate::logging::Threshold;

fn environment(pairs: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> + use<> {
    let map: BTreeMap<String, String> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    move |name| map.get(name).cloned()
}

fn controller(
    words: &[&str],
    env: &[(&str, &str)],
    file: Option<&str>,
) -> Result<ControllerOptions, OptionError> {
    let env = environment(env);
    let parsed = controller::flag_set("/controller", &env)
        .parse(words.iter().copied())
        .unwrap();
    ControllerOptions::new(&parsed, &|| file.map(str::to_owned))
}

fn speaker(words: &[&str], env: &[(&str, &str)]) -> Result<SpeakerOptions, OptionError> {
    let env = environment(env);
    let parsed = speaker::flag_set("/speaker", &env)
        .parse(words.iter().copied())
        .unwrap();
    SpeakerOptions::new(&parsed, &env, &|| Some("metallb-system\n".to_owned()))
}

#[test]
fn the_manifest_s_controller_arguments_mean_what_they_meant() {
    let options = controller(
        &["--port=7472", "--config=config", "--log-level=info"],
        &[
            ("METALLB_ML_SECRET_NAME", "memberlist"),
            ("METALLB_DEPLOYMENT", "controller"),
        ],
        Some("metallb-system"),
    )
    .unwrap();
    assert_eq!(options.common.port, 7472);
    assert_eq!(options.common.config_map, "config");
    assert_eq!(options.common.namespace, "metallb-system");
    assert_eq!(options.common.log_level, Threshold::From(Level::Info));
    assert_eq!(options.common.kubeconfig, None);
    assert_eq!(options.common.config_file, None);
    assert!(!options.common.disable_endpoint_slices);
    assert!(!options.common.profiling);
    assert_eq!(options.memberlist_secret.as_deref(), Some("memberlist"));
    assert_eq!(options.deployment.as_deref(), Some("controller"));
    assert_eq!(options.load_balancer_class, None);
}

#[test]
fn the_manifest_s_speaker_environment_means_what_it_meant() {
    let options = speaker(
        &["--port=7472", "--config=config", "--log-level=debug"],
        &[
            ("METALLB_NODE_NAME", "node-1"),
            ("METALLB_HOST", "192.0.2.11"),
            ("METALLB_ML_BIND_ADDR", "10.0.0.1"),
            ("METALLB_ML_LABELS", "app=metallb,component=speaker"),
            ("METALLB_ML_SECRET_KEY", "s3cret"),
        ],
    )
    .unwrap();
    assert_eq!(options.node_name, "node-1");
    assert_eq!(options.host, "192.0.2.11");
    assert_eq!(options.bgp_type, BgpType::Native);
    assert_eq!(
        options.speaker_labels.as_deref(),
        Some("app=metallb,component=speaker")
    );
    let memberlist = options.memberlist.unwrap();
    assert_eq!(memberlist.bind_address, "10.0.0.1");
    assert_eq!(memberlist.bind_port, None);
    assert_eq!(memberlist.secret_key, Secret("s3cret".to_owned()));
}

#[test]
fn a_flag_wins_over_its_variable() {
    let env = [
        ("METALLB_NAMESPACE", "from-env"),
        ("METALLB_ML_SECRET_NAME", "from-env"),
    ];
    let options = controller(
        &["-namespace", "flag", "-ml-secret-name="],
        &env,
        Some("file"),
    )
    .unwrap();
    assert_eq!(options.common.namespace, "flag");
    assert_eq!(options.memberlist_secret, None);
    let options = controller(&[], &env, Some("file")).unwrap();
    assert_eq!(options.common.namespace, "from-env");
    assert_eq!(options.memberlist_secret.as_deref(), Some("from-env"));

    let env = [
        ("METALLB_NODE_NAME", "n"),
        ("METALLB_ML_BIND_ADDR", "10.0.0.1"),
        ("METALLB_ML_LABELS", "a=b"),
        ("METALLB_ML_SECRET_KEY", "from-env"),
    ];
    for (words, want) in [
        (&[][..], "from-env"),
        (&["-ml-secret-key=flag"], "flag"),
        (&["-ml-secret-key="], ""),
    ] {
        let options = speaker(words, &env).unwrap();
        assert_eq!(
            options.memberlist.unwrap().secret_key,
            Secret(want.to_owned())
        );
    }
}

#[test]
fn gossip_is_off_unless_both_address_and_labels_are_set() {
    let node = ("METALLB_NODE_NAME", "n");
    for (words, on) in [
        (&[][..], false),
        (&["-ml-bindaddr=10.0.0.1"], false),
        (&["-ml-labels=a=b"], false),
        (&["-ml-bindaddr=10.0.0.1", "-ml-labels=a=b"], true),
    ] {
        let options = speaker(words, &[node]).unwrap();
        assert_eq!(options.memberlist.is_some(), on, "{words:?}");
    }
    // The labels alone still say where the speakers are.
    let options = speaker(&["-ml-labels=a=b"], &[node]).unwrap();
    assert_eq!(options.speaker_labels.as_deref(), Some("a=b"));
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    let cases: [(&[&str], &str); 5] = [
        (&["-port=65536"], "-port=65536 is no port: use 0 to 65535"),
        (&["-port=-1"], "-port=-1 is no port: use 0 to 65535"),
        (
            &["-log-level=loud"],
            "-log-level: log level \"loud\" is unknown: use all, debug, info, warn, error or none",
        ),
        (
            &["-log-level="],
            "-log-level: log level \"\" is unknown: use all, debug, info, warn, error or none",
        ),
        (
            &["-namespace="],
            "no namespace: use -namespace or METALLB_NAMESPACE (in a pod it is also read from \
             /var/run/secrets/kubernetes.io/serviceaccount/namespace)",
        ),
    ];
    for (words, want) in cases {
        let error = controller(words, &[], None).map(|_| ()).map_err(|error| {
            // Without a namespace that is what is missing first, unless the flags are wrong.
            error.to_string()
        });
        let error = match error {
            Err(text) if text.starts_with("no namespace") && !want.starts_with("no namespace") => {
                controller(words, &[], Some("ns")).unwrap_err().to_string()
            }
            Err(text) => text,
            Ok(()) => panic!("{words:?} was taken"),
        };
        assert_eq!(error, want, "{words:?}");
    }
    assert_eq!(
        controller(&[], &[], Some(" \n")),
        Err(OptionError::NoNamespace)
    );
    assert_eq!(speaker(&[], &[]), Err(OptionError::NoNodeName));
    let node = ("METALLB_NODE_NAME", "n");
    assert_eq!(
        speaker(&[], &[node, ("METALLB_BGP_TYPE", "bird")]),
        Err(OptionError::BgpType("bird".to_owned()))
    );
    for port in ["0", "65536", "x", "-1"] {
        assert_eq!(
            speaker(&["-ml-bindport", port], &[node]),
            Err(OptionError::MemberlistPort(port.to_owned()))
        );
    }
}

#[test]
fn both_bgp_types_of_0_12_are_taken() {
    let node = ("METALLB_NODE_NAME", "n");
    for (value, want) in [
        ("", BgpType::Native),
        ("native", BgpType::Native),
        ("frr", BgpType::Frr),
    ] {
        let options = speaker(&[], &[node, ("METALLB_BGP_TYPE", value)]).unwrap();
        assert_eq!(options.bgp_type, want);
    }
}

#[test]
fn the_usage_lists_every_flag_with_its_default_and_no_secret() {
    let env = environment(&[
        ("METALLB_NAMESPACE", "metallb-system"),
        ("METALLB_ML_SECRET_KEY", "s3cret"),
        ("METALLB_ML_BIND_PORT", "7947"),
    ]);
    let usage = speaker::flag_set("/speaker", &env).usage();
    assert!(usage.starts_with("Usage of /speaker:\n  -config string\n"));
    assert!(!usage.contains("s3cret"));
    let flags: Vec<&str> = usage
        .lines()
        .filter_map(|line| line.strip_prefix("  -"))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(
        flags,
        [
            "config",
            "config-file",
            "disable-epslices",
            "enable-pprof",
            "host",
            "kubeconfig",
            "log-level",
            "ml-bindaddr",
            "ml-bindport",
            "ml-labels",
            "ml-secret-key",
            "namespace",
            "node-name",
            "port",
        ]
    );
    assert!(usage.contains("(default \"metallb-system\")"));
    assert!(usage.contains("(default \"7947\")"));
    assert!(usage.contains("  -port int\n"));
    let usage = controller::flag_set("/controller", &env).usage();
    for flag in ["deployment", "lb-class", "ml-secret-name"] {
        assert!(usage.contains(&format!("  -{flag} string\n")), "{flag}");
    }
    assert!(!usage.contains("-node-name"));
}

#[test]
fn a_secret_does_not_show_itself() {
    assert_eq!(format!("{:?}", Secret("s3cret".to_owned())), "***");
    assert_eq!(format!("{:?}", Secret(String::new())), "none");
}

#[test]
fn the_own_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn programs_of_0_12_are_known_by_name() {
    assert_eq!(Program::named("controller"), Some(Program::Controller));
    assert_eq!(Program::named("speaker"), Some(Program::Speaker));
    assert_eq!(
        Program::named("configmaptocrs"),
        Some(Program::ConfigMapToCrs)
    );
    assert_eq!(Program::named("ferrolb"), None);
}

#[test]
fn the_exporter_of_frr_s_figures_takes_upstreams_flags() {
    use super::frr_metrics::{OptionError, flag_set};
    use crate::run::frr_metrics::Options;
    let options = |words: &[&str], env: &[(&str, &str)]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Options::new(
            &flag_set("frr-metrics").parse(&words).unwrap(),
            &environment(env),
        )
    };
    // As 0.12's manifest calls it.
    assert_eq!(
        options(&["--metrics-port=7473"], &[]),
        Ok(Options {
            port: 7473,
            path: "/metrics".to_owned(),
            speaker_host: None,
            speaker_port: 7472,
        })
    );
    let host = ("METALLB_HOST", "192.0.2.1");
    let other = options(
        &["-speaker-port", "9", "-metrics-path", "/x/m.txt"],
        &[host],
    )
    .unwrap();
    assert_eq!(other.speaker_host, Some("192.0.2.1".parse().unwrap()));
    assert_eq!((other.speaker_port, other.path.as_str()), (9, "/x/m.txt"));
    assert_eq!(
        options(&["-metrics-port", "65536"], &[]),
        Err(OptionError::Port("metrics-port", 65536))
    );
    for path in ["", "metrics", "/{x}", "/:x", "/*x"] {
        assert_eq!(
            options(&["-metrics-path", path], &[]),
            Err(OptionError::Path(path.to_owned()))
        );
    }
    assert_eq!(
        options(&["-tls-config-path", "/x"], &[]),
        Err(OptionError::Tls("/x".to_owned()))
    );
}
