//! The tape: what was served, kept per stream within bytes, as material for training.
//!
//! A stream's rows lie in blocks of T consecutive steps (the last block of a run may be shorter). A block goes through
//! three stages, in order:
//!
//! 1. *filling*: rows arrive; an observed row reveals the targets of rows b steps before it;
//! 2. *fresh*: closed, and every target of near horizons (at most T) is revealed or never will be; it waits to be scored,
//!    forward only;
//! 3. *material*: scored; training draws segments from it. Targets of farther horizons are still revealed.
//!
//! A jump of the step ends a run: no segment crosses it, but a later reading still reveals what it is the truth of. A
//! step that is not above the one before restarts the grid: nothing is revealed across it.
//!
//! Bounds: `bytes_max` is divided into blocks once. When all are in use a stream that has stopped goes first, then the
//! oldest block of the longest stream. A stream is refused while the others are so many that each would keep less than
//! what it needs to mature and a newest share ([`KEPT_BLOCKS`]).

mod block;
mod stream;

use hashbrown::HashMap;
use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;

use crate::engine::TapeChunk;
use crate::nn::Batch;

use block::Block;
pub(crate) use block::Layout;
use stream::Stream;

/// Blocks of material that every stream keeps, its newest share: with fewer, replay would only repeat the last hours.
pub(crate) const KEPT_BLOCKS: usize = 4;
/// A stream has stopped when it missed this many turns of all the others.
const STOPPED_AFTER_TURNS: u64 = 512;
/// A stream that missed this many is not drawn for its newest rows.
const SILENT_AFTER_TURNS: u64 = 64;
/// Newest rows are at least this many, and at least 15 % of the stream's: the recipe's.
const NEWEST_ROWS: usize = 300;

/// Where a segment lies. Valid until the tape takes rows again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) stream: usize,
    block: usize,
    /// Row of the block, a multiple of the stride.
    from: usize,
    /// At most T; may reach into the next block.
    rows: usize,
}

impl Segment {
    /// Rows of the tape that it covers.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }
}

/// Rows of sampled streams. See the module's text.
#[derive(Debug)]
pub(crate) struct Tape {
    layout: Layout,
    blocks_max: usize,
    streams_max: usize,
    /// Blocks in streams. Invariant: plus `spare` at most `blocks_max`.
    blocks: usize,
    spare: Vec<Block>,
    streams: Vec<Stream>,
    /// Key to place in `streams`; never iterated.
    places: HashMap<u64, usize, foldhash::fast::FixedState>,
    /// Rows offered so far: the tape's own time.
    turn_rows: u64,
    /// No stream can have stopped before this time of the tape: spares a scan for every refused row.
    none_stopped_before: u64,
    /// Stream that the next fresh block is taken from first.
    cursor: usize,
    /// Rows taken.
    pub(crate) taken: u64,
    /// Rows that found no place.
    pub(crate) refused: u64,
    /// Rows forgotten to stay within the bytes.
    pub(crate) evicted: u64,
}

impl Tape {
    pub(crate) fn new(layout: Layout, bytes_max: usize) -> Self {
        let blocks_max = bytes_max / layout.block_bytes();
        let maturing = (layout.horizon_max() as usize).div_ceil(layout.steps) + 2;
        Self {
            blocks_max,
            streams_max: blocks_max / (maturing + KEPT_BLOCKS),
            layout,
            blocks: 0,
            spare: Vec::new(),
            streams: Vec::new(),
            places: HashMap::with_hasher(foldhash::fast::FixedState::default()),
            turn_rows: 0,
            none_stopped_before: 0,
            cursor: 0,
            taken: 0,
            refused: 0,
            evicted: 0,
        }
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn rows(&self) -> usize {
        self.streams.iter().map(Stream::rows).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        (self.blocks + self.spare.len()) * self.layout.block_bytes()
    }

    /// Rows that training may draw from.
    pub(crate) fn material_rows(&self) -> usize {
        self.streams.iter().map(Stream::material_rows).sum()
    }

    /// Blocks that wait to be scored.
    pub(crate) fn fresh(&self) -> usize {
        self.streams.iter().map(Stream::fresh).sum()
    }

    /// Takes the rows of a chunk; one of other widths is refused whole. Returns how many were taken.
    pub(crate) fn absorb(&mut self, chunk: &TapeChunk) -> u64 {
        let before = self.taken;
        for n in 0..chunk.len() {
            self.turn_rows += 1;
            if chunk.dims == self.layout.dims && self.absorb_row(chunk, n) {
                self.taken += 1;
            } else {
                self.refused += 1;
            }
        }
        self.taken - before
    }

    fn absorb_row(&mut self, chunk: &TapeChunk, n: usize) -> bool {
        let Some(place) = self.place_of(chunk.stream[n]) else {
            return false;
        };
        let stream = &mut self.streams[place];
        stream.observe(&self.layout, chunk.step[n], chunk.observed[n], self.turn_rows);
        if !is_finite(chunk, n) {
            stream.close();
            return false;
        }
        let step = chunk.step[n];
        if stream.needs_block(step) && !self.begin_block(chunk.stream[n], step) {
            return false;
        }
        let place = self.places[&chunk.stream[n]]; // making room may have moved streams about
        self.streams[place].push(&self.layout, chunk, n);
        true
    }

    /// Begins a block of stream `key` at `step`; false where there is no room.
    fn begin_block(&mut self, key: u64, step: i64) -> bool {
        let Some(mut block) = self.block() else {
            return false;
        };
        let stream = &mut self.streams[self.places[&key]];
        block.restart(step, stream.is_followed_by(step));
        stream.begin(block);
        self.blocks += 1;
        true
    }

    /// The stream's place, made if need be; `None` where there are too many.
    fn place_of(&mut self, key: u64) -> Option<usize> {
        if let Some(&place) = self.places.get(&key) {
            return Some(place);
        }
        if self.streams.len() >= self.streams_max {
            let stopped = self.stopped()?;
            self.remove(stopped);
        }
        self.places.insert(key, self.streams.len());
        self.streams.push(Stream::new(key, self.turn_rows));
        Some(self.streams.len() - 1)
    }

    /// An unused block, made room for if need be. Never takes the last block of a stream that is alive.
    fn block(&mut self) -> Option<Block> {
        if let Some(block) = self.spare.pop() {
            return Some(block);
        }
        if self.blocks < self.blocks_max {
            return Some(Block::new(&self.layout));
        }
        if let Some(stopped) = self.stopped() {
            self.remove(stopped);
            return self.spare.pop();
        }
        let longest = (0..self.streams.len()).max_by_key(|&place| self.streams[place].blocks())?;
        let block = self.streams[longest].forget_oldest()?;
        self.blocks -= 1;
        self.evicted += block.rows as u64;
        Some(block)
    }

    /// The stream that has been silent longest, if that is long enough to call it stopped.
    fn stopped(&mut self) -> Option<usize> {
        if self.turn_rows < self.none_stopped_before {
            return None;
        }
        let place = (0..self.streams.len()).min_by_key(|&place| self.streams[place].seen_at())?;
        // A turn is longer by the rows that are offered and refused.
        let offered_share = (self.taken + self.refused) as f64 / self.taken.max(1) as f64;
        let turn = (self.streams.len() as f64 * offered_share).ceil() as u64;
        // Streams only become younger, and the only way to have fewer is through here.
        self.none_stopped_before = self.streams[place].seen_at() + STOPPED_AFTER_TURNS * turn;
        (self.turn_rows >= self.none_stopped_before).then_some(place)
    }

    fn remove(&mut self, place: usize) {
        let stream = self.streams.swap_remove(place);
        self.places.remove(&stream.key());
        if let Some(moved) = self.streams.get(place) {
            self.places.insert(moved.key(), place);
        }
        self.evicted += stream.rows() as u64;
        self.blocks -= stream.blocks();
        self.spare.extend(stream.into_blocks());
    }

    /// At most `count` fresh blocks, one stream after the other, oldest first; they are material from now on.
    pub(crate) fn take_fresh(&mut self, count: usize, segments: &mut Vec<Segment>) {
        segments.clear();
        let streams = self.streams.len();
        let mut left = self.fresh().min(count);
        while left > 0 {
            let place = self.cursor % streams;
            self.cursor = (place + 1) % streams;
            if let Some((block, rows)) = self.streams[place].take_fresh() {
                segments.push(Segment {
                    stream: place,
                    block,
                    from: 0,
                    rows,
                });
                left -= 1;
            }
        }
    }

    /// Makes every fresh block material without scoring it: there is nothing yet to compare.
    pub(crate) fn pass_fresh(&mut self) {
        for stream in &mut self.streams {
            while stream.take_fresh().is_some() {}
        }
    }

    /// Draws `count` segments of material: the first half from the newest rows of streams that still report, the rest uniform
    /// over the past of all, each from a stream drawn uniformly. None where there is no material.
    pub(crate) fn sample(&self, rng: &mut Pcg64Mcg, count: usize, segments: &mut Vec<Segment>) {
        segments.clear();
        let drawn: Vec<usize> = (0..self.streams.len())
            .filter(|&place| self.streams[place].material() > 0)
            .collect();
        if drawn.is_empty() {
            return;
        }
        let reporting: Vec<usize> = drawn
            .iter()
            .copied()
            .filter(|&place| self.reports(place))
            .collect();
        for n in 0..count {
            let is_newest = n < count / 2;
            let among = if is_newest && !reporting.is_empty() {
                &reporting
            } else {
                &drawn
            };
            let place = among[rng.random_range(0..among.len())];
            let stream = &self.streams[place];
            let oldest = if is_newest {
                stream.material() - self.newest(stream.material())
            } else {
                0
            };
            let block = rng.random_range(oldest..stream.material());
            let from = rng.random_range(0..self.layout.steps / self.layout.stride) * self.layout.stride;
            let (from, rows) = stream.segment(&self.layout, block, from);
            segments.push(Segment {
                stream: place,
                block,
                from,
                rows,
            });
        }
    }

    /// Whether a stream is heard of: the newest rows of one that is not say nothing of now.
    fn reports(&self, place: usize) -> bool {
        let turn = self.streams.len() as u64;
        self.turn_rows - self.streams[place].seen_at() <= SILENT_AFTER_TURNS * turn
    }

    /// Blocks that count as newest among `material`.
    fn newest(&self, material: usize) -> usize {
        NEWEST_ROWS
            .div_ceil(self.layout.steps)
            .max(material * 15 / 100)
            .min(material)
    }

    /// Fills `batch` with `segments`; steps past a segment's end are masked.
    pub(crate) fn fill(&self, segments: &[Segment], batch: &mut Batch) {
        let (steps, dims) = (self.layout.steps, self.layout.dims);
        let rows = segments.len();
        batch.steps = steps;
        batch.rows = rows;
        let places = steps * rows;
        batch.inputs.clear();
        batch.inputs.resize(places * dims.inputs, 0.0);
        batch.skips.clear();
        batch.skips.resize(places * dims.horizons * dims.skips, 0.0);
        batch.targets.clear();
        batch.targets.resize(places * dims.horizons, f32::NAN);
        batch.weights.clear();
        batch.weights.resize(places * dims.horizons, 0.0);
        batch.state.clear();
        batch.state.resize(rows * dims.state, 0.0);
        for (b, segment) in segments.iter().enumerate() {
            let stream = &self.streams[segment.stream];
            stream.copy(
                &self.layout,
                (segment.block, segment.from, segment.rows),
                batch,
                b,
            );
        }
    }

    /// Zeroes the stored states: the weights that made them are of another lineage.
    pub(crate) fn forget_states(&mut self) {
        self.streams.iter_mut().for_each(Stream::forget_states);
    }
}

fn is_finite(chunk: &TapeChunk, n: usize) -> bool {
    let dims = chunk.dims;
    let all = |values: &[f32], width: usize| values[n * width..(n + 1) * width].iter().all(|v| v.is_finite());
    let k = dims.horizons;
    all(&chunk.inputs, dims.inputs)
        && all(&chunk.skips, k * dims.skips)
        && all(&chunk.state, dims.state)
        && all(&chunk.weight, k)
        && chunk.unit[n * k..(n + 1) * k]
            .iter()
            .all(|unit| unit.is_finite() && *unit > 0.0)
        && chunk.centre[n * k..(n + 1) * k]
            .iter()
            .all(|centre| centre.is_finite())
}
