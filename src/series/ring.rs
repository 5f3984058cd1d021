//! The newest values of a stream, in a ring of fixed capacity.

use bytemuck::{Pod, Zeroable};

use crate::series::Rebase;

/// Capacity of the accurate row (RECIPE §7): seasons up to 146 steps are read from it.
pub const CAPACITY: usize = 320;

/// Cursor of a ring whose values lie in a slice (R) beside it. Zeroed = empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Ring {
    /// Where the next value goes.
    head: u32,
    /// Values held, at most R.
    filled: u32,
}

impl Ring {
    /// Values held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.filled as usize
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Appends the value of one step (a missing one is carried forward by the caller). `values` is value-like (R).
    pub fn push(&mut self, values: &mut [f32], x: f32) {
        values[self.head as usize] = x;
        let capacity = values.len() as u32;
        self.head = (self.head + 1) % capacity;
        self.filled = (self.filled + 1).min(capacity);
    }

    /// The value `lag` steps before the newest (0 = the newest), where it is held.
    #[must_use]
    pub fn at(&self, values: &[f32], lag: usize) -> Option<f32> {
        if lag >= self.filled as usize {
            return None;
        }
        let index = self.head as usize + values.len() - 1 - lag;
        Some(values[index % values.len()])
    }

    /// Mean square of x_t − x_{t−lag} over the values held, square-like; `None` where no two lie so far apart.
    #[must_use]
    pub fn distance(&self, values: &[f32], lag: usize) -> Option<f32> {
        let filled = self.filled as usize;
        if lag >= filled {
            return None;
        }
        // Oldest first: `older`, then `newer`.
        let (newer, older) = values.split_at(self.head as usize);
        let older = if filled < values.len() { &[] } else { older };
        let within = |part: &[f32]| match part.len().checked_sub(lag) {
            Some(pairs) => squares(&part[lag..], &part[..pairs]),
            None => 0.0,
        };
        let first = lag.saturating_sub(older.len());
        let end = lag.min(newer.len());
        let across = if first < end {
            squares(&newer[first..end], &older[older.len() + first - lag..])
        } else {
            0.0
        };
        Some((within(older) + within(newer) + across) / (filled - lag) as f32)
    }

    /// Appends `steps` empty steps, of which only the newest R matter: `fill(i)` gives the value of step i of 0..steps.
    pub fn advance(&mut self, values: &mut [f32], steps: u64, mut fill: impl FnMut(u64) -> f32) {
        let kept = steps.min(values.len() as u64);
        for step in steps - kept..steps {
            self.push(values, fill(step));
        }
    }

    /// Turns the values so that the oldest is the first.
    pub(crate) fn align(&mut self, values: &mut [f32]) {
        if self.filled as usize == values.len() {
            values.rotate_left(self.head as usize);
        }
        self.aligned(values.len());
    }

    /// The values of a ring of so many places were turned so that the oldest is the first.
    pub(crate) const fn aligned(&mut self, capacity: usize) {
        self.head = self.filled % capacity as u32;
    }

    /// Of values that are turned keeps the newest, at most `count`, and moves them to `place`.
    pub(crate) fn keep_newest(&mut self, values: &mut [f32], count: usize, place: usize) {
        let filled = self.filled as usize;
        let kept = filled.min(count);
        values.copy_within(filled - kept..filled, place);
        self.filled = kept as u32;
    }

    /// Re-bases the values held.
    pub fn rebase(&self, values: &mut [f32], by: Rebase) {
        // Not yet written slots are zeros that nobody reads: moving them too is harmless and has no branch.
        for x in values {
            *x = by.value(*x);
        }
    }
}

/// Σ (a − b)² over the shorter of both, in eight lanes: a fixed order that the compiler can vectorise.
fn squares(a: &[f32], b: &[f32]) -> f32 {
    let count = a.len().min(b.len());
    let (a, b) = (a[..count].chunks_exact(8), b[..count].chunks_exact(8));
    let rest: f32 = a
        .remainder()
        .iter()
        .zip(b.remainder())
        .map(|(a, b)| (a - b) * (a - b))
        .sum();
    let mut lanes = [0f32; 8];
    for (a, b) in a.zip(b) {
        for lane in 0..8 {
            let difference = a[lane] - b[lane];
            lanes[lane] += difference * difference;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_that_was_turned_and_cut_goes_on() {
        let (mut ring, mut values) = (Ring::zeroed(), [0.0; 5]);
        for x in 0..8u8 {
            ring.push(&mut values, f32::from(x));
            let (mut turned, mut copy) = (ring, values);
            turned.align(&mut copy);
            for lag in 0..6 {
                assert_eq!(turned.at(&copy, lag), ring.at(&values, lag), "{x} {lag}");
            }
        }
        ring.align(&mut values);
        ring.keep_newest(&mut values, 2, 3);
        values.copy_within(3..5, 0);
        ring.aligned(5);
        ring.push(&mut values, 8.0);
        let held: Vec<_> = (0..4).map(|lag| ring.at(&values, lag)).collect();
        assert_eq!(held, [Some(8.0), Some(7.0), Some(6.0), None]);
    }

    #[test]
    fn ring_gives_lags_and_forgets_beyond_its_capacity() {
        let (mut ring, mut values) = (Ring::zeroed(), [0.0; 5]);
        assert_eq!(ring.at(&values, 0), None);
        for x in 0..8u8 {
            ring.push(&mut values, f32::from(x));
        }
        assert_eq!(ring.at(&values, 0), Some(7.0));
        assert_eq!(ring.at(&values, 4), Some(3.0));
        assert_eq!(ring.at(&values, 5), None);
        ring.advance(&mut values, 1_000_000_000_002, |step| (step % 10) as f32);
        assert_eq!(ring.at(&values, 0), Some(1.0));
        assert_eq!(ring.at(&values, 4), Some(7.0));
        ring.rebase(
            &mut values,
            Rebase {
                shift: 1.0,
                ratio: 2.0,
            },
        );
        assert_eq!(ring.at(&values, 4), Some(12.0));
    }
    #[test]
    fn distance_is_that_of_the_values_in_their_order() {
        for steps in [1usize, 7, 40, 41, 77, 80, 95] {
            let (mut ring, mut values) = (Ring::zeroed(), [0.0; 40]);
            let x = |step: usize| ((step * step * 7) % 23) as f32;
            for step in 0..steps {
                ring.push(&mut values, x(step));
            }
            let held: Vec<f32> = (steps.saturating_sub(40)..steps).map(x).collect();
            for lag in 1..45 {
                let pairs = held.iter().skip(lag).zip(&held);
                let naive = pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
                let expected = (lag < held.len()).then(|| naive / (held.len() - lag) as f32);
                // Whole numbers: both sums are exact.
                assert_eq!(ring.distance(&values, lag), expected, "{steps} steps, lag {lag}");
            }
        }
    }
}
