//! What goes on training where it stopped: kept beside the version that it trains from.
//!
//! # File, format 1
//! Numbers are little-endian; the CRC is that of zlib (CRC-32, IEEE).
//! ```text
//! "TIDETRNR" · u32 format · u32 length · header (JSON) · u32 weights (P)
//! f32 (5,P): weights in training, their average, candidate of the gate, first and second moments
//! u32 CRC of all before · nothing more
//! ```
//! The tape is not in it: it fills anew, from `input.warmup` or from what is served.

use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use crate::engine::ModelVersion;
use crate::training::fitting::Fitting;
use crate::training::gate::{Pair, Window};
use crate::training::learner::Standing;

const MAGIC: [u8; 8] = *b"TIDETRNR";
const FORMAT: u32 = 1;
/// Arenas of the file.
const ARENAS: usize = 5;
/// Bytes of a header at most: two windows of pairs take 4 KB.
const HEADER_BYTES_MAX: usize = 1 << 16;

/// Why bytes are no state that can be resumed. Training then begins from the served weights.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// No state at all, or of another release.
    #[error("the file begins with `{found}` and not as a trainer's state of format {FORMAT} does")]
    Format {
        /// First bytes, as text.
        found: String,
    },
    /// Cut off, or too long.
    #[error("the file has {found} bytes, {expected} are needed: it was cut off or added to")]
    Length {
        /// Bytes there are.
        found: usize,
        /// Bytes as its own counts tell.
        expected: usize,
    },
    /// The bytes are not those that were written.
    #[error("its checksum is `{found:08x}`, its bytes give `{expected:08x}`: the file is damaged")]
    Checksum {
        /// In the file.
        found: u32,
        /// Of the bytes.
        expected: u32,
    },
    /// The header is not understood.
    #[error("its header cannot be understood")]
    Header(#[source] serde_json::Error),
    /// It is of other weights.
    #[error("it is of {what} `{found}`, this trainer's is `{expected}`")]
    Another {
        /// Which property.
        what: &'static str,
        /// In the file.
        found: u64,
        /// Of the trainer.
        expected: u64,
    },
    /// Numbers that no training leads to.
    #[error("it holds numbers that no training leads to")]
    Numbers,
}

/// A trainer's standing, see [`Trainer::state`](crate::training::Trainer::state).
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub(crate) served: ModelVersion,
    pub(crate) lineage: u64,
    /// CRC of the served weights: a number may have been given anew after its file was taken away by hand.
    pub(crate) weights: u32,
    pub(crate) ancestor: Option<ModelVersion>,
    pub(crate) rng: Pcg64Mcg,
    pub(crate) learner: Standing,
    pub(crate) candidate: Vec<f32>,
    /// As of [`Schedule::counts`](crate::training::schedule::Schedule::counts).
    pub(crate) owed: [f64; 2],
    pub(crate) trained: [u64; 2],
    pub(crate) batches_since: u64,
    pub(crate) update: Vec<Pair>,
    pub(crate) regret: Vec<Pair>,
    pub(crate) fitting: Fitting,
}

/// Floats as their bits: JSON's would not come back to the last digit, and there is no NaN.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    served: u64,
    lineage: u64,
    weights: u32,
    ancestor: Option<u64>,
    rng: Pcg64Mcg,
    powers: [u64; 2],
    updates: u64,
    loss_mean: u64,
    losses: u64,
    bad_in_a_row: u32,
    owed: [u64; 2],
    trained: [u64; 2],
    batches_since: u64,
    update: Vec<[u64; 3]>,
    regret: Vec<[u64; 3]>,
    /// Means, comparisons; files of before have none.
    #[serde(default)]
    fitting: Option<([u64; 4], u64)>,
}

fn bits(pairs: &[Pair]) -> Vec<[u64; 3]> {
    let of = |pair: &Pair| [pair.difference, pair.reference, pair.segments].map(f64::to_bits);
    pairs.iter().map(of).collect()
}

fn pairs(bits: &[[u64; 3]]) -> Vec<Pair> {
    let of = |bits: &[u64; 3]| {
        let [difference, reference, segments] = bits.map(f64::from_bits);
        Pair {
            difference,
            reference,
            segments,
        }
    };
    bits.iter().map(of).collect()
}

/// CRC of weights.
pub(crate) fn checksum(weights: &[f32]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    weights
        .iter()
        .for_each(|weight| hasher.update(&weight.to_le_bytes()));
    hasher.finalize()
}

/// A window of those pairs.
pub(crate) fn window(pairs: &[Pair]) -> Window {
    let mut window = Window::default();
    pairs.iter().for_each(|&pair| window.push(pair));
    window
}

impl State {
    /// The version whose weights may come back, besides the one that it trains from: [`Trainer::resume`] wants it.
    ///
    /// [`Trainer::resume`]: crate::training::Trainer::resume
    #[must_use]
    pub const fn ancestor(&self) -> Option<ModelVersion> {
        self.ancestor
    }

    /// The file.
    ///
    /// # Panics
    /// Never: numbers are JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let learner = &self.learner;
        let header = Header {
            served: self.served.0,
            lineage: self.lineage,
            weights: self.weights,
            ancestor: self.ancestor.map(|version| version.0),
            rng: self.rng.clone(),
            powers: learner.powers.map(f64::to_bits),
            updates: learner.updates,
            loss_mean: learner.loss_mean.to_bits(),
            losses: learner.losses,
            bad_in_a_row: learner.bad_in_a_row,
            owed: self.owed.map(f64::to_bits),
            trained: self.trained,
            batches_since: self.batches_since,
            update: bits(&self.update),
            regret: bits(&self.regret),
            fitting: Some((self.fitting.means.map(f64::to_bits), self.fitting.comparisons)),
        };
        let header = serde_json::to_vec(&header).expect("numbers are JSON");
        let count = learner.params.len();
        let mut bytes = Vec::with_capacity(MAGIC.len() + header.len() + ARENAS * count * 4 + 16);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&(count as u32).to_le_bytes());
        for arena in [
            &learner.params,
            &learner.average,
            &self.candidate,
            &learner.first,
            &learner.second,
        ] {
            arena
                .iter()
                .for_each(|weight| bytes.extend_from_slice(&weight.to_le_bytes()));
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// What [`State::to_bytes`] wrote.
    ///
    /// # Errors
    /// Whatever is not exactly that.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut start = MAGIC.to_vec();
        start.extend_from_slice(&FORMAT.to_le_bytes());
        let Some(rest) = bytes.strip_prefix(&start[..]) else {
            let found = bytes[..bytes.len().min(start.len())].escape_ascii().to_string();
            return Err(StateError::Format { found });
        };
        let cut = |expected| StateError::Length {
            found: bytes.len(),
            expected,
        };
        let (length, rest) = number(rest).ok_or_else(|| cut(start.len() + 4))?;
        let length = length as usize;
        if length > HEADER_BYTES_MAX || rest.len() < length + 4 {
            return Err(cut(start.len() + 8 + length));
        }
        let (json, rest) = rest.split_at(length);
        let (count, rest) = number(rest).ok_or_else(|| cut(start.len() + 8 + length))?;
        let count = count as usize;
        let expected = start.len() + 8 + length + ARENAS * count * 4 + 4;
        if bytes.len() != expected {
            return Err(cut(expected));
        }
        let (all, crc) = bytes.split_at(bytes.len() - 4);
        let expected = crc32fast::hash(all);
        let found = number(crc).map_or(0, |(found, _)| found);
        if found != expected {
            return Err(StateError::Checksum { found, expected });
        }
        let header = serde_json::from_slice(json).map_err(StateError::Header)?;
        Self::of(header, &rest[..rest.len() - 4], count)
    }

    fn of(header: Header, arenas: &[u8], count: usize) -> Result<Self, StateError> {
        let mut arenas = arenas.chunks(4 * count.max(1)).map(floats);
        let mut next = || arenas.next().unwrap_or_default();
        let (params, average, candidate, first, second) = (next(), next(), next(), next(), next());
        let learner = Standing {
            params,
            average,
            first,
            second,
            powers: header.powers.map(f64::from_bits),
            updates: header.updates,
            loss_mean: f64::from_bits(header.loss_mean),
            losses: header.losses,
            bad_in_a_row: header.bad_in_a_row,
        };
        let state = Self {
            served: ModelVersion(header.served),
            lineage: header.lineage,
            weights: header.weights,
            ancestor: header.ancestor.map(ModelVersion),
            rng: header.rng,
            learner,
            candidate,
            owed: header.owed.map(f64::from_bits),
            trained: header.trained,
            batches_since: header.batches_since,
            update: pairs(&header.update),
            regret: pairs(&header.regret),
            fitting: header
                .fitting
                .map_or(Fitting::START, |(means, comparisons)| Fitting {
                    means: means.map(f64::from_bits),
                    comparisons,
                }),
        };
        if state.is_sound() {
            Ok(state)
        } else {
            Err(StateError::Numbers)
        }
    }

    /// Checksums tell damage; this tells a writer that had lost its way.
    fn is_sound(&self) -> bool {
        let learner = &self.learner;
        let finite = |arena: &[f32]| arena.iter().all(|value| value.is_finite());
        finite(&learner.params)
            && finite(&learner.average)
            && finite(&self.candidate)
            && finite(&learner.first)
            && learner
                .second
                .iter()
                .all(|value| value.is_finite() && *value >= 0.0)
            && learner.powers.iter().all(|power| (0.0..=1.0).contains(power))
            && self.owed.iter().all(|count| count.is_finite())
            && self.fitting.means.iter().all(|mean| mean.is_finite())
    }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks();
    chunks.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect()
}
