//! Gives memory back to the system after a list has been read.
//!
//! Reading 10,000 objects leaves tens of megabytes of free but resident heap behind, which glibc returns only when
//! asked. Other allocators (musl's) return it by themselves.

/// Returns what is free.
pub(super) fn release() {
    #[cfg(target_env = "gnu")]
    {
        #[expect(unsafe_code, reason = "malloc_trim has no safe wrapper")]
        // SAFETY: malloc_trim takes no pointer, may be called from any thread at any time, and only returns pages
        // that hold no allocation.
        let _ = unsafe { libc::malloc_trim(0) };
    }
}
