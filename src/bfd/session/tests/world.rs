//! Two sessions on a link, in virtual time.

use std::collections::{BTreeMap, VecDeque};

use super::*;

/// What a link does to packets, one way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) cut: bool,
    /// Percent.
    pub(super) loss: u64,
    pub(super) delay: Duration,
    /// Up to this much more, so that packets may overtake one another.
    pub(super) jitter: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Parcel {
    Control(Control),
    /// On its way to the peer and back.
    Echo(Echo),
}

/// How an end does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// Its packets wait in the kernel: a starved process.
    Starved,
    /// They are lost: a machine that is switched off for a while.
    Suspended,
}

pub(super) struct End {
    pub(super) session: Option<Session>,
    /// Up and Down, with the time since the beginning.
    pub(super) story: Vec<(Duration, Output)>,
    pub(super) sent: Vec<(Duration, Control)>,
    pub(super) echoes_sent: u64,
    pub(super) lates: u64,
    pub(super) ended: bool,
    paused: Option<(Instant, Pause)>,
    waiting: VecDeque<Parcel>,
}

pub(super) struct World {
    start: Instant,
    pub(super) now: Instant,
    pub(super) ends: [End; 2],
    /// From an end.
    pub(super) links: [Link; 2],
    /// Whether an end loops the other's echoes.
    pub(super) loops: [bool; 2],
    flying: BTreeMap<(Instant, u64), (usize, Parcel)>,
    count: u64,
    random: Random,
    /// Up to this late is each tick.
    pub(super) lateness: Duration,
}

impl World {
    pub(super) fn new(seed: u64, params: [Params; 2]) -> Self {
        let start = Instant::now();
        let end = || End {
            session: None,
            story: Vec::new(),
            sent: Vec::new(),
            echoes_sent: 0,
            lates: 0,
            ended: false,
            paused: None,
            waiting: VecDeque::new(),
        };
        let link = Link {
            cut: false,
            loss: 0,
            delay: ms(1),
            jitter: Duration::ZERO,
        };
        let mut world = Self {
            start,
            now: start,
            ends: [end(), end()],
            links: [link; 2],
            loops: [true; 2],
            flying: BTreeMap::new(),
            count: 0,
            random: Random::seeded(seed),
            lateness: Duration::ZERO,
        };
        for (which, params) in params.into_iter().enumerate() {
            world.begin(which, params);
        }
        world
    }

    /// A new process at an end.
    pub(super) fn begin(&mut self, which: usize, params: Params) {
        let discriminator = number(1 + u32::try_from(self.random.below(1 << 31)).unwrap());
        let random = Random::seeded(self.random.bits());
        self.ends[which].session =
            Some(Session::new(self.now, params, false, discriminator, random));
        self.input(
            which,
            Input::Paths(Paths {
                forwarded: true,
                returned: false,
                loops: true,
            }),
        );
    }

    /// The process at an end is gone, without a word.
    pub(super) fn kill(&mut self, which: usize) {
        let end = &mut self.ends[which];
        end.session = None;
        end.waiting.clear();
    }

    pub(super) fn pause(&mut self, which: usize, time: Duration, how: Pause) {
        self.ends[which].paused = Some((self.now + time, how));
    }

    pub(super) fn input(&mut self, which: usize, input: Input) {
        let since = self.now - self.start;
        let end = &mut self.ends[which];
        let Some(session) = &mut end.session else {
            return;
        };
        session.handle(self.now, input);
        let outputs: Vec<_> = std::iter::from_fn(|| session.poll_output()).collect();
        for output in outputs {
            let end = &mut self.ends[which];
            match output {
                Output::Transmit(control) => {
                    end.sent.push((since, control));
                    self.send(which, 1 - which, Parcel::Control(control), 1);
                }
                Output::Echo(echo) => {
                    end.echoes_sent += 1;
                    if self.loops[1 - which] && !self.links[1 - which].cut {
                        self.send(which, which, Parcel::Echo(echo), 2);
                    }
                }
                Output::Up | Output::Down(_) => end.story.push((since, output)),
                Output::Late(_) => end.lates += 1,
                Output::Ended => end.ended = true,
                Output::Dropped(_) | Output::EchoUnanswered => {}
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, parcel: Parcel, hops: u32) {
        let link = self.links[from];
        if link.cut || self.random.below(100) < link.loss {
            return;
        }
        let delay = (link.delay + self.random.share(link.jitter, 0, 100)) * hops;
        self.count += 1;
        self.flying
            .insert((self.now + delay, self.count), (to, parcel));
    }

    fn deliver(&mut self, to: usize, parcel: Parcel) {
        match self.ends[to].paused {
            Some((_, Pause::Starved)) => self.ends[to].waiting.push_back(parcel),
            Some((_, Pause::Suspended)) => {}
            None => self.input(
                to,
                match parcel {
                    Parcel::Control(control) => Input::Received { control, ttl: TTL },
                    Parcel::Echo(echo) => Input::Echo(echo),
                },
            ),
        }
    }

    /// When an end wants to run: not while it is paused.
    fn wakes(&self, which: usize) -> Option<Instant> {
        let end = &self.ends[which];
        let deadline = end.session.as_ref()?.next_deadline();
        match end.paused {
            Some((until, _)) => Some(until),
            None => deadline,
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let stop = self.now + time;
        loop {
            let packet = self.flying.first_key_value().map(|(key, _)| *key);
            let tick = (0..2)
                .filter_map(|which| Some((self.wakes(which)?, which)))
                .min();
            let next = packet
                .map(|(at, _)| at)
                .into_iter()
                .chain(tick.map(|(at, _)| at))
                .min();
            let Some(next) = next.filter(|at| *at <= stop) else {
                self.now = stop;
                return;
            };
            self.now = self.now.max(next);
            if let Some(key) = packet.filter(|(at, _)| *at == next) {
                if let Some((to, parcel)) = self.flying.remove(&key) {
                    self.deliver(to, parcel);
                }
                continue;
            }
            let Some((_, which)) = tick else { continue };
            // A driver that is late reads what waits first, then looks at the clock.
            let late = self.random.share(self.lateness, 0, 100);
            if self.ends[which].paused.is_none() && late > ms(0) {
                self.pause(which, late, Pause::Starved);
                continue;
            }
            self.ends[which].paused = None;
            for parcel in std::mem::take(&mut self.ends[which].waiting) {
                self.deliver(which, parcel);
            }
            if self.ends[which]
                .session
                .as_ref()
                .and_then(Session::next_deadline)
                .is_some_and(|at| at <= self.now)
            {
                self.input(which, Input::Tick);
            }
        }
    }

    pub(super) fn time(&self) -> Duration {
        self.now - self.start
    }

    pub(super) fn state(&self, which: usize) -> Option<State> {
        self.ends[which].session.as_ref().map(Session::state)
    }

    pub(super) fn both_are_up(&self) -> bool {
        (0..2).all(|which| self.state(which) == Some(State::Up))
    }

    /// Runs until both are Up, and their polls are answered.
    pub(super) fn come_up(&mut self) {
        self.run(ms(5000));
        assert!(self.both_are_up(), "{:?}", self.ends[0].story);
    }

    /// What happened since `since`.
    pub(super) fn story(&self, which: usize, since: Duration) -> Vec<(Duration, Output)> {
        self.ends[which]
            .story
            .iter()
            .filter(|(at, _)| *at >= since)
            .copied()
            .collect()
    }
}
