//! From sums to figures: each stream counts the same, in units of its own scale.

use super::course::Run;
use super::judge::{BLOCKS, Cell, Judge, Stream};

/// One horizon.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Steps ahead.
    pub(super) horizon: u32,
    /// Judged forecasts.
    pub(super) count: u64,
    /// Streams behind the means.
    pub(super) streams: usize,
    /// Mean |y − median| / scale.
    pub(super) mase: f64,
    /// Mean of twice the pinball loss / scale.
    pub(super) loss: f64,
    /// MASE of last value.
    pub(super) last: f64,
    /// MASE of the seasonal naive.
    pub(super) seasonal: f64,
    /// Shares inside the 80 % and the 95 % band; `None` where it is not configured.
    pub(super) coverage: [Option<f64>; 2],
    /// Mean widths of the bands / scale.
    pub(super) width: [Option<f64>; 2],
    /// MASE of each expert, in the order of the record; empty where the horizon is not one that experts are scored at.
    pub(super) experts: Vec<(&'static str, f64)>,
    /// MASE of the mix of the experts that are no network.
    pub(super) mix: Option<f64>,
}

impl Figures {
    /// The expert with the least error.
    pub(super) fn leader(&self) -> Option<(&'static str, f64)> {
        self.experts.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Error of the experts' mix over the error of what is served, − 1: what the network takes away.
    pub(super) fn network_gain(&self) -> Option<f64> {
        let has_network = self.experts.iter().any(|(name, _)| *name == "network");
        self.mix
            .filter(|_| has_network && self.mase > 0.0)
            .map(|mix| mix / self.mase - 1.0)
    }
}

/// A stream that can be judged, and its scale.
fn usable(judge: &Judge) -> impl Iterator<Item = (&Stream, f64)> {
    judge
        .streams
        .iter()
        .filter_map(|stream| Some((stream, stream.scale()?)))
}

/// Streams without a part in the means.
pub(super) fn unjudged(judge: &Judge) -> usize {
    judge.streams.len() - by_stream(judge).len()
}

/// By published horizon. An untrained network says what the mix says, and is no expert of its own.
pub(super) fn by_horizon(run: &Run) -> Vec<Figures> {
    let mut all = of_judge(&run.judge);
    if run.versions.is_empty() {
        for figures in &mut all {
            figures.experts.retain(|(name, _)| *name != "network");
        }
    }
    all
}

/// By published horizon, every expert.
pub(super) fn of_judge(judge: &Judge) -> Vec<Figures> {
    let horizons = 0..judge.rules.horizons.len();
    horizons.map(|horizon| at(judge, horizon)).collect()
}

fn at(judge: &Judge, place: usize) -> Figures {
    let rules = &judge.rules;
    let mut figures = Figures {
        horizon: rules.horizons[place],
        ..Figures::default()
    };
    let (mut inside, mut width) = ([0.0; 2], [0.0; 2]);
    for (stream, scale) in usable(judge) {
        let sum = stream.whole(place);
        if sum.count == 0.0 {
            continue;
        }
        let unit = sum.count * scale;
        figures.streams += 1;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let count = sum.count as u64;
        figures.count += count;
        figures.mase += sum.error / unit;
        figures.loss += sum.loss / unit;
        figures.last += sum.last / unit;
        figures.seasonal += sum.seasonal / unit;
        for band in 0..2 {
            inside[band] += sum.inside[band] / sum.count;
            width[band] += sum.width[band] / unit;
        }
    }
    let n = figures.streams as f64; // of none everything is NaN, shown as nothing
    for sum in [
        &mut figures.mase,
        &mut figures.loss,
        &mut figures.last,
        &mut figures.seasonal,
    ] {
        *sum /= n;
    }
    for band in 0..2 {
        let configured = rules.bands[band].filter(|_| figures.streams > 0);
        figures.coverage[band] = configured.map(|_| inside[band] / n);
        figures.width[band] = configured.map(|_| width[band] / n);
    }
    if let Some(k) = rules.scored_place(figures.horizon) {
        experts(judge, k, &mut figures);
    }
    figures
}

fn experts(judge: &Judge, k: usize, figures: &mut Figures) {
    let names = &judge.rules.experts;
    let width = names.len() + 1;
    let (mut sums, mut n) = (vec![0.0; width], 0.0);
    for (stream, scale) in usable(judge) {
        let unit = stream.experts_count[k] * scale;
        if unit > 0.0 {
            n += 1.0;
            let of_stream = &stream.experts[k * width..(k + 1) * width];
            sums.iter_mut()
                .zip(of_stream)
                .for_each(|(sum, error)| *sum += error / unit);
        }
    }
    if n > 0.0 {
        figures.mix = Some(sums[names.len()] / n);
        figures.experts = names
            .iter()
            .zip(&sums)
            .map(|(&name, sum)| (name, sum / n))
            .collect();
    }
}

/// MASE of each expert alone, one a horizon that experts are scored at. Left out is one that says what another above it
/// says, for want of its season.
pub(super) fn alone(figures: &[Figures]) -> Vec<(&'static str, Vec<f64>)> {
    let scored: Vec<&Figures> = figures.iter().filter(|each| !each.experts.is_empty()).collect();
    let mut out: Vec<(&'static str, Vec<f64>)> = Vec::new();
    for (place, &(name, _)) in scored
        .first()
        .map_or(&[][..], |first| &first.experts)
        .iter()
        .enumerate()
    {
        let errors: Vec<f64> = scored.iter().map(|each| each.experts[place].1).collect();
        if out.iter().all(|(_, other)| *other != errors) {
            out.push((name, errors));
        }
    }
    out
}

/// A block of time, over all streams and horizons asked for: coverage of the 80 % band by block; `None` where nothing
/// was judged.
pub(super) fn coverage_by_block(judge: &Judge, horizon: usize) -> Vec<Option<f64>> {
    let of_block = |block: usize| {
        let mut sum = Cell::default();
        for stream in &judge.streams {
            sum.add(&stream.cells[horizon * BLOCKS + block]);
        }
        (sum.count > 0.0).then(|| sum.inside[0] / sum.count)
    };
    (0..BLOCKS).map(of_block).collect()
}

/// (H,Q) share of truths at or below each quantile, over all streams.
pub(super) fn calibration(judge: &Judge) -> Vec<Vec<f64>> {
    let levels = judge.rules.levels.len();
    let of_horizon = |horizon: usize| {
        let count: f64 = judge
            .streams
            .iter()
            .map(|stream| stream.whole(horizon).count)
            .sum();
        let below = |level: usize| {
            let hits = judge
                .streams
                .iter()
                .map(|stream| stream.below[horizon * levels + level]);
            hits.sum::<u64>() as f64 / count.max(1.0)
        };
        (0..levels).map(below).collect()
    };
    (0..judge.rules.horizons.len()).map(of_horizon).collect()
}

/// A stream's MASE and scaled quantile loss, each the mean over its horizons.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OfStream {
    pub(super) stream: usize,
    pub(super) mase: f64,
    pub(super) loss: f64,
    /// Mean MASE of the better of last value and seasonal naive, by horizon.
    pub(super) naive: f64,
    pub(super) coverage: f64,
}

/// Streams that were judged, best first by their error over the better baseline's.
pub(super) fn by_stream(judge: &Judge) -> Vec<OfStream> {
    let mut all: Vec<OfStream> = judge
        .streams
        .iter()
        .enumerate()
        .filter_map(|(number, stream)| of_stream(judge, number, stream))
        .collect();
    let relative = |each: &OfStream| each.mase / each.naive.max(f64::MIN_POSITIVE);
    all.sort_by(|a, b| relative(a).total_cmp(&relative(b)));
    all
}

fn of_stream(judge: &Judge, number: usize, stream: &Stream) -> Option<OfStream> {
    let scale = stream.scale()?;
    let sums: Vec<Cell> = (0..judge.rules.horizons.len())
        .map(|horizon| stream.whole(horizon))
        .filter(|sum| sum.count > 0.0)
        .collect();
    if sums.is_empty() {
        return None;
    }
    let mean = |of: &dyn Fn(&Cell) -> f64| {
        sums.iter().map(|sum| of(sum) / sum.count).sum::<f64>() / sums.len() as f64
    };
    Some(OfStream {
        stream: number,
        mase: mean(&|sum| sum.error) / scale,
        loss: mean(&|sum| sum.loss) / scale,
        naive: mean(&|sum| sum.last.min(sum.seasonal)) / scale,
        coverage: mean(&|sum| sum.inside[0]),
    })
}
