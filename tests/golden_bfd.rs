//! BFD's control packets as other daemons wrote them: read, and written again octet for octet.
#![expect(clippy::unwrap_used, reason = "a test: a panic is its report")]

use std::fs;
use std::path::Path;

use ferrolb::bfd::wire::Control;
use serde::Deserialize;

#[derive(Deserialize)]
struct Captured {
    made_by: String,
    packets: Vec<Packet>,
}

#[derive(Deserialize)]
struct Packet {
    what: String,
    hex: String,
}

fn captured(name: &str) -> Captured {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bfd");
    serde_json::from_slice(&fs::read(path.join(name)).unwrap()).unwrap()
}

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// In the words of the files, which another program found in the octets.
fn words(control: &Control) -> String {
    let mut words = control.state.to_string();
    for (set, word) in [
        (control.poll, ", Poll"),
        (control.final_, ", Final"),
        (
            control.control_plane_independent,
            ", Control Plane Independent",
        ),
        (control.demand, ", Demand"),
    ] {
        if set {
            words.push_str(word);
        }
    }
    words.push_str(&format!(", diagnostic {}", control.diagnostic.code()));
    if control.your_discriminator.is_none() {
        words.push_str(", peer not known");
    }
    words
}

#[test]
fn what_frr_and_bird_wrote_is_read_and_written_again_octet_for_octet() {
    let mut all = Vec::new();
    for (file, maker) in [("want.frr.json", "FRR"), ("want.bird.json", "BIRD")] {
        let captured = captured(file);
        assert!(captured.made_by.starts_with(maker));
        assert!(captured.packets.len() >= 7, "{file}");
        for packet in captured.packets {
            let octets = octets(&packet.hex);
            let control = Control::decode(&octets).unwrap();
            assert_eq!(words(&control), packet.what, "{file}");
            assert_eq!(control.encode()[..], octets[..], "{file}: {}", packet.what);
            assert_eq!(control.detect_multiplier, 3);
            all.push(packet.what);
        }
    }
    for state in ["AdminDown", "Down", "Init", "Up"] {
        assert!(
            all.iter().any(|what| what.starts_with(state)),
            "no {state} among them"
        );
    }
}
