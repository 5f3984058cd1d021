//! What the page shows of single streams: kept while the run goes on, since nobody knows yet which are worth showing.

use crate::cli::demo::reading::Reading;
use crate::engine::Forecast;

/// Rows at a stream's end that are kept at least and at most.
const ROWS_MIN: u64 = 240;
const ROWS_MAX: u64 = 420;
/// Fans of a stream.
const FANS: u64 = 3;
/// Horizons whose forecasts are kept row by row: first, last and those between.
pub(super) const ROLLED: usize = 4;
/// Streams whose forecasts are kept row by row, the first ones: some 70 KB each.
const ROLLED_STREAMS: usize = 2000;
/// Flagged readings that are shown, those with the highest score; twice as many are kept meanwhile.
pub(super) const FLAGS_SHOWN: usize = 12;

/// A forecast of all horizons.
#[derive(Clone, Debug)]
pub(super) struct Fan {
    pub(super) row: u64,
    pub(super) horizons: Vec<u32>,
    /// (Q,H).
    pub(super) quantiles: Vec<f64>,
}

/// The end of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    /// First row that is kept.
    pub(super) from: u64,
    /// Rows that a fan is kept of.
    origins: Vec<u64>,
    /// NaN = missing.
    pub(super) values: Vec<f64>,
    pub(super) times_ms: Vec<i64>,
    pub(super) fans: Vec<Fan>,
    /// By row: its number, then (places,Q) quantiles. Of the first streams only.
    pub(super) rolled: Vec<(u64, Vec<f32>)>,
}

/// A reading that was flagged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Flag {
    pub(super) stream: usize,
    pub(super) row: u64,
    pub(super) time_ms: i64,
    pub(super) value: f64,
    pub(super) score: f64,
    pub(super) p: f64,
}

/// Ends of all streams, and what was flagged.
#[derive(Clone, Debug, Default)]
pub(in crate::cli::backtest) struct Gallery {
    pub(super) endings: Vec<Ending>,
    pub(super) flags: Vec<Flag>,
    /// All that were flagged.
    pub(super) flagged: u64,
    /// Places of the horizons that are kept row by row.
    pub(super) places: Vec<usize>,
}

impl Gallery {
    /// For streams of so many rows each.
    pub(in crate::cli::backtest) fn new(rows: &[u64], horizons: &[u32]) -> Self {
        let reach = u64::from(horizons.last().copied().unwrap_or(1));
        let shown = (reach * 4).clamp(ROWS_MIN, ROWS_MAX);
        let ending = |&rows: &u64| {
            // The last fan just has all its truths.
            let last = rows.saturating_sub(1 + reach);
            let apart = (shown.saturating_sub(reach) / FANS).max(1);
            Ending {
                from: rows.saturating_sub(shown),
                origins: (0..FANS).map(|fan| last.saturating_sub(fan * apart)).collect(),
                ..Ending::default()
            }
        };
        Self {
            endings: rows.iter().map(ending).collect(),
            places: places(horizons.len()),
            ..Self::default()
        }
    }

    /// A reading.
    pub(in crate::cli::backtest) fn reading(
        &mut self,
        reading: &Reading,
        row: u64,
        forecast: Option<&Forecast<'_>>,
    ) {
        let ending = &mut self.endings[reading.stream];
        if row >= ending.from {
            ending.values.push(reading.value.unwrap_or(f64::NAN));
            ending.times_ms.push(reading.time_ms);
        }
        let anomaly = forecast.and_then(|forecast| forecast.anomaly);
        if let Some(anomaly) = anomaly.filter(|anomaly| anomaly.flag) {
            self.flagged += 1;
            self.flags.push(Flag {
                stream: reading.stream,
                row,
                time_ms: reading.time_ms,
                value: reading.value.unwrap_or(f64::NAN),
                score: anomaly.score,
                p: anomaly.p,
            });
            if self.flags.len() == 2 * FLAGS_SHOWN {
                self.flags = self.highest_flags();
            }
        }
    }

    /// Those with the highest score; of equal ones the earlier first.
    pub(super) fn highest_flags(&self) -> Vec<Flag> {
        let mut flags = self.flags.clone();
        flags.sort_by(|a, b| b.score.total_cmp(&a.score)); // stable
        flags.truncate(FLAGS_SHOWN);
        flags
    }

    /// A forecast that is judged.
    pub(in crate::cli::backtest) fn forecast(&mut self, stream: usize, row: u64, forecast: &Forecast<'_>) {
        let ending = &mut self.endings[stream];
        let (h, levels) = (forecast.horizons.len(), forecast.levels.len());
        let reach = u64::from(forecast.horizons.last().copied().unwrap_or(1));
        if stream < ROLLED_STREAMS && row + reach >= ending.from {
            #[allow(clippy::cast_possible_truncation, reason = "a picture needs no more digits")]
            let of_place =
                |&place: &usize| (0..levels).map(move |q| forecast.quantiles[q * h + place] as f32);
            let quantiles = self.places.iter().flat_map(of_place).collect();
            ending.rolled.push((row, quantiles));
        }
        if ending.origins.contains(&row) {
            ending.fans.push(Fan {
                row,
                horizons: forecast.horizons.to_vec(),
                quantiles: forecast.quantiles.to_vec(),
            });
        }
    }
}

/// First, last and those between.
fn places(horizons: usize) -> Vec<usize> {
    if horizons <= ROLLED {
        return (0..horizons).collect();
    }
    (0..ROLLED)
        .map(|each| each * (horizons - 1) / (ROLLED - 1))
        .collect()
}
