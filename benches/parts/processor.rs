//! The processor's time of a thread: what others do on the machine meanwhile does not count.

use std::time::Duration;

/// A point of this thread's time on the processor.
pub(crate) struct Start(Duration);

impl Start {
    #[expect(
        unsafe_code,
        reason = "the standard library does not tell a thread's time"
    )]
    fn read() -> Duration {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the pointer is to a local value that outlives the call.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or_default(),
            u32::try_from(time.tv_nsec).unwrap_or_default(),
        )
    }

    pub(crate) fn now() -> Self {
        Self(Self::read())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Self::read().saturating_sub(self.0)
    }
}
