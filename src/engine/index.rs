//! Stream id to slot. Ids are interned; a look-up allocates nothing.

use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

/// Any constant: the order of the table is never observed.
const SEED: u64 = 0x7465_6c6c_7469_6465;
/// `seen_ms` of a slot without a stream; no clock gets there.
pub(crate) const VACANT: i64 = i64::MAX;
/// Bytes of forgotten ids below which the text is not written anew.
const GARBAGE_LEAST: usize = 4096;

/// Where an id stands in the text.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: usize,
    len: usize,
}

/// Ids of streams and what is kept per stream beside its row. A slot is a row's number; the slot of a forgotten stream is
/// used again, from the next [`Index::reclaim`] on.
#[derive(Debug)]
pub(crate) struct Index {
    hasher: FixedState,
    slots: HashTable<u32>,
    text: String,
    /// (slots) of a forgotten stream, until its slot is used again.
    spans: Vec<Span>,
    /// (slots) stable hash of each stream, for what must differ between streams and outlive a release.
    keys: Vec<u64>,
    /// (slots) the partition's clock at a stream's newest observation; [`VACANT`] without a stream.
    seen_ms: Vec<i64>,
    /// Slots of streams forgotten since the last reclaim: observations of the batch in hand may be theirs.
    released: Vec<u32>,
    /// Slots to be used again.
    free: Vec<u32>,
    /// Bytes of `text` that belong to no stream.
    garbage: usize,
    /// Hash of topic and partition.
    seed: u64,
}

impl Index {
    /// `seed` tells one partition's keys from another's.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(SEED),
            slots: HashTable::new(),
            text: String::new(),
            spans: Vec::new(),
            keys: Vec::new(),
            seen_ms: Vec::new(),
            released: Vec::new(),
            free: Vec::new(),
            garbage: 0,
            seed,
        }
    }

    /// The slot of `id`.
    pub(crate) fn get(&self, id: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(id);
        self.slots
            .find(hash, |&slot| self.id(slot as usize) == id)
            .map(|&slot| slot as usize)
    }

    /// Interns `id`, which is not there yet; gives a free slot or else the next one.
    pub(crate) fn insert(&mut self, id: &str, seen_ms: i64) -> usize {
        let slot = self.next_slot();
        let hash = self.hasher.hash_one(id);
        let span = Span {
            start: self.text.len(),
            len: id.len(),
        };
        let key = stable_hash(self.seed, id.as_bytes());
        self.text.push_str(id);
        if self.free.pop().is_some() {
            self.spans[slot] = span;
            self.keys[slot] = key;
            self.seen_ms[slot] = seen_ms;
        } else {
            self.spans.push(span);
            self.keys.push(key);
            self.seen_ms.push(seen_ms);
        }
        let Self {
            hasher,
            slots,
            text,
            spans,
            ..
        } = self;
        let number = u32::try_from(slot).expect("streams of a partition are bounded far below 2^32");
        slots.insert_unique(hash, number, |&other| {
            hasher.hash_one(slice(text, spans[other as usize]))
        });
        slot
    }

    /// The slot that the next new id gets.
    pub(crate) fn next_slot(&self) -> usize {
        self.free.last().map_or(self.spans.len(), |&slot| slot as usize)
    }

    /// Forgets the stream at `slot`; id and key can be read until the slot is used again.
    pub(crate) fn forget(&mut self, slot: usize) {
        let hash = self.hasher.hash_one(self.id(slot));
        let found = self.slots.find_entry(hash, |&other| other as usize == slot);
        found.expect("a stream that is forgotten was known").remove();
        self.seen_ms[slot] = VACANT;
        self.garbage += self.spans[slot].len;
        self.released.push(slot as u32);
    }

    /// Frees the slots of forgotten streams: nothing refers to them any more, but those that `is_needed` for their ids.
    pub(crate) fn reclaim(&mut self, is_needed: impl Fn(usize) -> bool) {
        self.free.append(&mut self.released);
        if self.garbage > GARBAGE_LEAST.max(self.text.len() / 2) {
            self.compact(is_needed);
        }
    }

    /// Whether [`Index::reclaim`] has something to do.
    pub(crate) const fn has_released(&self) -> bool {
        !self.released.is_empty()
    }

    fn compact(&mut self, is_needed: impl Fn(usize) -> bool) {
        let mut text = String::with_capacity(self.text.len() - self.garbage);
        self.garbage = 0;
        for slot in 0..self.spans.len() {
            let is_live = self.is_live(slot);
            let start = text.len();
            if is_live || is_needed(slot) {
                text.push_str(slice(&self.text, self.spans[slot]));
            }
            let len = text.len() - start;
            self.spans[slot] = Span { start, len };
            self.garbage += if is_live { 0 } else { len };
        }
        self.text = text;
    }

    /// Id at `slot`.
    pub(crate) fn id(&self, slot: usize) -> &str {
        slice(&self.text, self.spans[slot])
    }

    /// Stable hash of the stream at `slot`.
    pub(crate) fn key(&self, slot: usize) -> u64 {
        self.keys[slot]
    }

    /// Makes the keys those of another topic and partition.
    pub(crate) fn reseed(&mut self, seed: u64) {
        if seed != self.seed {
            self.seed = seed;
            for (key, &span) in self.keys.iter_mut().zip(&self.spans) {
                *key = stable_hash(seed, slice(&self.text, span).as_bytes());
            }
        }
    }

    /// (slots) the clock at each stream's newest observation; [`VACANT`] without a stream.
    pub(crate) fn seen_ms(&self) -> &[i64] {
        &self.seen_ms
    }

    /// Notes when the stream at `slot` was seen.
    pub(crate) fn note_seen(&mut self, slot: usize, seen_ms: i64) {
        self.seen_ms[slot] = seen_ms;
    }

    fn is_live(&self, slot: usize) -> bool {
        self.seen_ms[slot] != VACANT
    }

    /// Slots with a stream, ascending.
    pub(crate) fn live(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.spans.len()).filter(|&slot| self.is_live(slot))
    }

    /// Streams held.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + (self.keys.capacity() + self.seen_ms.capacity()) * size_of::<u64>()
            + (self.released.capacity() + self.free.capacity()) * size_of::<u32>()
            + self.slots.allocation_size()
    }
}

fn slice(text: &str, span: Span) -> &str {
    &text[span.start..span.start + span.len]
}

/// FNV-1a with a final mix: never changes between releases, because phases of sampled forecasts (state) come from it.
pub(crate) fn stable_hash(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed;
    for &byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(hash)
}

/// Finaliser of splitmix64: every bit of the input moves every bit of the output.
pub(crate) const fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_finds_what_was_interned_and_nothing_else() {
        let mut index = Index::new(7);
        let ids: Vec<String> = (0..5_000)
            .map(|i| format!("plant/pump-{i}/temperature"))
            .collect();
        for (slot, id) in ids.iter().enumerate() {
            assert_eq!(index.get(id), None);
            assert_eq!(index.insert(id, 0), slot);
        }
        for (slot, id) in ids.iter().enumerate() {
            assert_eq!(index.get(id), Some(slot));
            assert_eq!(index.id(slot), id);
        }
        assert_eq!(index.get(""), None);
        assert_eq!(index.len(), ids.len());
    }

    #[test]
    fn index_uses_slots_again_only_after_a_reclaim() {
        let mut index = Index::new(7);
        (0..3).for_each(|i| assert_eq!(index.insert(&format!("s{i}"), 5), i));
        index.forget(1);
        assert_eq!((index.get("s1"), index.id(1), index.len()), (None, "s1", 2));
        assert_eq!(index.insert("s1", 6), 3, "the same id begins anew elsewhere");
        index.reclaim(|_| false);
        assert_eq!((index.next_slot(), index.insert("t", 7)), (1, 1));
        assert_eq!(index.seen_ms(), [5, 7, 5, 6]);
        assert_eq!(index.live().count(), 4);
    }

    #[test]
    fn index_stays_small_while_streams_come_and_go() {
        let mut index = Index::new(7);
        index.insert("stays", 0);
        let mut largest = 0;
        for i in 0..200_000 {
            let slot = index.insert(&format!("plant/pump-{i}/temperature"), 0);
            index.forget(slot);
            index.reclaim(|_| false);
            largest = largest.max(index.bytes());
        }
        assert!(largest < 32 * 1024, "{largest} bytes");
        assert_eq!(
            (index.get("stays"), index.id(0), index.len()),
            (Some(0), "stays", 1)
        );
    }
}
