//! Rows at rest, smaller than they are in work: each word by its code, numbers rounded, some left out.
//!
//! A compact row is unpacked before a step and packed after it, always: what a stream says is a function of what it rests
//! as, so neither batches nor restarts change a bit. Arithmetic is f32.

use crate::nn::halves::{from_half, from_halves, to_half, to_halves};

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

/// Runs of codes that are read and written by themselves, in order: long ones whole, the words of short ones by their
/// code, so that a row's hundreds of short runs cost no decision each.
#[derive(Clone, Debug, Default, PartialEq)]
struct Moves {
    long: Vec<Run>,
    /// By code: exact, long, half, short, byte.
    single: [Vec<Place>; 5],
    /// After the others: a quotient needs the word before it.
    quotients: Vec<Place>,
    /// Words that are those of a fresh row.
    fresh: Vec<std::ops::Range<usize>>,
}

/// Where a word lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// In work.
    word: u32,
    /// At rest.
    byte: u32,
}

/// Words of a run that is moved whole.
const LONG: usize = 8;

/// How the rows of a layout rest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Storage {
    moves: Moves,
    /// Of the first fields, and the word they end before.
    head: (Moves, usize),
    /// Bytes of each field.
    sizes: Vec<usize>,
    /// A fresh row, in work.
    fresh: Vec<f32>,
}

impl Storage {
    /// `heads` fields at the front can be unpacked alone; `fresh` is a fresh row in work.
    pub(crate) fn new(fields: &[Field], heads: usize, fresh: Vec<f32>) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut sizes = Vec::with_capacity(fields.len());
        let mut head = (Moves::default(), 0);
        let mut byte = 0;
        for (number, field) in fields.iter().enumerate() {
            if number == heads {
                head = (Moves::of(&runs), field.word);
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
            moves: Moves::of(&runs),
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
        self.moves.unpack(stored, words, &self.fresh);
    }

    /// Lays `words` to rest in `stored`.
    pub(crate) fn pack(&self, words: &[f32], stored: &mut [u8]) {
        self.moves.pack(words, stored);
    }

    /// Unpacks the first fields alone; the other words mean nothing.
    pub(crate) fn unpack_head(&self, stored: &[u8], words: &mut [f32]) {
        self.head.0.unpack(stored, words, &self.fresh[..self.head.1]);
    }

    /// Packs the first fields alone.
    pub(crate) fn pack_head(&self, words: &[f32], stored: &mut [u8]) {
        self.head.0.pack(words, stored);
    }
}

impl Moves {
    fn of(runs: &[Run]) -> Self {
        let mut moves = Self::default();
        for run in runs {
            let list = match run.code {
                Code::Fresh => {
                    moves.fresh.push(run.word..run.word + run.words);
                    continue;
                }
                Code::Quotient => &mut moves.quotients,
                Code::Exact if run.words < LONG => &mut moves.single[0],
                Code::Long => &mut moves.single[1],
                Code::Half if run.words < LONG => &mut moves.single[2],
                Code::Short => &mut moves.single[3],
                Code::Byte => &mut moves.single[4],
                _ => {
                    moves.long.push(*run);
                    continue;
                }
            };
            let bytes = run.code.bytes(1);
            list.extend((0..run.words).map(|i| Place {
                word: (run.word + i) as u32,
                byte: (run.byte + i * bytes) as u32,
            }));
        }
        moves
    }

    fn unpack(&self, stored: &[u8], words: &mut [f32], fresh: &[f32]) {
        for run in &self.long {
            run.unpack(stored, words);
        }
        let [exact, long, half, short, byte] = &self.single;
        read(exact, stored, words, f32::from_le_bytes);
        read(long, stored, words, |[a, b, c]| f32::from_le_bytes([0, a, b, c]));
        read(half, stored, words, from_half);
        read(short, stored, words, |bytes| {
            f32::from_bits(u16::from_le_bytes(bytes).into())
        });
        read(byte, stored, words, |[byte]| f32::from_bits(byte.into()));
        read(&self.quotients, stored, words, from_half);
        for place in &self.quotients {
            let word = place.word as usize;
            words[word] *= words[word - 1];
        }
        for range in &self.fresh {
            words[range.clone()].copy_from_slice(&fresh[range.clone()]);
        }
    }

    fn pack(&self, words: &[f32], stored: &mut [u8]) {
        for run in &self.long {
            run.pack(words, stored);
        }
        let [exact, long, half, short, byte] = &self.single;
        write(exact, words, stored, f32::to_le_bytes);
        write(long, words, stored, |x| {
            let [_, a, b, c] = x.to_bits().saturating_add(0x80).to_le_bytes();
            [a, b, c]
        });
        write(half, words, stored, to_half);
        write(short, words, stored, |x| {
            (x.to_bits().min(u16::MAX.into()) as u16).to_le_bytes()
        });
        write(byte, words, stored, |x| [x.to_bits().min(255) as u8]);
        for place in &self.quotients {
            let (word, byte) = (place.word as usize, place.byte as usize);
            let by = words[word - 1];
            let quotient = if by.abs() < 1e-30 { 0.0 } else { words[word] / by };
            stored[byte..byte + 2].copy_from_slice(&to_half(quotient));
        }
    }
}

fn read<const BYTES: usize>(
    places: &[Place],
    stored: &[u8],
    words: &mut [f32],
    of: impl Fn([u8; BYTES]) -> f32,
) {
    for place in places {
        let bytes = stored[place.byte as usize..].first_chunk();
        words[place.word as usize] = of(*bytes.expect("its bytes lie within the row"));
    }
}

fn write<const BYTES: usize>(
    places: &[Place],
    words: &[f32],
    stored: &mut [u8],
    of: impl Fn(f32) -> [u8; BYTES],
) {
    for place in places {
        stored[place.byte as usize..][..BYTES].copy_from_slice(&of(words[place.word as usize]));
    }
}

impl Run {
    fn unpack(&self, stored: &[u8], words: &mut [f32]) {
        let bytes = &stored[self.byte..self.byte + self.code.bytes(self.words)];
        let to = &mut words[self.word..self.word + self.words];
        match self.code {
            Code::Exact => bytemuck::cast_slice_mut(to).copy_from_slice(bytes),
            Code::Half => from_halves(bytes, to),
            Code::Tally => {
                for (to, &byte) in to.iter_mut().zip(bytes) {
                    *to = f32::from(byte);
                }
            }
            Code::Nibble => to_counts::<2>(bytes, to),
            Code::Crumb => to_counts::<4>(bytes, to),
            Code::Share => {
                for (to, &byte) in to.iter_mut().zip(bytes) {
                    *to = f32::from(byte) / 255.0;
                }
            }
            _ => unreachable!("moved word by word"),
        }
    }

    fn pack(&self, words: &[f32], stored: &mut [u8]) {
        let bytes = &mut stored[self.byte..self.byte + self.code.bytes(self.words)];
        let from = &words[self.word..self.word + self.words];
        match self.code {
            Code::Exact => bytes.copy_from_slice(bytemuck::cast_slice(from)),
            Code::Half => to_halves(from, bytes),
            Code::Tally => {
                for (byte, from) in bytes.iter_mut().zip(from) {
                    *byte = count(*from, 255.0) as u8;
                }
            }
            Code::Share => {
                for (byte, from) in bytes.iter_mut().zip(from) {
                    *byte = (from * 255.0 - 1e-3).ceil() as u8;
                }
            }
            Code::Nibble => counts::<2>(from, bytes),
            Code::Crumb => counts::<4>(from, bytes),
            _ => unreachable!("moved word by word"),
        }
    }
}

/// A count up to `most`, rounded up: one that was seen is never taken for one that was not.
fn count(x: f32, most: f32) -> u32 {
    /// Rounds to a whole number when it is added, which then stands in the lowest bits.
    const ROUND: f32 = 8_388_608.0;
    let x = if x < most { x } else { most };
    let rounded = x + ROUND;
    rounded.to_bits() - ROUND.to_bits() + u32::from(rounded - ROUND < x)
}

/// Counts, `EACH` in a byte.
fn counts<const EACH: usize>(from: &[f32], bytes: &mut [u8]) {
    let bits = 8 / EACH;
    let most = ((1u32 << bits) - 1) as f32;
    let byte = |from: &[f32; EACH]| {
        let mut all = 0;
        for (i, &x) in from.iter().enumerate() {
            all |= count(x, most) << (bits * i);
        }
        all as u8
    };
    let (whole, rest) = from.as_chunks::<EACH>();
    let mut bytes = bytes.iter_mut();
    for (from, to) in whole.iter().zip(&mut bytes) {
        *to = byte(from);
    }
    if let Some(to) = bytes.next() {
        let mut last = [0.0; EACH];
        last[..rest.len()].copy_from_slice(rest);
        *to = byte(&last);
    }
}

fn to_counts<const EACH: usize>(bytes: &[u8], to: &mut [f32]) {
    let bits = 8 / EACH;
    let most = (1u32 << bits) - 1;
    let counts = |byte: u8, to: &mut [f32]| {
        for (i, to) in to.iter_mut().enumerate() {
            *to = (u32::from(byte) >> (bits * i) & most) as f32;
        }
    };
    let (whole, rest) = to.as_chunks_mut::<EACH>();
    for (to, &byte) in whole.iter_mut().zip(bytes) {
        counts(byte, to);
    }
    if let Some(&byte) = bytes.get(whole.len()) {
        counts(byte, rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::halves::HALF_MAX;

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
