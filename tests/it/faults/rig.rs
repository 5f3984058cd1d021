//! One pipeline under faults: topics, a feed that never waits for anybody, a reader that never trusts anybody, and the
//! processes in between.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use super::feed::{Feeder, Recipe};
use super::observer::{COMMITTED, Mark, Observer, Seen, Topic, UNCOMMITTED, ends, read_again};
use super::oracle::{Allowance, Check, Oracle, Span, Violation, as_sent};
use crate::broker::daemon::{Daemon, Stopwatch, Surroundings, pass};
use crate::broker::{Broker, Names, sections};

/// What a rig is made with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) partitions: i32,
    pub(crate) recipe: Recipe,
    pub(crate) commit_ms: u32,
    pub(crate) session_ms: u32,
    pub(crate) transaction_ms: u32,
    /// Lags in records above which training pauses, and horizons are left out; where they are not the default ones.
    pub(crate) lag: Option<(u32, u32)>,
    /// Whether versions of the weights come and go, one of them every so many seconds at most.
    pub(crate) publish_s: Option<u32>,
    /// Where the daemons find the broker, if elsewhere than the test.
    pub(crate) servers: Option<String>,
    /// A mechanism that is switched off, of builds that can.
    pub(crate) off: Option<String>,
    /// Longest wait for anything.
    pub(crate) patience: Duration,
}

impl Settings {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            partitions: 3,
            recipe: Recipe {
                seed,
                streams: 8,
                rate: 80,
                nulls: true,
                refused_percent: 3,
                jump_minutes: 0,
                shift_ms: 0,
                strangers_percent: 0,
            },
            commit_ms: 300,
            session_ms: 3000,
            transaction_ms: 6000,
            lag: None,
            publish_s: None,
            servers: None,
            off: None,
            patience: Duration::from_secs(120),
        }
    }

    /// The same with weights that learn, and of which a version is published every so many seconds. Of 64 of them those that
    /// are named nowhere are deleted: no more may serve in a scenario, or the oracle has not all of them.
    pub(crate) fn training(seed: u64, publish_s: u32) -> Self {
        let mut settings = Self::new(seed);
        settings.publish_s = Some(publish_s);
        settings.recipe.nulls = false; // nobody outside knows which version took their steps
        settings
    }
}

/// What a rig has shown, once everything was judged.
#[derive(Debug)]
#[allow(dead_code, reason = "printed; without the feature `faults` nobody asks")]
pub(crate) struct Summary {
    /// Forecasts and dead letters.
    pub(crate) records: usize,
    /// Versions of the weights that served.
    pub(crate) versions: usize,
    /// Input records whose forecasts leave horizons out.
    pub(crate) thinned: usize,
}

/// See the [module](self).
pub(crate) struct Rig<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) names: Names,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) settings: Settings,
    pub(crate) feeder: Feeder,
    pub(crate) observer: Observer,
    /// What was survived, and in what time.
    rows: RefCell<Vec<(String, Duration)>>,
}

impl<'a> Rig<'a> {
    /// Topics, feeder and observer; no daemon yet.
    pub(crate) fn start(broker: &'a Broker, prefix: &str, settings: Settings) -> Self {
        let names = Names::made(broker, prefix, settings.partitions);
        let partitions = u8::try_from(settings.partitions).unwrap();
        println!("{}: seed {}", names.group, settings.recipe.seed);
        Self {
            observer: Observer::start(&broker.servers, &names, settings.partitions),
            feeder: Feeder::start(&broker.servers, &names.input, partitions, settings.recipe),
            dir: tempfile::tempdir().unwrap(),
            rows: RefCell::default(),
            broker,
            names,
            settings,
        }
    }

    /// Config of an instance.
    pub(crate) fn text(&self, instance: &str) -> String {
        let Settings {
            commit_ms,
            session_ms,
            transaction_ms,
            publish_s,
            ..
        } = self.settings;
        let servers = self.settings.servers.as_ref().unwrap_or(&self.broker.servers);
        let servers = servers.replace(',', "\", \"");
        let kafka = format!(
            r#"commit_interval_ms = {commit_ms}
client = {{ "session.timeout.ms" = "{session_ms}", "heartbeat.interval.ms" = "500", "transaction.timeout.ms" = "{transaction_ms}", "topic.metadata.refresh.interval.ms" = "1000", "socket.timeout.ms" = "6000" }}"#
        );
        let sections = sections(&servers, &self.names.group, instance, &kafka);
        let Names {
            input,
            forecasts,
            letters,
            ..
        } = &self.names;
        let (share, publish_s) = (u8::from(publish_s.is_some()), publish_s.unwrap_or(1));
        // Where strangers come there is room for those that were there before.
        let streams_max = match self.settings.recipe.strangers_percent {
            0 => 100_000,
            _ => self.settings.recipe.streams,
        };
        let (pause, thin) = self.settings.lag.unwrap_or((10_000, 100_000));
        format!(
            r#"{sections}snapshot_interval_s = 1
keep = 3
[training]
cpu_share = {share}
publish_interval_s = {publish_s}
lag_pause = {pause}
[pipeline.plant]
input = {{ topics = ["{input}"], format = "json", id = "id", time = "t", values = ["v"], start = "earliest" }}
output = {{ topic = "{forecasts}", start_when = "always", lag_thin = {thin} }}
dead_letter = {{ topic = "{letters}", drops = true }}
streams_max = {streams_max}
interval = "1m"
seasons = [12]
horizons = [1, 2, 6]
model = {{ cell = "gru", hidden = 16, layers = 1 }}
train = {{ chunk = 8, batch = 8 }}
"#
        )
    }

    pub(crate) fn daemon(&self, instance: &str) -> Daemon {
        self.daemon_in(instance, Surroundings::default())
    }

    pub(crate) fn daemon_in(&self, instance: &str, surroundings: Surroundings<'_>) -> Daemon {
        let off = self.settings.off.as_deref().map(|off| ("TIDECAST_OFF", off));
        let variables: Vec<_> = surroundings.variables.iter().copied().chain(off).collect();
        let surroundings = Surroundings {
            variables: &variables,
            ..surroundings
        };
        Daemon::start_in(self.dir.path(), &self.text(instance), surroundings)
    }

    /// Folder of the pipeline in the store.
    pub(crate) fn folder(&self) -> PathBuf {
        self.dir
            .path()
            .join("store")
            .join(&self.names.group)
            .join("plant")
    }

    /// Where what is taken out of the store can be put for the oracle.
    pub(crate) fn kept(&self) -> PathBuf {
        self.dir.path().join("kept").join(&self.names.group).join("plant")
    }

    /// The last lines of every process, for whoever reads why it failed; `TIDECAST_FAULTS_LOGS` names a folder for all of
    /// them.
    fn tell(&self) {
        let files = std::fs::read_dir(self.dir.path()).unwrap().flatten();
        let mut logs: Vec<_> = files
            .map(|file| file.path())
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("log-"))
            })
            .collect();
        logs.sort();
        if let Some(folder) = std::env::var_os("TIDECAST_FAULTS_LOGS") {
            let folder = PathBuf::from(folder).join(&self.names.group);
            std::fs::create_dir_all(&folder).unwrap();
            for path in &logs {
                std::fs::copy(path, folder.join(path.file_name().unwrap())).unwrap();
            }
            self.broker.keep(&folder);
        }
        for path in logs.iter().rev().take(3).rev() {
            let log = std::fs::read_to_string(path).unwrap_or_default();
            println!("--- {} (its last lines)", path.display());
            let tail: Vec<_> = log.lines().rev().take(30).collect();
            tail.iter().rev().for_each(|line| println!("{line}"));
        }
    }

    /// Says whether what was seen is still there: else the broker has shown what was not committed.
    fn look_again(&self) {
        let partitions = self.feeder.fed.lock().unwrap().len() as i32;
        // Taken first: it goes on growing.
        let live = self.observer.with_seen(Seen::clone);
        match read_again(&self.broker.servers, &self.names, (partitions, COMMITTED)) {
            Ok(again) => match reconcile(live, again) {
                Ok(_) => println!("everything that was seen is still there"),
                Err(violation) => println!("{violation}"),
            },
            Err(error) => println!("the topics cannot be read again: {error}"),
        }
    }

    /// Waits for something that ends in `patience`, unless the reader sees a promise broken before.
    pub(crate) fn wait<T>(&self, what: &str, mut ready: impl FnMut() -> Option<T>) -> Result<T, Violation> {
        let clock = Stopwatch::start();
        loop {
            if let Some(violation) = self.observer.violation() {
                self.tell();
                self.look_again();
                return Err(violation);
            }
            if let Some(value) = ready() {
                return Ok(value);
            }
            if clock.elapsed() > self.settings.patience {
                self.tell();
                let now = self.observer.outcomes();
                let text = format!(
                    "not within {:?}, at {now} outcomes: {what}",
                    self.settings.patience
                );
                return Err(Violation::new(Check::Stuck, text));
            }
            pass(Duration::from_millis(50));
        }
    }

    /// Everything fed from here on is new.
    pub(crate) fn mark(&self) -> Mark {
        let fed = self.feeder.fed.lock().unwrap();
        Mark(fed.iter().map(|records| records.len() as i64).collect())
    }

    /// Waits for a first forecast of something that was fed behind the mark, and notes how long it took since the end of a fault.
    pub(crate) fn recover(&self, fault: &str, since: Stopwatch, mark: &Mark) -> Result<(), Violation> {
        let what = format!("a forecast after: {fault}");
        self.wait(&what, || self.observer.is_past(mark).then_some(()))?;
        self.rows.borrow_mut().push((fault.to_owned(), since.elapsed()));
        Ok(())
    }

    /// Waits until newer weights serve than this version.
    pub(crate) fn switched_from(&self, version: u64) -> Result<(), Violation> {
        let what = format!("newer weights than version {version} serve");
        self.wait(&what, || (self.observer.version() > version).then_some(()))
    }

    /// Feeds the input topic, which was made anew, from the beginning, each record a moment later than the old one in its
    /// place; what was fed and seen before is forgotten.
    pub(crate) fn feed_anew(&mut self) {
        self.settings.recipe.shift_ms += 7;
        let partitions = u8::try_from(self.settings.partitions).unwrap();
        let (servers, input) = (&self.broker.servers, &self.names.input);
        self.feeder = Feeder::start(servers, input, partitions, self.settings.recipe);
        self.observer.read_anew();
    }

    /// Waits for a forecast of something that is fed from now on.
    pub(crate) fn progress(&self) -> Result<(), Violation> {
        let mark = self.mark();
        self.wait("a forecast", || self.observer.is_past(&mark).then_some(()))
    }

    /// Whether records lie in a transaction that nobody is about to end; those of others may come after them.
    pub(crate) fn is_open(&self, others: bool) -> bool {
        let ends = |isolation| {
            ends(
                &self.broker.servers,
                &self.names,
                (self.settings.partitions, isolation),
            )
        };
        let look = || (ends(COMMITTED), ends(UNCOMMITTED));
        let before = look();
        // Longer than a commit interval and the commit take.
        pass(Duration::from_millis(u64::from(self.settings.commit_ms) + 200));
        let after = look();
        (0..before.0.len()).any(|partition| {
            let at = |ends: &(Vec<i64>, Vec<i64>)| (ends.0[partition], ends.1[partition]);
            let ((committed, published), now) = (at(&before), at(&after));
            committed < published && now.0 == committed && (others || now.1 == published)
        })
    }

    /// Pauses the feed and waits until everything fed has its outcomes.
    pub(crate) fn settle(&self, allowance: &Allowance) -> Result<(), Violation> {
        self.feeder.pause();
        self.wait("everything fed is in the input topic", || {
            self.wanted(allowance).map(drop)
        })?;
        self.wait("everything fed has its outcomes", || {
            let wanted = self.wanted(allowance)?;
            (self.observer.outcomes() >= wanted).then_some(())
        })
    }

    /// Outcomes that there must be of what is in the input topic; `None` until all that was sent was seen there.
    fn wanted(&self, allowance: &Allowance) -> Option<usize> {
        let fed = self.feeder.fed.lock().unwrap();
        // Only where nothing is sent twice: there offsets are indices.
        let of = |span: &Span| {
            let records = &fed[span.partition as usize][span.from as usize..span.to as usize];
            records
                .iter()
                .map(|message| message.outcomes.len())
                .sum::<usize>()
        };
        let repeated: usize = allowance.repeated.iter().map(of).sum();
        let without = allowance.lost.iter().chain(&allowance.muted);
        let without: usize = without.map(of).sum();
        let mut all = 0;
        for (partition, sent) in (0..).zip(&*fed) {
            let there = self.observer.with_seen(|seen| {
                let records = seen.records.get(&(Topic::Input, partition))?;
                let there = as_sent(records, sent, partition).ok()?;
                Some(
                    there
                        .iter()
                        .map(|(message, _)| message.outcomes.len())
                        .sum::<usize>(),
                )
            });
            all += there?;
        }
        Some(all + repeated - without)
    }

    /// Everything fed is served, the daemons end, and everything is judged.
    pub(crate) fn finish(self, daemons: Vec<Daemon>) -> Result<Summary, Violation> {
        self.finish_allowing(daemons, &Allowance::default())
    }

    /// The same, where somebody did something on purpose.
    pub(crate) fn finish_allowing(
        self,
        daemons: Vec<Daemon>,
        allowance: &Allowance,
    ) -> Result<Summary, Violation> {
        self.settle(allowance)?;
        let config = daemons.first().map(|daemon| daemon.config.clone());
        let config = config.expect("a daemon serves at the end");
        for daemon in daemons {
            let log = daemon.log();
            let status = daemon.terminate();
            assert!(status.success(), "{status}:\n{log}");
        }
        let Self {
            broker,
            names,
            feeder,
            observer,
            rows,
            dir,
            settings: _,
        } = self;
        let fed = feeder.fed.lock().unwrap().clone();
        drop(feeder);
        let (live, violation) = observer.finish();
        if let Some(violation) = violation {
            return Err(violation);
        }
        let partitions = i32::try_from(fed.len()).unwrap();
        let seen = reconcile(
            live,
            read_again(&broker.servers, &names, (partitions, COMMITTED)).unwrap(),
        )?;
        let judged = Oracle::new(&names, &config, dir.path()).judge(&seen, &fed, allowance)?;
        drop(dir);
        let records = seen.outcomes();
        let published = read_again(&broker.servers, &names, (partitions, UNCOMMITTED)).unwrap();
        let aborted = published.without_gone(&seen).outcomes() - records;
        for (fault, recovery) in rows.into_inner() {
            println!(
                "fault: {fault}: ok, recovered in {:.1} s, {records} records, {aborted} aborted",
                recovery.as_secs_f64()
            );
        }
        Ok(Summary {
            records,
            versions: judged.versions,
            thinned: judged.thinned,
        })
    }
}

/// What was seen live must be there again, the same; there may be more by now.
fn reconcile(mut live: Seen, again: Seen) -> Result<Seen, Violation> {
    let again = again.without_gone(&live);
    for (&(topic, partition), records) in &live.records {
        if topic == Topic::Input {
            continue;
        }
        let now = again
            .records
            .get(&(topic, partition))
            .map_or(&[][..], |now| &now[..]);
        if !now.starts_with(records) {
            let at = records.iter().zip(now).position(|(before, now)| before != now);
            let text = format!("{topic:?}/{partition}: record {at:?} of those seen live is another now");
            return Err(Violation::new(Check::Changed, text));
        }
    }
    live.records.extend(again.records);
    Ok(live)
}
