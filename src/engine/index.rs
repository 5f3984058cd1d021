//! Stream id to slot. Ids are interned once; a look-up allocates nothing.

use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

/// Any constant: the order of the table is never observed.
const SEED: u64 = 0x7465_6c6c_7469_6465;

/// Ids in the order of their first observation; the slot is that order.
#[derive(Debug)]
pub(crate) struct Index {
    hasher: FixedState,
    slots: HashTable<u32>,
    text: String,
    /// End of each id in `text`.
    ends: Vec<usize>,
    /// Stable hash of each stream, for what must differ between streams and outlive a release.
    keys: Vec<u64>,
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
            ends: Vec::new(),
            keys: Vec::new(),
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

    /// Interns `id`, which is not there yet; its slot is the number of ids before.
    pub(crate) fn insert(&mut self, id: &str) -> usize {
        let slot = self.ends.len();
        let hash = self.hasher.hash_one(id);
        self.text.push_str(id);
        self.ends.push(self.text.len());
        self.keys.push(stable_hash(self.seed, id.as_bytes()));
        let Self {
            hasher,
            slots,
            text,
            ends,
            ..
        } = self;
        let number = u32::try_from(slot).expect("streams of a partition are bounded far below 2^32");
        slots.insert_unique(hash, number, |&other| {
            hasher.hash_one(slice(text, ends, other as usize))
        });
        slot
    }

    /// Id at `slot`.
    pub(crate) fn id(&self, slot: usize) -> &str {
        slice(&self.text, &self.ends, slot)
    }

    /// Stable hash of the stream at `slot`.
    pub(crate) fn key(&self, slot: usize) -> u64 {
        self.keys[slot]
    }

    /// Ids held.
    pub(crate) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes allocated.
    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity()
            + self.ends.capacity() * size_of::<usize>()
            + self.keys.capacity() * size_of::<u64>()
            + self.slots.allocation_size()
    }
}

fn slice<'a>(text: &'a str, ends: &[usize], slot: usize) -> &'a str {
    let start = if slot == 0 { 0 } else { ends[slot - 1] };
    &text[start..ends[slot]]
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
            assert_eq!(index.insert(id), slot);
        }
        for (slot, id) in ids.iter().enumerate() {
            assert_eq!(index.get(id), Some(slot));
            assert_eq!(index.id(slot), id);
        }
        assert_eq!(index.get(""), None);
        assert_eq!(index.len(), ids.len());
    }
}
