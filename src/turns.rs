//! Turns on the processor: how a thread that must answer at once asks for them.

use std::io;
use std::mem::zeroed;

/// Asks for short turns on the processor, and gets them sooner: since Linux 6.12 a thread that wakes goes before one whose
/// turn is longer. Needs no right. Older kernels take the value and do nothing with it.
#[expect(unsafe_code, reason = "sched_setattr")]
pub(crate) fn ask_for_short_turns() -> io::Result<()> {
    let size = u32::try_from(size_of::<libc::sched_attr>()).map_err(io::Error::other)?;
    // SAFETY: a sched_attr is plain data, all zeros are a value of it.
    let mut attributes: libc::sched_attr = unsafe { zeroed() };
    // SAFETY: the kernel writes at most `size` octets: policy and niceness stay what they are.
    if unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    attributes.size = size;
    // Nanoseconds; the shortest that Linux takes.
    attributes.sched_runtime = 100_000;
    // SAFETY: the kernel reads a sched_attr that says how large it is.
    if unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
