//! Rows at rest, smaller than they are in work: each word by its code, numbers rounded, some left out.
//!
//! A compact row is unpacked before a step and packed after it, always: what a stream says is a function of what it rests
//! as, so neither batches nor restarts change a bit. Arithmetic is f32.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Largest number that f16 keeps.
const HALF_MAX: f32 = 65_504.0;

/// How a word (f32, or half of an integer of 64 bits) is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    /// `x`: as it is.
    Exact,
    /// `g`: f32 without its lowest 8 bits, rounded: for means that move by less than f16 resolves.
    Long,
    /// `h`: f16, within its range.
    Half,
    /// `s`: an integer, at most 2^16 − 1.
    Short,
    /// `b`: an integer, at most 255.
    Byte,
    /// `t`: a count, rounded up, at most 255.
    Tally,
    /// `n`: a count in 4 bits, rounded up, at most 15.
    Nibble,
    /// `d`: a count in 2 bits, rounded up, at most 3.
    Crumb,
    /// `u`: a number in 0..=1, in 255ths, rounded up.
    Share,
    /// `q`: as f16 of its quotient by the word before.
    Quotient,
    /// `-`: not kept; it is that of a fresh row.
    Fresh,
}

impl Code {
    fn of(letter: u8) -> Self {
        match letter {
            b'x' => Self::Exact,
            b'g' => Self::Long,
            b'h' => Self::Half,
            b's' => Self::Short,
            b'b' => Self::Byte,
            b't' => Self::Tally,
            b'n' => Self::Nibble,
            b'd' => Self::Crumb,
            b'u' => Self::Share,
            b'q' => Self::Quotient,
            b'-' => Self::Fresh,
            other => unreachable!("`{}` in the declaration of the row is no code", other as char),
        }
    }

    /// Bytes of so many words in a row.
    const fn bytes(self, words: usize) -> usize {
        match self {
            Self::Exact => 4 * words,
            Self::Long => 3 * words,
            Self::Half | Self::Short | Self::Quotient => 2 * words,
            Self::Byte | Self::Tally | Self::Share => words,
            Self::Nibble => words.div_ceil(2),
            Self::Crumb => words.div_ceil(4),
            Self::Fresh => 0,
        }
    }
}

/// Words in a row that have one code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    code: Code,
    /// First word, in work.
    word: usize,
    words: usize,
    /// First byte, at rest.
    byte: usize,
}

/// A field in work: its first word, its words, and their codes, repeated.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) word: usize,
    pub(crate) words: usize,
    pub(crate) codes: String,
}

/// How the rows of a layout rest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Storage {
    runs: Vec<Run>,
    /// Bytes of each field.
    sizes: Vec<usize>,
    /// Runs of the first fields, and the word they end before.
    head: (usize, usize),
    /// A fresh row, in work.
    fresh: Vec<f32>,
}

impl Storage {
    /// `heads` fields at the front can be unpacked alone; `fresh` is a fresh row in work.
    pub(crate) fn new(fields: &[Field], heads: usize, fresh: Vec<f32>) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut sizes = Vec::with_capacity(fields.len());
        let mut head = (0, 0);
        let mut byte = 0;
        for (number, field) in fields.iter().enumerate() {
            if number == heads {
                head = (runs.len(), field.word);
            }
            let start = byte;
            let letters = field.codes.bytes().cycle().take(field.words);
            let mut letters = letters.map(Code::of).enumerate().peekable();
            while let Some((at, code)) = letters.next() {
                let mut words = 1;
                while code != Code::Quotient && letters.next_if(|&(_, next)| next == code).is_some() {
                    words += 1;
                }
                runs.push(Run {
                    code,
                    word: field.word + at,
                    words,
                    byte,
                });
                byte += code.bytes(words);
            }
            sizes.push(byte - start);
        }
        Self {
            runs,
            sizes,
            head,
            fresh,
        }
    }

    /// Bytes of a row at rest.
    pub(crate) fn bytes(&self) -> usize {
        self.sizes.iter().sum()
    }

    /// Bytes of each field at rest.
    pub(crate) fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Makes `words` the row that rests in `stored`.
    pub(crate) fn unpack(&self, stored: &[u8], words: &mut [f32]) {
        words.copy_from_slice(&self.fresh);
        self.runs.iter().for_each(|run| run.unpack(stored, words));
    }

    /// Lays `words` to rest in `stored`.
    pub(crate) fn pack(&self, words: &[f32], stored: &mut [u8]) {
        self.runs.iter().for_each(|run| run.pack(words, stored));
    }

    /// Unpacks the first fields alone; the other words mean nothing.
    pub(crate) fn unpack_head(&self, stored: &[u8], words: &mut [f32]) {
        let (runs, end) = self.head;
        words[..end].copy_from_slice(&self.fresh[..end]);
        self.runs[..runs].iter().for_each(|run| run.unpack(stored, words));
    }

    /// Packs the first fields alone.
    pub(crate) fn pack_head(&self, words: &[f32], stored: &mut [u8]) {
        let runs = &self.runs[..self.head.0];
        runs.iter().for_each(|run| run.pack(words, stored));
    }
}

impl Run {
    fn unpack(&self, stored: &[u8], words: &mut [f32]) {
        let bytes = &stored[self.byte..self.byte + self.code.bytes(self.words)];
        let before = words[self.word.saturating_sub(1)];
        let to = &mut words[self.word..self.word + self.words];
        match self.code {
            Code::Exact => bytemuck::cast_slice_mut(to).copy_from_slice(bytes),
            Code::Long => {
                for (to, bytes) in to.iter_mut().zip(bytes.chunks_exact(3)) {
                    *to = f32::from_bits(u32::from_le_bytes([0, bytes[0], bytes[1], bytes[2]]));
                }
            }
            Code::Half => halves(bytes, to),
            Code::Short => {
                for (to, bytes) in to.iter_mut().zip(bytes.chunks_exact(2)) {
                    *to = f32::from_bits(u32::from(u16::from_le_bytes([bytes[0], bytes[1]])));
                }
            }
            Code::Byte => {
                for (to, &byte) in to.iter_mut().zip(bytes) {
                    *to = f32::from_bits(u32::from(byte));
                }
            }
            Code::Tally => {
                for (to, &byte) in to.iter_mut().zip(bytes) {
                    *to = f32::from(byte);
                }
            }
            Code::Nibble => {
                for (i, to) in to.iter_mut().enumerate() {
                    *to = f32::from(bytes[i / 2] >> (4 * (i % 2)) & 15);
                }
            }
            Code::Crumb => {
                for (i, to) in to.iter_mut().enumerate() {
                    *to = f32::from(bytes[i / 4] >> (2 * (i % 4)) & 3);
                }
            }
            Code::Share => {
                for (to, &byte) in to.iter_mut().zip(bytes) {
                    *to = f32::from(byte) / 255.0;
                }
            }
            Code::Quotient => {
                halves(bytes, to);
                to[0] *= before;
            }
            Code::Fresh => {}
        }
    }

    fn pack(&self, words: &[f32], stored: &mut [u8]) {
        let bytes = &mut stored[self.byte..self.byte + self.code.bytes(self.words)];
        let from = &words[self.word..self.word + self.words];
        match self.code {
            Code::Exact => bytes.copy_from_slice(bytemuck::cast_slice(from)),
            Code::Long => {
                for (bytes, from) in bytes.chunks_exact_mut(3).zip(from) {
                    let rounded = from.to_bits().saturating_add(0x80).to_le_bytes();
                    bytes.copy_from_slice(&rounded[1..]);
                }
            }
            Code::Half => to_halves(from, bytes),
            Code::Short => {
                for (bytes, from) in bytes.chunks_exact_mut(2).zip(from) {
                    let number = from.to_bits().min(u32::from(u16::MAX)) as u16;
                    bytes.copy_from_slice(&number.to_le_bytes());
                }
            }
            Code::Byte => {
                for (byte, from) in bytes.iter_mut().zip(from) {
                    *byte = from.to_bits().min(255) as u8;
                }
            }
            Code::Tally => {
                for (byte, from) in bytes.iter_mut().zip(from) {
                    *byte = from.ceil() as u8;
                }
            }
            Code::Share => {
                for (byte, from) in bytes.iter_mut().zip(from) {
                    *byte = (from * 255.0 - 1e-3).ceil() as u8;
                }
            }
            Code::Nibble => counts(from, bytes, 4),
            Code::Crumb => counts(from, bytes, 2),
            Code::Quotient => {
                let by = words[self.word - 1];
                let quotient = if by.abs() < 1e-30 { 0.0 } else { from[0] / by };
                to_halves(&[quotient], bytes);
            }
            Code::Fresh => {}
        }
    }
}

/// Numbers that are converted at once.
const LANES: usize = 64;

fn halves(bytes: &[u8], to: &mut [f32]) {
    let mut lanes = [f16::ZERO; LANES];
    for (bytes, to) in bytes.chunks(2 * LANES).zip(to.chunks_mut(LANES)) {
        let lanes = &mut lanes[..to.len()];
        for (lane, bytes) in lanes.iter_mut().zip(bytes.chunks_exact(2)) {
            *lane = f16::from_le_bytes([bytes[0], bytes[1]]);
        }
        lanes.convert_to_f32_slice(to);
    }
}

fn to_halves(from: &[f32], bytes: &mut [u8]) {
    let (mut lanes, mut bounded) = ([f16::ZERO; LANES], [0.0; LANES]);
    for (from, bytes) in from.chunks(LANES).zip(bytes.chunks_mut(2 * LANES)) {
        let (lanes, bounded) = (&mut lanes[..from.len()], &mut bounded[..from.len()]);
        for (bounded, from) in bounded.iter_mut().zip(from) {
            *bounded = from.clamp(-HALF_MAX, HALF_MAX);
        }
        lanes.convert_from_f32_slice(bounded);
        for (bytes, lane) in bytes.chunks_exact_mut(2).zip(lanes) {
            bytes.copy_from_slice(&lane.to_le_bytes());
        }
    }
}

/// Counts of so many bits each, rounded up: one that was seen is never taken for one that was not.
fn counts(from: &[f32], bytes: &mut [u8], bits: usize) {
    let per_byte = 8 / bits;
    let most = ((1u16 << bits) - 1) as f32;
    for (byte, from) in bytes.iter_mut().zip(from.chunks(per_byte)) {
        let place = |(i, x): (usize, &f32)| (x.ceil().min(most) as u8) << (bits * i);
        *byte = from.iter().enumerate().map(place).fold(0, |all, one| all | one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rested(codes: &str, words: &[f32]) -> (usize, Vec<f32>) {
        let field = Field {
            word: 0,
            words: words.len(),
            codes: codes.to_owned(),
        };
        let storage = Storage::new(&[field], 1, vec![9.0; words.len()]);
        let mut stored = vec![0xff; storage.bytes()];
        storage.pack(words, &mut stored);
        let mut back = vec![0.0; words.len()];
        storage.unpack(&stored, &mut back);
        let (mut again, mut third) = (vec![0; stored.len()], vec![0.0; words.len()]);
        storage.pack(&back, &mut again);
        storage.unpack(&again, &mut third);
        let bits = |words: &[f32]| words.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&third), "what has rested rests as it is");
        (stored.len(), back)
    }

    #[test]
    fn words_come_back_as_their_code_keeps_them() {
        let values = [1.000_1, -3.3, 7e4, 1e-3, 0.0, 250.0, 1e6];
        let (bytes, back) = rested("x", &values);
        assert_eq!((bytes, &back[..]), (28, &values[..]));
        let (bytes, back) = rested("g", &values);
        assert_eq!(bytes, 21);
        for (x, back) in values.iter().zip(&back) {
            assert!((x - back).abs() <= x.abs() * 2e-5, "{x} {back}");
        }
        let (bytes, back) = rested("h", &values);
        assert_eq!((bytes, back[2], back[6]), (14, HALF_MAX, HALF_MAX));
        for (x, back) in values[..2].iter().zip(&back) {
            assert!((x - back).abs() <= x.abs() * 5e-4, "{x} {back}");
        }
        assert!(rested("h", &[f32::NAN]).1[0].is_nan());
        let counts = [0.0, 0.1, 1.0, 2.0, 14.0, 900.0];
        assert_eq!(rested("t", &counts), (6, vec![0.0, 1.0, 1.0, 2.0, 14.0, 255.0]));
        assert_eq!(rested("n", &counts), (3, vec![0.0, 1.0, 1.0, 2.0, 14.0, 15.0]));
        assert_eq!(rested("d", &counts), (2, vec![0.0, 1.0, 1.0, 2.0, 3.0, 3.0]));
        let shares = rested("u", &[0.0, 0.5, 1.0]).1;
        assert!(shares[0] == 0.0 && (0.5..0.504).contains(&shares[1]) && shares[2] == 1.0);
        assert_eq!(rested("xq-", &[4.0, 1.0, 3.0]), (6, vec![4.0, 1.0, 9.0]));
        let integers = [70_000u32, 300, 7].map(f32::from_bits);
        let of = |codes: &str| {
            rested(codes, &integers)
                .1
                .iter()
                .map(|x| x.to_bits())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("s"), [65_535, 300, 7]);
        assert_eq!(of("b"), [255, 255, 7]);
    }

    #[test]
    fn the_head_is_packed_and_unpacked_alone() {
        let field = |word, codes: &str| Field {
            word,
            words: 2,
            codes: codes.to_owned(),
        };
        let storage = Storage::new(&[field(0, "x-"), field(2, "h")], 1, vec![0.0; 4]);
        assert_eq!(storage.sizes(), [4, 4]);
        let mut stored = vec![0; storage.bytes()];
        storage.pack(&[1.0, 2.0, 3.0, 4.0], &mut stored);
        let mut words = [7.0; 4];
        storage.unpack_head(&stored, &mut words);
        assert_eq!(words, [1.0, 0.0, 7.0, 7.0]);
        words[0] = 5.0;
        storage.pack_head(&words, &mut stored);
        storage.unpack(&stored, &mut words);
        assert_eq!(words, [5.0, 0.0, 3.0, 4.0]);
    }
}
