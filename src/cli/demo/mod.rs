//! `tidecast demo`: a plant or a file, Kafka, the daemon and a view of its forecasts, in one process.
//!
//! ```text
//! plant | table -> pump -> Kafka -> daemon -> Kafka -> harvest -> board -> screen | plain
//! ```
//! The daemon is the one that `tidecast run` runs, with a config that its own loader has read. The view knows nothing but
//! the records that it reads back.

mod board;
pub(in crate::cli) mod clock;
mod harvest;
mod log;
mod plain;
mod plant;
mod pump;
pub(in crate::cli) mod reading;
mod record;
mod score;
mod screen;
mod setup;
mod show;
mod status;
mod table;
mod terminal;
pub(in crate::cli) mod text;
mod training;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use anyhow::Context as _;

use crate::daemon::Stop;
use crate::kafka::feed::{Feeder, Reader};
use board::Board;
use plant::Plant;
use pump::{Pace, Progress, Pump};
use reading::Readings;
use setup::{Plan, Stage};
use show::Show;
use table::Table;

const DAY_MS: i64 = 86_400_000;
/// Between readings of the simulated plant: with a day's cycle of 288 steps a newcomer sees days pass in seconds.
const PLANT_INTERVAL_MS: i64 = 300_000;
/// Days fed at once before the plant goes live: streams are in service and the daily cycle is known.
const HISTORY_DAYS: i64 = 4;
/// Readings of that history at most, so that many streams are live within seconds too.
const HISTORY_READINGS: i64 = 100_000;
/// Hours of history at least: a stream is in service after a hundred readings.
const HISTORY_HOURS_MIN: i64 = 12;
/// Six hours of the plant per second.
const PLANT_SPEED: f64 = 21_600.0;
/// How long a file plays unless told otherwise.
const TABLE_SECONDS: f64 = 60.0;
/// Time that a demo without end may run before simulated time has caught up with the present.
const OPEN_END_SECONDS: f64 = 3600.0;
/// Batches between reader and view; a full queue makes the reader wait.
const QUEUE: usize = 64;

/// Watch forecasts being made: a broker, a simulated plant and the daemon in one process.
#[derive(Clone, Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Args {
    /// End after so many seconds (without: when q or Ctrl-C is pressed, or the file has ended)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    seconds: Option<u64>,
    /// Sensors of the simulated plant
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=100_000), conflicts_with = "csv")]
    streams: u32,
    /// Simulated seconds per second (default: 6 hours per second; a file plays in 60 s or in --seconds)
    #[arg(long, value_name = "X", value_parser = positive)]
    speed: Option<f64>,
    /// Seed of the simulated plant: the same seed gives the same readings
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "csv")]
    seed: u64,
    /// Real data instead of the plant: `stream,time,value` or `time,<stream>…`; gzip by name
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// A real cluster instead of the embedded broker; makes topics with a name of their own and leaves them there
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    brokers: Vec<String>,
    /// Any key of the config, over what the demo chooses (repeatable)
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Lines instead of the live view, on a terminal too
    #[arg(long)]
    plain: bool,
}

const EXAMPLES: &str = "\
Examples:
  tidecast demo                                   watch a simulated plant; q ends it
  tidecast demo --seconds 30 | cat                lines instead of the live view, a table at the end
  tidecast demo --csv sensors.csv.gz              your own data through the same path
  tidecast demo --brokers 127.0.0.1:9092          on a real Kafka, where exactly-once holds
  tidecast demo --set 'pipeline.plant.model={ cell = \"lstm\", hidden = 32, layers = 1 }'

A CSV file is wide (`time,pump-1,pump-2,…`, one column per stream) or long (`stream,time,value`). The time column is
called time, timestamp, date or datetime. Commas separate; a blank cell is a missing reading. Bad lines are named by line
and column (exit code 65). A time is one of (UTC where no zone is named; seconds may be left out, not in RFC 3339):
  2026-11-24 10:00:00   2026-11-24T10:00:00   2026/11/24 10:00:00   24.11.2026 10:00:00   2026-11-24
  2026-11-24T10:00:00+01:00 (RFC 3339)        seconds or milliseconds since 1970";

fn positive(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    let known = speed.is_finite() && speed >= 0.001;
    known
        .then_some(speed)
        .ok_or_else(|| "give a number of at least 0.001".to_owned())
}

/// What is fed, and what follows from it.
struct Feed {
    readings: Box<dyn Readings>,
    names: Vec<String>,
    what: String,
    /// What to watch for.
    hint: Option<String>,
    /// The plant's own truth about its sensors.
    truth: Option<plant::faults::Schedule>,
    interval_ms: i64,
    pace: Pace,
    plan: Plan,
}

/// Runs the demo until it ends or is ended.
///
/// # Errors
/// A [`BadTable`](crate::cli::table::BadTable) (exit code 65), a refused `--set`, a cluster that is away, or why the daemon ended.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let live = !args.plain && std::io::stdout().is_terminal();
    let notes = log::start(live);
    let mut feed = feed(args)?;
    let mut stage = Stage::start(&feed.plan)?;
    let progress = Progress::default();
    let (quit, feed_stop, stop) = (Stop::new(), Stop::new(), Stop::new());
    let mut board = Board::new(&feed.names, feed.interval_ms, past_ms(feed.interval_ms));
    board.truth = feed.truth;
    let show = Show {
        board,
        what: feed.what,
        hint: feed.hint,
        seconds: args.seconds,
        stage: &stage,
        progress: &progress,
        notes: &notes,
        quit: &quit,
        feed_stop: &feed_stop,
        stop: &stop,
    };
    let shown = play(show, feed.readings.as_mut(), feed.pace, live);
    let ended = stage.finish();
    shown.and(ended)
}

/// Feeds, reads and shows at the same time; all three have ended when it returns.
fn play(mut show: Show<'_>, readings: &mut dyn Readings, pace: Pace, live: bool) -> anyhow::Result<()> {
    let Show {
        stage,
        progress,
        quit,
        feed_stop,
        stop,
        ..
    } = show;
    let topics = &stage.topics;
    let reader = Reader::open(&stage.kafka, &[&topics.forecasts, &topics.dead])?;
    let feeder = Feeder::open(&stage.kafka)?;
    let pump = Pump {
        feeder,
        topic: topics.input.clone(),
        pace,
        underway_max: stage.underway_max,
        progress,
        stop: feed_stop,
    };
    let (sender, events) = mpsc::sync_channel(QUEUE);
    thread::scope(|scope| {
        let halt = StopOnDrop([quit, feed_stop, stop]); // whatever ends the view ends the threads: the scope joins them
        let signals = terminal::signals(quit)?;
        let feeding = thread::Builder::new()
            .name("feed".to_owned())
            .spawn_scoped(scope, move || progress.watch(pump.run(readings)))
            .context("no thread to feed")?;
        let harvest = thread::Builder::new()
            .name("harvest".to_owned())
            .spawn_scoped(scope, move || {
                progress.watch(harvest::run(&reader, &topics.forecasts, progress, &sender, stop))
            })
            .context("no thread to read")?;
        let result = show.run(&events, live);
        drop(halt);
        drop(events); // a reader that waits for room in the queue is let go
        signals.join();
        feeding
            .join()
            .map_err(|_| anyhow::anyhow!("the feeding thread panicked"))?
            .context("feeding")?;
        harvest
            .join()
            .map_err(|_| anyhow::anyhow!("the reading thread panicked"))?
            .context("reading")?;
        result
    })
}

/// Asks for the stop when it goes out of scope.
struct StopOnDrop<'a>([&'a Stop; 3]);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|stop| stop.request());
    }
}

fn feed(args: &Args) -> anyhow::Result<Feed> {
    let plan = Plan {
        brokers: args.brokers.clone(),
        streams: args.streams as usize,
        interval: String::new(),
        horizons: Vec::new(),
        set: args.set.clone(),
    };
    match &args.csv {
        Some(path) => {
            let table = Table::open(path)?;
            let interval_ms = table.interval_ms();
            let (first_ms, last_ms) = table.range_ms();
            let seconds = args
                .seconds
                .map_or(TABLE_SECONDS, |seconds| (seconds as f64 - 4.0).max(1.0));
            let speed = args
                .speed
                .unwrap_or(((last_ms - first_ms) as f64 / 1000.0 / seconds).max(1.0));
            let file = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            let what = format!(
                "{file}: {}, {} readings, one every {}",
                text::plural(table.names().len(), "stream"),
                text::count(table.len() as u64),
                clock::span(interval_ms)
            );
            Ok(Feed {
                names: table.names().to_vec(),
                what,
                hint: None,
                truth: None,
                interval_ms,
                pace: Pace {
                    speed,
                    live_from_ms: first_ms,
                },
                plan: Plan {
                    streams: table.names().len(),
                    interval: "auto".to_owned(),
                    horizons: vec![1, 3, 12, 24],
                    ..plan
                },
                readings: Box::new(table),
            })
        }
        None => Ok(plant(args, plan)),
    }
}

fn plant(args: &Args, plan: Plan) -> Feed {
    let speed = args.speed.unwrap_or(PLANT_SPEED);
    let seconds = args
        .seconds
        .map_or(OPEN_END_SECONDS, |seconds| seconds as f64 + 60.0);
    #[allow(
        clippy::cast_possible_truncation,
        reason = "saturates; centuries are cut below"
    )]
    let live_ms = (seconds * speed * 1000.0).min(40.0 * 365.0 * DAY_MS as f64) as i64;
    // Far enough back that simulated time does not reach the present: Kafka refuses records of the future.
    let start_ms = (clock::wall_ms() - live_ms).div_euclid(DAY_MS) * DAY_MS - (HISTORY_DAYS + 1) * DAY_MS;
    let history_ms = (HISTORY_READINGS / i64::from(args.streams) * PLANT_INTERVAL_MS)
        .clamp(HISTORY_HOURS_MIN * 3_600_000, HISTORY_DAYS * DAY_MS);
    let live_from_ms = start_ms + history_ms;
    let plant = Plant::new(plant::Options {
        seed: args.seed,
        streams: args.streams as usize,
        start_ms,
        interval_ms: PLANT_INTERVAL_MS,
        faults_from_ms: live_from_ms,
    });
    Feed {
        names: plant.names().to_vec(),
        what: format!(
            "a simulated plant with {}, one reading each every 5 min",
            text::plural(args.streams as usize, "sensor")
        ),
        hint: plant::faults::hint(args.streams as usize),
        truth: Some(plant::faults::Schedule {
            from_ms: live_from_ms,
        }),
        interval_ms: PLANT_INTERVAL_MS,
        pace: Pace { speed, live_from_ms },
        plan: Plan {
            interval: "5m".to_owned(),
            horizons: vec![1, 3, 12, 36],
            ..plan
        },
        readings: Box::new(plant),
    }
}

/// What the sparkline looks back on: a day of readings every few minutes, two days of hourly ones, or as many readings as
/// it has cells.
fn past_ms(interval_ms: i64) -> i64 {
    (interval_ms * 48).max(DAY_MS.min(interval_ms * 480))
}
