//! A backlog beyond what the ladder of degradation allows: training pauses, horizons thin, and both come back.

use std::time::Duration;

use super::oracle::{Allowance, Violation};
use super::processes::held;
use super::rig::{Rig, Settings, Summary};
use crate::broker::Broker;
use crate::broker::daemon::{Daemon, Stopwatch, pass};

/// Records of lag above which training pauses, and above which horizons are left out.
const LAG: (u32, u32) = (400, 1000);
/// Records of each partition that nobody serves.
const BACKLOG: usize = 30_000;

/// What somebody who asks has seen of the ladder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    paused: bool,
    thin: bool,
    paused_by_metric: bool,
    thin_by_metric: bool,
}

impl Said {
    const ALL: Self = Self {
        paused: true,
        thin: true,
        paused_by_metric: true,
        thin_by_metric: true,
    };

    /// As of now; `None` where nobody answers.
    fn by(daemon: &Daemon) -> Option<Self> {
        let (_, body) = daemon.get("/readyz")?;
        let is_on = |name| daemon.metric(name, "").is_some_and(|value| value > 0.0);
        Some(Self {
            paused: body.contains("training is paused"),
            thin: body.contains("horizons are left out"),
            paused_by_metric: is_on("tidecast_training_paused"),
            thin_by_metric: is_on("tidecast_degraded"),
        })
    }

    fn or(self, other: Self) -> Self {
        Self {
            paused: self.paused || other.paused,
            thin: self.thin || other.thin,
            paused_by_metric: self.paused_by_metric || other.paused_by_metric,
            thin_by_metric: self.thin_by_metric || other.thin_by_metric,
        }
    }
}

/// The daemon is stopped while a backlog builds up, says what it leaves out while it works that off, and all comes back.
pub(super) fn lagging(broker: &Broker, seed: u64) -> Result<Summary, Violation> {
    let mut settings = Settings::training(seed, 1);
    settings.recipe.rate = 2500;
    settings.lag = Some(LAG);
    let rig = Rig::start(broker, "lag", settings);
    let trains = |daemon: &Daemon| daemon.metric("tidecast_training_active", "") == Some(1.0);
    let daemon = rig.daemon("a");
    rig.progress()?;
    rig.wait("it trains", || trains(&daemon).then_some(()))?;
    let log = daemon.log();
    let status = daemon.terminate();
    assert!(status.success(), "{status}:\n{log}");
    let fed = || rig.feeder.fed.lock().unwrap().iter().map(Vec::len).min();
    let before = fed();
    rig.wait("a backlog", || {
        (fed() >= before.map(|fed| fed + BACKLOG)).then_some(())
    })?;
    rig.feeder.pause();
    let mark = rig.mark();
    let (since, daemon) = (Stopwatch::start(), rig.daemon("a"));
    let mut said = Said::default();
    rig.wait(
        "it says that training is paused and horizons are left out",
        || {
            // What can be seen is reported once a second: held up like this it still lags then, however fast it is.
            daemon.signal("STOP");
            pass(Duration::from_secs(1));
            daemon.signal("CONT");
            said = said.or(Said::by(&daemon)?);
            (said == Said::ALL).then_some(())
        },
    )?;
    rig.feeder.resume();
    rig.recover("a backlog beyond what is served in full", since, &mark)?;
    rig.feeder.pause();
    rig.wait("all of it comes back", || {
        let (status, body) = daemon.get("/readyz")?;
        let is_whole = status == 200 && !body.contains("warnings") && Said::by(&daemon)? == Said::default();
        (is_whole && trains(&daemon)).then_some(())
    })?;
    let allowance = Allowance {
        thin: true,
        ..Allowance::default()
    };
    rig.finish_allowing(vec![daemon], &allowance)
}

#[test]
fn faults_backlog_is_worked_off_with_less_and_all_comes_back() {
    let summary = held(lagging(Broker::shared(), 76));
    assert!(
        (1..summary.records).contains(&summary.thinned),
        "some were thin, not all: {summary:?}"
    );
}
