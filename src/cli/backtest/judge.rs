//! Judges forecasts when their truth arrives, and keeps sums: per stream, horizon and block of time.

use std::collections::VecDeque;

use super::past::Past;
use crate::cli::demo::reading::Reading;
use crate::engine::Forecast;

/// Blocks of time that a stream's judged rows are cut into.
pub(super) const BLOCKS: usize = 24;
/// Levels of the scaled quantile loss where all three are configured.
const LOSS_LEVELS: [f64; 3] = [0.1, 0.5, 0.9];

/// What is judged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rules {
    /// Published (H).
    pub(super) horizons: Vec<u32>,
    /// Those that the experts speak of (K).
    pub(super) scored: Vec<u32>,
    /// Configured (Q).
    pub(super) levels: Vec<f64>,
    /// Places of the levels of the loss.
    pub(super) losses: Vec<usize>,
    /// Place of the median.
    pub(super) median: usize,
    /// Places of the ends of the 80 % and of the 95 % band, where both are configured.
    pub(super) bands: [Option<(usize, usize)>; 2],
    /// Names of the experts (E).
    pub(super) experts: Vec<&'static str>,
}

impl Rules {
    pub(super) fn new(
        (horizons, scored): (&[u32], &[u32]),
        levels: &[f64],
        experts: Vec<&'static str>,
    ) -> Self {
        let find = |level: f64| levels.iter().position(|each| (each - level).abs() < 1e-9);
        let band = |low: f64| find(low).zip(find(1.0 - low));
        let losses: Option<Vec<usize>> = LOSS_LEVELS.into_iter().map(find).collect();
        Self {
            horizons: horizons.to_vec(),
            scored: scored.to_vec(),
            levels: levels.to_vec(),
            losses: losses.unwrap_or_else(|| (0..levels.len()).collect()),
            median: find(0.5).expect("the configuration has the median"),
            bands: [band(0.1), band(0.025)],
            experts,
        }
    }

    /// Levels that the loss is over.
    pub(super) fn loss_levels(&self) -> Vec<f64> {
        self.losses.iter().map(|&place| self.levels[place]).collect()
    }

    /// Place of a published horizon among the scored ones.
    pub(super) fn scored_place(&self, horizon: u32) -> Option<usize> {
        self.scored.iter().position(|&scored| scored == horizon)
    }
}

/// Sums over judged forecasts of one stream, horizon and block, in original units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cell {
    /// Judged.
    pub(super) count: f64,
    /// |y − median|.
    pub(super) error: f64,
    /// Mean over the levels of twice the pinball loss.
    pub(super) loss: f64,
    /// |y − last value|.
    pub(super) last: f64,
    /// |y − seasonal naive|.
    pub(super) seasonal: f64,
    /// Truths inside the 80 % and the 95 % band.
    pub(super) inside: [f64; 2],
    /// Widths of the bands.
    pub(super) width: [f64; 2],
}

impl Cell {
    pub(super) fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.error += other.error;
        self.loss += other.loss;
        self.last += other.last;
        self.seasonal += other.seasonal;
        for band in 0..2 {
            self.inside[band] += other.inside[band];
            self.width[band] += other.width[band];
        }
    }
}

/// A forecast of one horizon whose truth is still to come.
#[derive(Clone, Debug)]
struct Pending {
    target_ms: i64,
    interval_ms: i64,
    block: usize,
    last: f64,
    seasonal: f64,
    /// Quantiles (Q), then, at a scored horizon, experts and their mix (E+1).
    numbers: Vec<f64>,
}

/// One stream.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    past: Past,
    /// Rows so far.
    pub(super) rows: u64,
    /// Rows in the file.
    rows_total: u64,
    /// W: forecasts are judged from row W − 1 on.
    pub(super) start: u64,
    /// Time and interval of the newest step.
    newest_ms: i64,
    pub(super) interval_ms: i64,
    /// (H) oldest first.
    pending: Vec<VecDeque<Pending>>,
    /// (H,BLOCKS).
    pub(super) cells: Vec<Cell>,
    /// (K,E+1) sums of |y − what it said|.
    pub(super) experts: Vec<f64>,
    /// (K) behind them.
    pub(super) experts_count: Vec<f64>,
    /// (H,Q) truths at or below the quantile.
    pub(super) below: Vec<u64>,
    /// Forecasts whose target was passed over without a reading.
    pub(super) unmatched: u64,
}

impl Stream {
    /// The unit of its errors, `None` where its warm-up says nothing.
    pub(super) fn scale(&self) -> Option<f64> {
        self.past.scale()
    }

    /// Sums of a horizon over all blocks.
    pub(super) fn whole(&self, horizon: usize) -> Cell {
        let mut sum = Cell::default();
        for cell in &self.cells[horizon * BLOCKS..(horizon + 1) * BLOCKS] {
            sum.add(cell);
        }
        sum
    }

    fn block(&self) -> usize {
        let from = self.start.saturating_sub(1);
        let judged = self.rows_total.saturating_sub(from).max(1);
        let place = (self.rows - 1).saturating_sub(from) * BLOCKS as u64 / judged;
        usize::try_from(place).map_or(BLOCKS - 1, |place| place.min(BLOCKS - 1))
    }
}

/// All streams.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    pub(super) rules: Rules,
    pub(super) streams: Vec<Stream>,
    /// (BLOCKS,E) sums of the weights at horizon 1, by block of the whole file's rows; then their counts.
    pub(super) weights: Vec<f64>,
    pub(super) weights_count: Vec<f64>,
    spare: Vec<Vec<f64>>,
}

impl Judge {
    /// Of streams with so many rows each, of which so many warm it up.
    pub(super) fn new(rules: Rules, rows: &[u64], starts: &[u64]) -> Self {
        let (h, k, e, q) = (
            rules.horizons.len(),
            rules.scored.len(),
            rules.experts.len(),
            rules.levels.len(),
        );
        let stream = |(&rows_total, &start): (&u64, &u64)| Stream {
            past: Past::new(),
            rows: 0,
            rows_total,
            start,
            newest_ms: 0,
            interval_ms: 0,
            pending: vec![VecDeque::new(); h],
            cells: vec![Cell::default(); h * BLOCKS],
            experts: vec![0.0; k * (e + 1)],
            experts_count: vec![0.0; k],
            below: vec![0; h * q],
            unmatched: 0,
        };
        Self {
            streams: rows.iter().zip(starts).map(stream).collect(),
            weights: vec![0.0; BLOCKS * e],
            weights_count: vec![0.0; BLOCKS],
            spare: Vec::new(),
            rules,
        }
    }

    /// A row of the file. `taken`: it took a step of its stream's grid, or would have; a duplicate or late one did not,
    /// and is no truth.
    pub(super) fn reading(&mut self, reading: &Reading, taken: bool) {
        let stream = &mut self.streams[reading.stream];
        stream.rows += 1;
        if stream.rows > stream.start {
            stream.past.close();
        }
        if !taken {
            return;
        }
        let value = reading.value.unwrap_or(f64::NAN);
        if stream.interval_ms > 0 {
            let since_ms = reading.time_ms.saturating_sub(stream.newest_ms);
            let steps = since_ms.saturating_add(stream.interval_ms / 2) / stream.interval_ms;
            stream.past.skip(u64::try_from(steps - 1).unwrap_or(0));
        }
        stream.newest_ms = reading.time_ms;
        stream.past.push(value);
        for horizon in 0..self.rules.horizons.len() {
            while let Some(pending) = stream.pending[horizon].front() {
                let ahead_ms = pending.target_ms.saturating_sub(reading.time_ms);
                if ahead_ms.saturating_mul(2) > pending.interval_ms {
                    break;
                }
                let is_truth = ahead_ms.saturating_mul(-2) <= pending.interval_ms;
                let pending = stream.pending[horizon].pop_front().expect("it was looked at");
                if !is_truth {
                    stream.unmatched += 1;
                } else if value.is_finite() {
                    mature(&self.rules, stream, horizon, &pending, value);
                }
                self.spare.push(pending.numbers);
            }
        }
    }

    /// The forecast at the newest row of a stream; `each` is (K,E+1).
    pub(super) fn forecast(&mut self, number: usize, forecast: &Forecast<'_>, each: &[f64]) {
        let stream = &mut self.streams[number];
        stream.interval_ms = forecast.interval_ms;
        self.note_weights(number, forecast);
        let stream = &mut self.streams[number];
        if stream.rows < stream.start || forecast.interval_ms == 0 {
            return;
        }
        let block = stream.block();
        let (h, width) = (forecast.horizons.len(), self.rules.experts.len() + 1);
        for (i, &horizon) in forecast.horizons.iter().enumerate() {
            let mut numbers = self.spare.pop().unwrap_or_default();
            numbers.clear();
            numbers.extend((0..forecast.levels.len()).map(|q| forecast.quantiles[q * h + i]));
            if let Some(k) = self.rules.scored_place(horizon) {
                numbers.extend_from_slice(&each[k * width..(k + 1) * width]);
            }
            let (last, seasonal) = stream.past.naive(horizon);
            stream.pending[i].push_back(Pending {
                target_ms: forecast
                    .origin_ms
                    .saturating_add(forecast.interval_ms.saturating_mul(i64::from(horizon))),
                interval_ms: forecast.interval_ms,
                block,
                last,
                seasonal,
                numbers,
            });
        }
    }

    fn note_weights(&mut self, number: usize, forecast: &Forecast<'_>) {
        let stream = &self.streams[number];
        let place = (stream.rows - 1) * BLOCKS as u64 / stream.rows_total.max(1);
        let block = usize::try_from(place).map_or(BLOCKS - 1, |place| place.min(BLOCKS - 1));
        let experts = self.rules.experts.len();
        let sums = &mut self.weights[block * experts..(block + 1) * experts];
        for (sum, (_, weight)) in sums.iter_mut().zip(forecast.experts) {
            *sum += weight;
        }
        self.weights_count[block] += 1.0;
    }

    /// The season of a stream in steps, as the engine has it.
    pub(super) fn season(&mut self, number: usize, season: u32) {
        self.streams[number].past.set_season(season.max(1));
    }
}

fn mature(rules: &Rules, stream: &mut Stream, horizon: usize, pending: &Pending, y: f64) {
    let (levels, each) = pending.numbers.split_at(rules.levels.len());
    let cell = &mut stream.cells[horizon * BLOCKS + pending.block];
    cell.count += 1.0;
    cell.error += (y - levels[rules.median]).abs();
    let pinball = |&place: &usize| {
        let (level, off) = (rules.levels[place], y - levels[place]);
        2.0 * (level * off).max((level - 1.0) * off)
    };
    cell.loss += rules.losses.iter().map(pinball).sum::<f64>() / rules.losses.len() as f64;
    cell.last += (y - pending.last).abs();
    cell.seasonal += (y - pending.seasonal).abs();
    for (band, ends) in rules.bands.iter().enumerate() {
        if let Some((low, high)) = *ends {
            cell.inside[band] += f64::from(u8::from(levels[low] <= y && y <= levels[high]));
            cell.width[band] += levels[high] - levels[low];
        }
    }
    let below = &mut stream.below[horizon * rules.levels.len()..(horizon + 1) * rules.levels.len()];
    for (below, &quantile) in below.iter_mut().zip(levels) {
        *below += u64::from(y <= quantile);
    }
    if let Some(k) = rules.scored_place(rules.horizons[horizon]) {
        let sums = &mut stream.experts[k * each.len()..(k + 1) * each.len()];
        for (sum, &said) in sums.iter_mut().zip(each) {
            *sum += (y - said).abs();
        }
        stream.experts_count[k] += 1.0;
    }
}
