//! Asking for memory before it is needed.

/// f32 of a cache line.
const LINE: usize = 16;

/// Asks for the cache lines of `values`; reads nothing, so that it is free where they are there already.
#[inline]
pub fn prefetch(values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(LINE) {
        // SAFETY: a hint about memory that `line` borrows; SSE is part of this target.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.as_ptr().cast());
        }
    }
    #[cfg(target_arch = "aarch64")]
    for line in values.chunks(LINE) {
        // SAFETY: a hint about memory that `line` borrows; it changes no register.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{}]", in(reg) line.as_ptr(), options(nostack, readonly, preserves_flags));
        }
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = values;
}
