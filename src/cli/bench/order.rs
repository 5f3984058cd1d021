//! In which order streams come.

/// Streams in an order that no prefetcher guesses: a permutation of 0..streams (full period by Hull and Dobell 1962 over
/// the next power of two, what lies beyond left out).
pub(super) struct Order {
    streams: u64,
    mask: u64,
    at: u64,
}

impl Order {
    /// At the beginning.
    pub(super) fn new(streams: u32) -> Self {
        Self {
            streams: streams.into(),
            mask: u64::from(streams).next_power_of_two() - 1,
            at: 1,
        }
    }

    /// The next one; after the last, the first again.
    pub(super) fn next(&mut self) -> usize {
        loop {
            self.at = (self
                .at
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(0x1405_7B7E_F767_814F))
                & self.mask;
            // Low bits of such a sequence have short periods: the high ones first.
            let mixed = (self.at ^ (self.at >> 7)) & self.mask;
            if mixed < self.streams {
                return usize::try_from(mixed).expect("below a u32");
            }
        }
    }
}
