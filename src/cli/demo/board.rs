//! What the view knows: fed by records of the forecast and dead-letter topics, drawn by `screen` and `plain`.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::plant::faults::{Fault, Schedule};
use super::record::Record;
use super::score::{self, Score};

/// Cells of the sparkline's past.
pub(crate) const PAST_CELLS: usize = 48;

/// Readings of a stream for which an anomaly stays on show, the flagged one among them: more would call sound sensors odd.
const SHOWN_READINGS: u64 = 3;
/// How long ago a flag may be to be told.
const TOLD_MS: i64 = 86_400_000;

/// Something that came out of the daemon.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Forecast(Box<Record>),
    /// An observation that got no forecast, and the reason's code.
    Letter(String),
    /// A record that does not fit the contract.
    Unreadable(String),
}

/// One stream.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub name: String,
    pub record: Option<Record>,
    pub score: Score,
    /// Sum and count of readings by cell of time, oldest first; cells without readings are absent.
    cells: VecDeque<(i64, f64, u32)>,
    /// Forecasts taken.
    pub taken: u64,
    /// Steps flagged.
    pub anomalies: u64,
    /// Origin of the last flagged step, and how many forecasts were taken before it.
    last_flag: Option<(i64, u64)>,
}

impl Stream {
    /// Means over `merge` past cells each, up to the newest one, oldest first; `None` where nothing was read.
    pub(crate) fn past(&self, count: usize, merge: usize) -> Vec<Option<f64>> {
        let Some(&(newest, ..)) = self.cells.back() else {
            return vec![None; count];
        };
        let mut sums = vec![(0.0, 0_u32); count];
        for &(cell, sum, n) in &self.cells {
            let back = usize::try_from(newest - cell).unwrap_or(usize::MAX) / merge.max(1);
            if back < count {
                let slot = &mut sums[count - 1 - back];
                *slot = (slot.0 + sum, slot.1 + n);
            }
        }
        sums.into_iter()
            .map(|(sum, n)| (n > 0).then(|| sum / f64::from(n)))
            .collect()
    }

    fn keep(&mut self, record: &Record, cell_ms: i64) {
        let cell = record.origin_ms.div_euclid(cell_ms);
        match self.cells.back_mut() {
            Some((newest, sum, n)) if *newest == cell => {
                *sum += record.observed;
                *n += 1;
            }
            _ => self.cells.push_back((cell, record.observed, 1)),
        }
        if self.cells.len() > PAST_CELLS {
            self.cells.pop_front();
        }
    }
}

/// Everything on show.
pub(crate) struct Board {
    pub streams: Vec<Stream>,
    index: HashMap<String, usize>,
    /// Time that a cell of the sparkline stands for.
    pub cell_ms: i64,
    /// Between readings, as configured; the records say it too.
    pub interval_ms: i64,
    /// The plant's own truth; none for a file.
    pub truth: Option<Schedule>,
    /// Newest origin of any stream.
    pub time_ms: i64,
    pub forecasts: u64,
    /// Observations without a forecast, by reason.
    pub letters: BTreeMap<String, u64>,
    /// Records that did not fit the contract, and the last complaint.
    pub unreadable: (u64, String),
    /// Newest version that made a forecast.
    pub model_version: u64,
}

impl Board {
    pub(crate) fn new(names: &[String], interval_ms: i64, past_ms: i64) -> Self {
        let streams = names
            .iter()
            .map(|name| Stream {
                name: name.clone(),
                ..Stream::default()
            })
            .collect();
        let index = names
            .iter()
            .enumerate()
            .map(|(index, name)| (name.clone(), index))
            .collect();
        let cells = i64::try_from(PAST_CELLS).expect("a small constant");
        Self {
            streams,
            index,
            cell_ms: (past_ms / cells).max(interval_ms).max(1),
            interval_ms,
            truth: None,
            time_ms: i64::MIN,
            forecasts: 0,
            letters: BTreeMap::new(),
            unreadable: (0, String::new()),
            model_version: 0,
        }
    }

    pub(crate) fn take(&mut self, event: Event) {
        match event {
            Event::Forecast(record) => self.forecast(*record),
            Event::Letter(reason) => *self.letters.entry(reason).or_default() += 1,
            Event::Unreadable(why) => self.unreadable = (self.unreadable.0 + 1, why),
        }
    }

    fn forecast(&mut self, record: Record) {
        let Some(&index) = self.index.get(&record.stream) else {
            self.unreadable = (
                self.unreadable.0 + 1,
                format!("nobody fed a stream `{}`", record.stream),
            );
            return;
        };
        self.forecasts += 1;
        self.time_ms = self.time_ms.max(record.origin_ms);
        self.model_version = self.model_version.max(record.model_version);
        let stream = &mut self.streams[index];
        if record.anomaly.is_some_and(|anomaly| anomaly.flag) {
            stream.anomalies += 1;
            stream.last_flag = Some((record.origin_ms, stream.taken));
        }
        stream.taken += 1;
        stream.score.take(&record);
        stream.keep(&record, self.cell_ms);
        stream.record = Some(record);
    }

    /// One line per horizon over all streams.
    pub(crate) fn summary(&self) -> Vec<score::Line> {
        score::summary(self.streams.iter().map(|stream| &stream.score))
    }

    /// Streams in service.
    pub(crate) fn ready(&self) -> usize {
        let ready = |stream: &&Stream| stream.record.as_ref().is_some_and(|record| record.ready);
        self.streams.iter().filter(ready).count()
    }

    /// Share of streams that each expert leads, largest first.
    pub(crate) fn leaders(&self) -> Vec<(&str, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for record in self.streams.iter().filter_map(|stream| stream.record.as_ref()) {
            if record.leader.0.is_empty() {
                continue;
            }
            *counts.entry(&record.leader.0).or_default() += 1;
        }
        let mut leaders: Vec<_> = counts.into_iter().collect();
        leaders.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        leaders
    }

    /// How a stream is doing right now.
    pub(crate) fn mark(&self, stream: &Stream) -> Mark {
        let Some(record) = &stream.record else {
            return Mark::Waiting;
        };
        let interval = if record.interval_ms > 0 {
            record.interval_ms
        } else {
            self.interval_ms
        };
        let silent_ms = self.time_ms - record.origin_ms;
        if silent_ms > 3 * interval.max(1) {
            return Mark::Silent(silent_ms);
        }
        if stream
            .last_flag
            .is_some_and(|(_, before)| stream.taken - before <= SHOWN_READINGS)
        {
            return Mark::Anomaly;
        }
        if !record.ready {
            return if record.status == "stale" {
                Mark::Stale
            } else {
                Mark::Warming(record.ready_in)
            };
        }
        Mark::Fine
    }

    /// How long ago a reading was flagged, where that is worth telling.
    pub(crate) fn odd_ms(&self, stream: &Stream) -> Option<i64> {
        let (flagged_ms, _) = stream.last_flag?;
        Some(self.time_ms - flagged_ms).filter(|ms| *ms <= TOLD_MS)
    }

    /// What the plant knows to be wrong with a stream right now.
    pub(crate) fn fault(&self, stream: &Stream) -> Option<Fault> {
        let truth = self.truth?;
        truth.fault(*self.index.get(&stream.name)?, self.time_ms)
    }

    /// Steps flagged over all streams.
    pub(crate) fn anomalies(&self) -> u64 {
        self.streams.iter().map(|stream| stream.anomalies).sum()
    }

    /// Readings of a stream before the first forecast is judged, as far as the streams so far tell.
    pub(crate) fn readings_needed(&self) -> Option<u64> {
        let needed = |stream: &Stream| {
            let record = stream.record.as_ref().filter(|record| record.interval_ms > 0)?;
            let ready_in = record.ready_in.unwrap_or(0);
            Some(stream.taken + u64::from(ready_in) + u64::from(record.ahead[0].steps))
        };
        self.streams.iter().filter_map(needed).max()
    }
}

/// State of a stream in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing came out yet.
    Waiting,
    /// Steps until it is in service, where known.
    Warming(Option<u32>),
    Fine,
    /// One of the last readings was out of line with what was expected.
    Anomaly,
    /// No reading for so many milliseconds.
    Silent(i64),
    /// A long gap just ended.
    Stale,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::record::{Ahead, Anomaly};
    use super::*;

    /// A board of three streams, 48 h of one-hour cells, with 60 hourly records of the first, a flagged one of the second
    /// and nothing of the third.
    pub(crate) fn board() -> Board {
        let names = ["pump-1/flow", "pump-2/vibration", "tank-9/level"].map(str::to_owned);
        let mut board = Board::new(&names, 3_600_000, 48 * 3_600_000);
        for hour in 0..60_i32 {
            let observed = 50.0 + 10.0 * (f64::from(hour) * std::f64::consts::TAU / 24.0).sin();
            let ahead = [1, 12].map(|steps| Ahead {
                steps,
                low: observed - 4.0,
                mid: observed + 1.0,
                high: observed + 5.0,
            });
            board.take(Event::Forecast(Box::new(Record {
                stream: "pump-1/flow".to_owned(),
                origin_ms: i64::from(hour) * 3_600_000,
                interval_ms: 3_600_000,
                observed,
                ahead: ahead.to_vec(),
                ready: true,
                status: "ready".to_owned(),
                ready_in: None,
                leader: ("network".to_owned(), 0.62),
                model_version: 7,
                anomaly: None,
            })));
        }
        let last = board.streams[0].record.clone().unwrap();
        board.take(Event::Forecast(Box::new(Record {
            stream: "pump-2/vibration".to_owned(),
            anomaly: Some(Anomaly {
                score: 0.98,
                flag: true,
            }),
            leader: ("day".to_owned(), 0.4),
            ..last
        })));
        board.take(Event::Letter("missing".to_owned()));
        board
    }

    #[test]
    fn board_counts_and_marks() {
        let board = board();
        assert_eq!((board.forecasts, board.ready(), board.model_version), (61, 2, 7));
        assert_eq!(board.letters["missing"], 1);
        let marks: Vec<_> = board.streams.iter().map(|stream| board.mark(stream)).collect();
        assert_eq!(marks, [Mark::Fine, Mark::Anomaly, Mark::Waiting]);
        assert_eq!(board.leaders().len(), 2);
    }

    #[test]
    fn board_marks_a_stream_that_fell_silent() {
        let mut board = board();
        let mut later = board.streams[1].record.clone().unwrap();
        later.origin_ms += 5 * 3_600_000;
        board.take(Event::Forecast(Box::new(later)));
        assert_eq!(board.mark(&board.streams[0]), Mark::Silent(5 * 3_600_000));
    }

    #[test]
    fn board_shows_an_anomaly_for_three_readings_of_its_stream() {
        let mut board = board();
        let mut later = board.streams[1].record.clone().unwrap();
        later.anomaly = None;
        let mut marks = Vec::new();
        for _ in 0..3 {
            later.origin_ms += 3_600_000;
            board.take(Event::Forecast(Box::new(later.clone())));
            marks.push(board.mark(&board.streams[1]));
        }
        assert_eq!(marks, [Mark::Anomaly, Mark::Anomaly, Mark::Fine]);
        assert_eq!(board.odd_ms(&board.streams[1]), Some(3 * 3_600_000));
        later.origin_ms += 24 * 3_600_000;
        board.take(Event::Forecast(Box::new(later)));
        assert_eq!(board.odd_ms(&board.streams[1]), None, "a day later it is no news");
        assert_eq!(board.anomalies(), 1);
    }

    #[test]
    fn board_tells_what_the_plant_knows() {
        let mut board = board();
        assert_eq!(board.fault(&board.streams[1]), None, "a file knows nothing");
        let names: Vec<String> = (0..12).map(|sensor| format!("s{sensor}")).collect();
        let record = board.streams[0].record.clone().unwrap();
        board = Board::new(&names, 1, 48);
        board.truth = Some(Schedule {
            from_ms: record.origin_ms,
        });
        board.take(Event::Forecast(Box::new(Record {
            stream: "s0".to_owned(),
            ..record
        })));
        let faults: Vec<_> = board
            .streams
            .iter()
            .filter_map(|stream| board.fault(stream))
            .collect();
        assert_eq!(faults, [Fault::Drifting]);
    }

    #[test]
    fn board_past_is_bounded_and_keeps_gaps() {
        let mut board = board();
        assert_eq!(
            board.streams[0].past(PAST_CELLS, 1).iter().flatten().count(),
            PAST_CELLS
        );
        let mut later = board.streams[0].record.clone().unwrap();
        later.origin_ms += 3 * 3_600_000;
        board.take(Event::Forecast(Box::new(later)));
        let past = board.streams[0].past(6, 1);
        assert_eq!(
            past.iter().map(Option::is_some).collect::<Vec<_>>(),
            [true, true, true, false, false, true]
        );
    }

    #[test]
    fn board_tells_of_streams_that_nobody_fed() {
        let mut board = board();
        let mut foreign = board.streams[0].record.clone().unwrap();
        foreign.stream = "x".to_owned();
        board.take(Event::Forecast(Box::new(foreign)));
        assert_eq!(board.unreadable.0, 1);
    }
}
