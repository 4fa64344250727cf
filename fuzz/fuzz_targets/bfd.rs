//! Any datagram as a control packet and as an echo: decoding never panics, and what was decoded is encoded to the same. Then
//! the octets as a life of a session: its invariants hold.
#![no_main]

use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ferrolb::bfd::Params;
use ferrolb::random::Random;
use ferrolb::bfd::session::{Input, Output, Paths, Session};
use ferrolb::bfd::wire::{CONTROL, Control, Echo, EchoKey, State, Way};
use ferrolb::machine::Machine;
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<EchoKey> = LazyLock::new(|| EchoKey::new(&[7; 32]));
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

const OURS: NonZeroU32 = NonZeroU32::MIN;

fn wire(bytes: &[u8]) {
    if let Ok(control) = Control::decode(bytes) {
        let encoded = control.encode();
        // All but the Length: what follows the packet is not kept.
        assert_eq!(encoded[..3], bytes[..3]);
        assert_eq!(encoded[4..], bytes[4..CONTROL]);
        assert_eq!(Control::decode(&encoded), Ok(control));
    }
    assert!(
        Echo::decode(bytes, &KEY).is_err(),
        "nobody guesses the key"
    );
}

fn life(bytes: &[u8]) {
    let mut now = *START;
    let mut session = Session::new(now, Params::default(), false, OURS, Random::seeded(1));
    let mut up = false;
    for step in bytes.chunks(CONTROL + 2) {
        let [kind, wait, rest @ ..] = step else { return };
        now += Duration::from_millis(u64::from(*wait) * 5);
        let input = match kind % 8 {
            0 => Input::Stop,
            1 => Input::Paths(Paths {
                forwarded: kind & 8 != 0,
                returned: kind & 16 != 0,
                loops: kind & 32 != 0,
            }),
            2 => Input::Echo(Echo {
                my_discriminator: OURS,
                sequence: rest.first().copied().unwrap_or_default().into(),
                way: Way::Forwarded,
            }),
            3 => Input::Params(Params {
                transmit_interval: Duration::from_millis(u64::from(*kind)),
                echo_mode: kind & 8 != 0,
                passive_mode: kind & 16 != 0,
                ..Params::default()
            }),
            4 => Input::Tick,
            _ => match Control::decode(rest) {
                Ok(control) => Input::Received {
                    control: Control {
                        your_discriminator: control.your_discriminator.map(|_| OURS),
                        ..control
                    },
                    ttl: 255,
                },
                Err(_) => continue,
            },
        };
        session.handle(now, input);
        let mut count = 0;
        while let Some(output) = session.poll_output() {
            count += 1;
            match output {
                Output::Up => assert!(!std::mem::replace(&mut up, true)),
                Output::Down(_) => assert!(std::mem::take(&mut up)),
                Output::Transmit(control) => {
                    assert!(!(control.poll && control.final_));
                    assert_eq!(Control::decode(&control.encode()), Ok(control));
                }
                _ => {}
            }
        }
        assert!(count <= 6);
        if matches!(input, Input::Stop) {
            up = false;
        }
        assert_eq!(up, session.state() == State::Up);
        if matches!(input, Input::Tick) {
            assert!(session.next_deadline().is_none_or(|at| at > now));
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    wire(bytes);
    life(bytes);
});
