//! Admitted observations of a partition, and the order in which they are stepped.

use crate::series::observation::Source;

/// An admitted observation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Row of its stream; `NO_SLOT` where there was no room for another stream.
    pub(crate) slot: u32,
    /// Event time, milliseconds since 1970.
    pub(crate) time_ms: i64,
    /// NaN = missing.
    pub(crate) value: f64,
    /// Where it came from.
    pub(crate) source: Source,
}

/// Slot of an observation that no stream could be made for.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// What became of an entry; forecasts lie in the engine's output buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not stepped yet.
    Open,
    /// Index into the output buffers.
    Forecast(u32),
    Duplicate,
    Late,
    Missing,
    OverCapacity,
    Muted,
}

/// Observations in the order of admission.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    pub(crate) verdicts: Vec<Verdict>,
    /// Entries by wave, in order of admission within a wave.
    order: Vec<u32>,
    /// End of each wave in `order`.
    wave_ends: Vec<u32>,
    /// Wave of each entry.
    wave_of: Vec<u32>,
    /// (slots) how many entries of the batch each stream has; all zero between steps.
    times: Vec<u32>,
    stepped: bool,
}

impl Batch {
    /// Appends an entry; clears the batch first where it was stepped.
    pub(crate) fn push(&mut self, entry: Entry) {
        if self.stepped {
            self.entries.clear();
            self.verdicts.clear();
            self.stepped = false;
        }
        self.entries.push(entry);
        self.verdicts.push(Verdict::Open);
    }

    /// Whether nothing refers to the streams of its entries any more but its outcomes.
    pub(crate) const fn is_stepped(&self) -> bool {
        self.stepped
    }

    /// Entries that wait to be stepped.
    pub(crate) const fn waiting(&self) -> usize {
        if self.stepped { 0 } else { self.entries.len() }
    }

    /// Orders the entries into waves (a stream's k-th entry is in wave k) and marks the batch as stepped. Nothing is
    /// left to do where it was stepped already.
    pub(crate) fn split(&mut self, slots: usize) {
        self.order.clear();
        self.wave_ends.clear();
        self.wave_of.clear();
        if self.stepped {
            self.entries.clear();
            self.verdicts.clear();
        }
        self.stepped = true;
        self.times.resize(slots, 0);
        for entry in &self.entries {
            if entry.slot == NO_SLOT {
                self.wave_of.push(NO_SLOT);
                continue;
            }
            let wave = self.times[entry.slot as usize];
            self.times[entry.slot as usize] = wave + 1;
            self.wave_of.push(wave);
            if wave as usize == self.wave_ends.len() {
                self.wave_ends.push(0);
            }
            self.wave_ends[wave as usize] += 1;
        }
        self.place();
    }

    /// Counting sort by wave; afterwards `wave_ends` holds ends and `times` is all zero again.
    fn place(&mut self) {
        let mut start = 0;
        for end in &mut self.wave_ends {
            let count = *end;
            *end = start;
            start += count;
        }
        self.order.resize(start as usize, 0);
        for (number, (entry, &wave)) in self.entries.iter().zip(&self.wave_of).enumerate() {
            if wave == NO_SLOT {
                continue;
            }
            self.times[entry.slot as usize] = 0;
            let place = &mut self.wave_ends[wave as usize];
            self.order[*place as usize] = number as u32;
            *place += 1;
        }
    }

    /// Number of waves after [`Batch::split`].
    pub(crate) const fn waves(&self) -> usize {
        self.wave_ends.len()
    }

    /// Range of a wave in the stepping order.
    pub(crate) fn wave(&self, wave: usize) -> std::ops::Range<usize> {
        let start = if wave == 0 {
            0
        } else {
            self.wave_ends[wave - 1] as usize
        };
        start..self.wave_ends[wave] as usize
    }

    /// Number of the entry at a place of the stepping order.
    pub(crate) fn entry_at(&self, place: usize) -> usize {
        self.order[place] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::observation::Offset;

    fn entry(slot: u32) -> Entry {
        Entry {
            slot,
            time_ms: 0,
            value: 0.0,
            source: Source {
                offset: Offset(0),
                index: 0,
                timestamp_ms: 0,
            },
        }
    }

    #[test]
    fn batch_puts_a_streams_kth_observation_into_wave_k_in_order() {
        let mut batch = Batch::default();
        for slot in [0, 1, 0, NO_SLOT, 2, 0, 1] {
            batch.push(entry(slot));
        }
        for _ in 0..2 {
            batch.split(3);
            let waves: Vec<Vec<usize>> = (0..batch.waves())
                .map(|w| batch.wave(w).map(|p| batch.entry_at(p)).collect())
                .collect();
            assert_eq!(waves, [vec![0, 1, 4], vec![2, 6], vec![5]]);
            for slot in [0, 1, 0, NO_SLOT, 2, 0, 1] {
                batch.push(entry(slot));
            }
            assert_eq!(batch.waiting(), 7);
        }
    }

    #[test]
    fn batch_that_was_stepped_steps_nothing_twice() {
        let mut batch = Batch::default();
        batch.push(entry(0));
        batch.split(1);
        assert_eq!((batch.waves(), batch.waiting()), (1, 0));
        batch.split(1);
        assert_eq!((batch.waves(), batch.entries.len()), (0, 0));
    }
}
