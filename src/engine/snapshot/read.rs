//! Bytes to a partition's content.

use std::io::{ErrorKind, Read};

use crc32fast::Hasher;

use crate::engine::carry::Carry;
use crate::engine::dims::RowDims;
use crate::engine::index::{Index, VACANT};
use crate::engine::partition::seed_of;
use crate::engine::slab::Slab;
use crate::engine::snapshot::form::fingerprint_of;
use crate::engine::snapshot::pack::{
    Parts, Raw, packed_len_max, raw_len, raw_len_max, unpack, unpacked_len_max,
};
use crate::engine::snapshot::{
    BLOCK, BLOCK_ROWS, DONE, Dims, FORMAT, Form, HEADER_BYTES_MAX, Header, ID_BYTES_MAX, MAGIC, Part, Refusal,
};
use crate::engine::work::HORIZONS_MAX;
use crate::engine::{Clock, Config};
use crate::experts::ExpertSet;
use crate::faults::{Mechanism, is_off};

/// The streams of a snapshot, ready to become a partition's ([`crate::engine::Engine::restore`]).
#[derive(Debug)]
pub struct Content {
    pub(crate) index: Index,
    pub(crate) slab: Slab,
    pub(crate) clock: Clock,
}

impl Content {
    /// Streams held.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.index.len()
    }
}

/// Formats that can be read: the one written and, from the second on, the one before.
#[derive(Clone, Copy, Debug)]
enum Format {
    One,
    Two,
}

impl Format {
    fn of(number: u32) -> Result<Self, Refusal> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            found => Err(Refusal::Format {
                found,
                newest: FORMAT,
            }),
        }
    }

    const fn number(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// The configuration's experts, as far as the format knows them.
    fn experts(self, of: ExpertSet) -> ExpertSet {
        match self {
            Self::One => ExpertSet::of(of.iter().filter(|expert| !expert.is_linear())),
            Self::Two => of,
        }
    }

    /// Fingerprint of the configuration in a header of this format.
    fn fingerprint(self, config: &Config) -> u64 {
        fingerprint_of(config, self.number(), |experts| self.experts(experts))
    }
}

/// Reads what a snapshot is of, and nothing behind it.
///
/// # Errors
/// Where the bytes are no header of a snapshot.
pub fn read_header(input: &mut dyn Read) -> Result<Header, Refusal> {
    Reader::new(input).header().map(|(_, header)| header)
}

/// Reads a whole snapshot; rows of other horizons or quantiles are taken over by horizon and level, and what is new
/// begins as in a new stream.
///
/// # Errors
/// Where the bytes are no whole snapshot, or not one of a configuration whose state is `form`'s.
pub fn read(input: &mut dyn Read, form: &Form) -> Result<(Header, Content), Refusal> {
    let mut reader = Reader::new(input);
    let (format, header) = reader.header()?;
    let expected = format.fingerprint(&form.0.config);
    if header.fingerprint != expected {
        return Err(Refusal::Configuration {
            found: header.fingerprint,
            expected,
        });
    }
    let content = reader.content(&header, form, format)?;
    Ok((header, content))
}

struct Reader<'a> {
    input: &'a mut dyn Read,
    /// Of the part being read.
    part: Hasher,
    /// Of the CRCs so far.
    checks: Hasher,
    buffer: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(input: &'a mut dyn Read) -> Self {
        Self {
            input,
            part: Hasher::new(),
            checks: Hasher::new(),
            buffer: Vec::new(),
        }
    }

    fn header(&mut self) -> Result<(Format, Header), Refusal> {
        let part = Part::Header;
        let magic = self.array(part)?;
        if magic != MAGIC {
            let found = magic.escape_ascii().to_string();
            return Err(Refusal::Magic { found });
        }
        let format = Format::of(self.u32(part)?)?;
        let len = self.length(part, HEADER_BYTES_MAX)?;
        self.bytes(part, len)?;
        self.close(part)?;
        let header = Header::from_json(&self.buffer).map_err(Refusal::Header)?;
        Ok((format, header))
    }

    /// Everything behind the header.
    fn content(&mut self, header: &Header, form: &Form, format: Format) -> Result<Content, Refusal> {
        let layout = &form.0.layout;
        let experts = format.experts(layout.dims.experts);
        let wanted = RowDims {
            experts,
            ..layout.dims.clone()
        };
        let dims = row_dims(&header.dims, &wanted)?;
        let carry = Carry::new(dims, layout, format.number());
        let words = carry.words();
        expect_dims("words", &header.dims.words, &words)?;
        let seed = seed_of(&header.topic, header.partition);
        let mut content = Content {
            index: Index::new(seed),
            slab: Slab::new(layout.rest_words()),
            clock: header.clock,
        };
        let mut raw = Raw::default();
        let mut old = vec![0.0; carry.room()];
        for number in 0.. {
            let part = Part::Block(number);
            match self.u32(part)? {
                BLOCK => {}
                DONE => {
                    self.end(number, content.index.len() as u64, header.streams)?;
                    return Ok(content);
                }
                found => return Err(Refusal::Tag { part, found }),
            }
            let rows = self.block(number, words, &mut raw)?;
            let streams = (content.index.len() + rows) as u64;
            if streams > header.streams {
                return Err(Refusal::Count {
                    part,
                    what: "streams up to there",
                    found: streams,
                    expected: header.streams,
                });
            }
            content.take(part, &raw.split(rows, words), &carry, &mut old)?;
        }
        unreachable!("the loop ends with the file, long before its counter does")
    }

    /// Unpacks the block that follows its tag into `raw`; gives its rows.
    fn block(&mut self, expected: u32, words: usize, raw: &mut Raw) -> Result<usize, Refusal> {
        let part = Part::Block(expected);
        let found = self.u32(part)?;
        let rows = self.u32(part)? as usize;
        if rows == 0 || rows > BLOCK_ROWS {
            return Err(Refusal::Count {
                part,
                what: "rows",
                found: rows as u64,
                expected: BLOCK_ROWS as u64,
            });
        }
        let len = self.length(part, raw_len_max(words))?;
        let packed_len = self.length(part, packed_len_max(len))?;
        self.bytes(part, packed_len)?;
        self.close(part)?;
        if found != expected {
            return Err(Refusal::Order { found, expected });
        }
        let least = raw_len(rows, words, 0);
        if len < least {
            return Err(Refusal::Count {
                part,
                what: "bytes",
                found: len as u64,
                expected: least as u64,
            });
        }
        let most = unpacked_len_max(packed_len);
        if len > most {
            return Err(Refusal::Length {
                part,
                found: len as u64,
                most: most as u64,
            });
        }
        unpack(&self.buffer, raw.room(len)).map_err(|why| Refusal::Unpack { part, why })?;
        Ok(rows)
    }

    /// The closing counts, behind their tag.
    fn end(&mut self, blocks: u32, rows: u64, streams: u64) -> Result<(), Refusal> {
        let part = Part::End;
        let counts: [u8; 12] = self.array(part)?;
        // The tag and the counts; the part's own hash would know them, but the CRC is of all CRCs before, too.
        let mut checks = std::mem::take(&mut self.checks);
        checks.update(&DONE.to_le_bytes());
        checks.update(&counts);
        let found = self.u32(part)?;
        check(part, found, checks.finalize())?;
        let (found_blocks, found_rows) = counts.split_at(4);
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .rev()
                .fold(0, |all, &byte| all << 8 | u64::from(byte))
        };
        for (what, found, expected) in [
            ("blocks", number(found_blocks), u64::from(blocks)),
            ("rows", number(found_rows), rows),
            ("streams of the header", streams, rows),
        ] {
            if found != expected {
                return Err(Refusal::Count {
                    part,
                    what,
                    found,
                    expected,
                });
            }
        }
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Refusal::Trailing),
            Err(source) => Err(Refusal::Read { part, source }),
        }
    }

    /// Reads the CRC of the part and compares it.
    fn close(&mut self, part: Part) -> Result<(), Refusal> {
        let expected = std::mem::take(&mut self.part).finalize();
        let found = self.u32(part)?;
        self.part = Hasher::new();
        self.checks.update(&found.to_le_bytes());
        check(part, found, expected)
    }

    fn length(&mut self, part: Part, most: usize) -> Result<usize, Refusal> {
        let found = self.u32(part)? as usize;
        if found > most {
            return Err(Refusal::Length {
                part,
                found: found as u64,
                most: most as u64,
            });
        }
        Ok(found)
    }

    fn u32(&mut self, part: Part) -> Result<u32, Refusal> {
        self.array(part).map(u32::from_le_bytes)
    }

    fn array<const N: usize>(&mut self, part: Part) -> Result<[u8; N], Refusal> {
        let mut bytes = [0; N];
        fill(self.input, &mut bytes, part)?;
        self.part.update(&bytes);
        Ok(bytes)
    }

    /// Reads `len` bytes, which is bounded, into the buffer. It grows with what is there and not with what is claimed.
    fn bytes(&mut self, part: Part, len: usize) -> Result<(), Refusal> {
        self.buffer.clear();
        let mut claimed = (&mut *self.input).take(len as u64);
        let found = claimed.read_to_end(&mut self.buffer);
        let found = found.map_err(|source| Refusal::Read { part, source })?;
        if found < len {
            return Err(Refusal::Truncated { part });
        }
        self.part.update(&self.buffer);
        Ok(())
    }
}

fn fill(input: &mut dyn Read, bytes: &mut [u8], part: Part) -> Result<(), Refusal> {
    input.read_exact(bytes).map_err(|source| match source.kind() {
        ErrorKind::UnexpectedEof => Refusal::Truncated { part },
        _ => Refusal::Read { part, source },
    })
}

fn check(part: Part, found: u32, expected: u32) -> Result<(), Refusal> {
    if found == expected || is_off(Mechanism::Checksum) {
        return Ok(());
    }
    Err(Refusal::Checksum {
        part,
        found,
        expected,
    })
}

impl Content {
    /// Takes the rows of a block; `old` (words) is scratch.
    fn take(
        &mut self,
        part: Part,
        block: &Parts<'_>,
        carry: &Carry<'_>,
        old: &mut [f32],
    ) -> Result<(), Refusal> {
        let claimed = block.lengths().map(u64::from).sum();
        if claimed != block.ids.len() as u64 {
            return Err(Refusal::Count {
                part,
                what: "bytes of ids",
                found: claimed,
                expected: block.ids.len() as u64,
            });
        }
        let mut rest = block.ids;
        for (row, length) in block.lengths().enumerate() {
            let (id, after) = rest.split_at(length as usize);
            rest = after;
            let slot = self.intern(part, id, block.seen_ms(row))?;
            let to = self.slab.row_mut(slot);
            if carry.is_plain() {
                block.row(row, to);
            } else {
                block.row(row, &mut old[..carry.words()]);
                carry.carry(old, to);
            }
        }
        Ok(())
    }

    fn intern(&mut self, part: Part, id: &[u8], seen_ms: i64) -> Result<usize, Refusal> {
        if id.len() > ID_BYTES_MAX {
            return Err(Refusal::Length {
                part,
                found: id.len() as u64,
                most: ID_BYTES_MAX as u64,
            });
        }
        let id = std::str::from_utf8(id).map_err(|error| Refusal::Unpack {
            part,
            why: format!("an id is no text, {error}"),
        })?;
        if self.index.get(id).is_some() {
            let id = id.to_owned();
            return Err(Refusal::Repeated { part, id });
        }
        if seen_ms == VACANT {
            return Err(Refusal::Unpack {
                part,
                why: format!("stream `{id}` was last seen at the end of time"),
            });
        }
        let slot = self.index.insert(id, seen_ms);
        let grown = self.slab.grow();
        assert_eq!(slot, grown, "a row per id");
        Ok(slot)
    }
}

/// The file's dimensions, where rows of them can be made into rows of `wanted`.
fn row_dims(found: &Dims, wanted: &RowDims) -> Result<RowDims, Refusal> {
    let names: Vec<String> = wanted
        .experts
        .iter()
        .map(|expert| expert.name().to_owned())
        .collect();
    expect_dims("experts", &found.experts, &names)?;
    expect_dims("state_len", &found.state_len, &wanted.state_len)?;
    let is_plan = found.scored.first() == Some(&1)
        && found.scored.len() <= HORIZONS_MAX
        && found.scored.windows(2).all(|pair| pair[0] < pair[1]);
    if !is_plan {
        return Err(Refusal::Dims {
            what: "scored",
            found: format!("{:?}", found.scored),
            expected: format!("an ascending list from 1 on of at most {HORIZONS_MAX}"),
        });
    }
    let levels_max = crate::engine::QUANTILES_MAX;
    let is_levels = found.levels.len() <= levels_max
        && found.levels.iter().all(|level| *level > 0.0 && *level < 1.0)
        && found.levels.windows(2).all(|pair| pair[0] < pair[1]);
    if !is_levels {
        return Err(Refusal::Dims {
            what: "levels",
            found: format!("{:?}", found.levels),
            expected: format!("an ascending list between 0 and 1 of at most {levels_max}"),
        });
    }
    Ok(RowDims {
        scored: found.scored.clone(),
        levels: found.levels.clone(),
        ..wanted.clone()
    })
}

fn expect_dims<T: PartialEq + std::fmt::Debug>(
    what: &'static str,
    found: &T,
    wanted: &T,
) -> Result<(), Refusal> {
    if found == wanted {
        return Ok(());
    }
    Err(Refusal::Dims {
        what,
        found: format!("{found:?}"),
        expected: format!("{wanted:?}"),
    })
}
