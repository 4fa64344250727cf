#![expect(
    clippy::disallowed_methods,
    reason = "a test needs some moment to begin at"
)]

use super::*;

mod pair;
mod rules;
mod world;

fn number(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// 50 ms three times.
fn fast() -> Params {
    Params {
        receive_interval: ms(50),
        transmit_interval: ms(50),
        ..Params::default()
    }
}

/// One session, and what its peer would say.
struct Lone {
    session: Session,
    now: Instant,
    /// The peer's next packet.
    says: Control,
}

impl Lone {
    fn new(params: Params) -> Self {
        Self::over(params, false)
    }

    fn over(params: Params, multihop: bool) -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(now, params, multihop, number(7), Random::seeded(1)),
            now,
            says: Control {
                diagnostic: Diagnostic::NONE,
                state: State::Down,
                poll: false,
                final_: false,
                control_plane_independent: false,
                demand: false,
                detect_multiplier: 3,
                my_discriminator: number(9),
                your_discriminator: Some(number(7)),
                desired_min_tx_interval: ms(50),
                required_min_rx_interval: ms(50),
                required_min_echo_rx_interval: Duration::ZERO,
            },
        }
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        self.session.handle(self.now, input);
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    fn hear_with(&mut self, ttl: u8) -> Vec<Output> {
        let control = self.says;
        self.handle(Input::Received { control, ttl })
    }

    fn hear(&mut self) -> Vec<Output> {
        self.hear_with(TTL)
    }

    fn hear_state(&mut self, state: State) -> Vec<Output> {
        self.says.state = state;
        self.hear()
    }

    /// Goes through all deadlines of the next `time`; what was put out, and when.
    fn pass(&mut self, time: Duration) -> Vec<(Instant, Output)> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        while let Some(deadline) = self.session.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(deadline);
            let now = self.now;
            outputs.extend(self.handle(Input::Tick).into_iter().map(|o| (now, o)));
            assert!(
                self.session.next_deadline().is_none_or(|at| at > now),
                "after a tick all that was due is done"
            );
        }
        self.now = end;
        outputs
    }

    /// The peer speaks every 40 ms for `time`.
    fn pass_hearing(&mut self, time: Duration) -> Vec<(Instant, Output)> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        while self.now < end {
            let now = self.now;
            outputs.extend(self.hear().into_iter().map(|o| (now, o)));
            outputs.extend(self.pass(ms(40)));
        }
        outputs
    }

    /// Up, with no poll under way.
    fn up(params: Params) -> Self {
        let mut lone = Self::new(params);
        lone.become_up();
        lone
    }

    fn become_up(&mut self) {
        self.pass(Duration::ZERO);
        self.hear_state(State::Down);
        assert!(self.hear_state(State::Init).contains(&Output::Up));
        self.says.state = State::Up;
        self.says.final_ = true;
        self.hear();
        self.says.final_ = false;
        self.hear();
        assert!(!self.session.polls.is_asking());
    }
}

fn packets(outputs: &[(Instant, Output)]) -> Vec<(Instant, Control)> {
    outputs
        .iter()
        .filter_map(|(at, output)| match output {
            Output::Transmit(control) => Some((*at, *control)),
            _ => None,
        })
        .collect()
}

fn sent(outputs: &[Output]) -> Vec<Control> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Transmit(control) => Some(*control),
            _ => None,
        })
        .collect()
}
