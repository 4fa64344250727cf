//! Which Events are sent, and as what: repetitions as a count, floods as one.
//!
//! Pure. The rules and their numbers are those of client-go's event correlator, which 0.12 uses:
//! the same object, type, reason and message again: the count of the first Event grows;
//! [`SIMILAR`] different messages of the same object, type and reason within [`WITHIN`] of each other: one Event
//! "(combined from similar events): …" whose count grows; per object [`BURST`] Events at once and then one each
//! [`REFILL`].

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::time::{Duration, Instant, SystemTime};

use crate::view::{KubernetesEvent, ObjectReference};

/// Different messages from which on they are combined.
const SIMILAR: usize = 10;

/// Messages further apart than this are not a flood.
const WITHIN: Duration = Duration::from_secs(600);

/// Events about one object at once.
const BURST: f64 = 25.0;

/// The time in which an object earns another Event.
const REFILL: Duration = Duration::from_secs(300);

/// Entries of each memory (client-go: 4096); there are four correlators, each for its part of the objects.
const REMEMBERED: usize = 1024;

/// The longest message; longer ones are cut.
const LONGEST_MESSAGE: usize = 1024;

/// The longest name of an object (RFC 1123 subdomain).
const LONGEST_NAME: usize = 253;

/// An Event as it goes to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sending {
    /// What happened; the message as it is to be shown.
    pub(super) event: KubernetesEvent,
    /// Where the Event lives.
    pub(super) namespace: String,
    /// The Event's name.
    pub(super) name: String,
    /// 1: it is new. More: the Event of that name has to be updated.
    pub(super) count: u32,
    /// When it happened first.
    pub(super) first: SystemTime,
    /// When it happened last.
    pub(super) last: SystemTime,
}

/// What becomes of an Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it.
    Send(Sending),
    /// There have been too many about this object. It is counted in the next one like it.
    Suppressed,
}

/// A map that forgets what was not used for longest.
struct Memory<K, V> {
    entries: HashMap<K, (u64, V)>,
    uses: u64,
}

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            uses: 0,
        }
    }
}

impl<K: Hash + Eq + Clone, V> Memory<K, V> {
    fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        if self.entries.len() >= REMEMBERED && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.entries.remove(&oldest);
            }
        }
        self.uses += 1;
        let entry = self.entries.entry(key).or_insert_with(|| (0, new()));
        entry.0 = self.uses;
        &mut entry.1
    }
}

/// Events with the same aggregate key may be combined.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Similar {
    about: ObjectReference,
    warning: bool,
    reason: &'static str,
}

struct Messages {
    different: HashSet<String>,
    last: Instant,
}

/// What is counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Same {
    similar: Similar,
    /// `None`: the combined Event.
    message: Option<String>,
}

struct Counted {
    name: String,
    count: u32,
    first: SystemTime,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// See the module.
#[derive(Default)]
pub(super) struct Correlator {
    similar: Memory<Similar, Messages>,
    counted: Memory<Same, Counted>,
    buckets: Memory<ObjectReference, Bucket>,
    /// Names are made from the time; two of them must differ.
    last_name: u128,
}

impl Correlator {
    /// Takes an Event that happened `at` (wall clock, for people) and `now` (for the rules).
    pub(super) fn observe(
        &mut self,
        mut event: KubernetesEvent,
        at: SystemTime,
        now: Instant,
    ) -> Verdict {
        cut(&mut event.message, LONGEST_MESSAGE);
        let about = event.about.clone();
        let same = self.aggregate(&mut event, now);

        let since_epoch = at.duration_since(SystemTime::UNIX_EPOCH);
        let nanoseconds = since_epoch.unwrap_or_default().as_nanos();
        let name_time = nanoseconds.max(self.last_name + 1);
        let mut is_new = false;
        let counted = self.counted.entry(same, || {
            is_new = true;
            Counted {
                name: name(event.about.key.name(), name_time),
                count: 0,
                first: at,
            }
        });
        counted.count = counted.count.saturating_add(1);
        let sending = Sending {
            namespace: match event.about.key.namespace() {
                "" => "default".to_owned(),
                namespace => namespace.to_owned(),
            },
            event,
            name: counted.name.clone(),
            count: counted.count,
            first: counted.first,
            last: at,
        };
        if is_new {
            self.last_name = name_time;
        }

        let bucket = self.buckets.entry(about, || Bucket {
            tokens: BURST,
            filled: now,
        });
        let earned = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + earned / REFILL.as_secs_f64()).min(BURST);
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return Verdict::Suppressed;
        }
        bucket.tokens -= 1.0;
        Verdict::Send(sending)
    }

    /// What the Event is counted with; in a flood its message becomes that of the combined one.
    fn aggregate(&mut self, event: &mut KubernetesEvent, now: Instant) -> Same {
        let similar = Similar {
            about: event.about.clone(),
            warning: event.warning,
            reason: event.reason,
        };
        let messages = self.similar.entry(similar.clone(), || Messages {
            different: HashSet::new(),
            last: now,
        });
        if now.saturating_duration_since(messages.last) > WITHIN {
            messages.different.clear();
        }
        messages.last = now;
        let known = messages.different.contains(&event.message);
        if !known && messages.different.len() + 1 >= SIMILAR {
            event.message = format!("(combined from similar events): {}", event.message);
            return Same {
                similar,
                message: None,
            };
        }
        if !known {
            messages.different.insert(event.message.clone());
        }
        Same {
            similar,
            message: Some(event.message.clone()),
        }
    }
}

/// `<object>.<time in hexadecimal>`.
fn name(object: &str, nanoseconds: u128) -> String {
    let suffix = format!(".{nanoseconds:x}");
    let mut name = object.to_owned();
    cut(&mut name, LONGEST_NAME - suffix.len().min(LONGEST_NAME));
    // What is cut must not end where a label may not.
    let end = name.trim_end_matches(['-', '.']).len();
    name.truncate(end);
    name + &suffix
}

/// Cuts a text to so many octets at most, between characters.
fn cut(text: &mut String, longest: usize) {
    let end = text.floor_char_boundary(longest);
    text.truncate(end);
}

#[cfg(test)]
mod tests;
