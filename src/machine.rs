//! The contract of everything that has state over time: no socket, no clock, no randomness, no task of its own.
//!
//! A machine takes one input at a time, at a time it is told; it says what to do, and when to be asked again.
//! After each [`Machine::handle`], drain [`Machine::poll_output`], then read [`Machine::next_deadline`].
//! A deadline that is served early, late or twice is harmless.

use std::time::Instant;

/// A state machine without a world.
pub trait Machine {
    /// What can happen to it.
    type Input;
    /// What it wants done.
    type Output;

    /// Takes one event that happened at `now`; `now` never goes back.
    fn handle(&mut self, now: Instant, input: Self::Input);

    /// Takes the next thing to do, oldest first.
    fn poll_output(&mut self) -> Option<Self::Output>;

    /// When to call [`Machine::handle`] with the machine's tick if nothing happens before.
    fn next_deadline(&self) -> Option<Instant>;
}
