//! One history from its beginning to its end.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use super::coverage::Coverage;
use super::group::Group;
use super::input::Log;
use super::oracle::Audit;
use super::ports::ROUND;
use super::process::Sim;
use super::rng::Rng;
use super::scenario::Scenario;
use super::step::{Fate, Feed, Step};
use super::store::Store;
use super::transactions::Producer;
use super::world::{Check, Trouble, Violation, World};
use crate::engine::snapshot::{BLOCK_ROWS, ROWS_PER_BLOCK};
use crate::engine::tape::TAPE_CHUNK_ROWS;
use crate::engine::tape::tests_only::ROWS_PER_CHUNK;
use crate::engine::{self, Engine};
use crate::faults;
use crate::series::observation::NextOffset;
use crate::worker::run::TAPE_CUT;

/// Rounds of turns after everything has healed, until a history that is not done is stuck: longer than the longest
/// back-off with every time-out before it.
const ROUNDS_MAX: usize = 600;

/// How a history went.
pub(super) struct Told {
    pub(super) steps: Vec<Step>,
    pub(super) coverage: Coverage,
    pub(super) violation: Option<Violation>,
    pub(super) story: Vec<String>,
}

fn world(scenario: Scenario) -> World {
    let mut rng = Rng::new(scenario.seed ^ 0x10_57);
    let mut logs = BTreeMap::new();
    let mut committed = BTreeMap::new();
    let mut audits = BTreeMap::new();
    for &id in &scenario.partitions {
        let mut log = Log::new(0);
        for _ in 0..scenario.records {
            log.write(id, &mut rng, None);
        }
        let (start, base) = if scenario.warms_up { (4, 2) } else { (0, 0) };
        committed.insert(id, (NextOffset(start), format!("1;{base};")));
        audits.insert((id, 0), Audit::new(start));
        logs.insert(id, log);
    }
    let instances = scenario.instances;
    let engine = engine::Config {
        tape_share: 0.0,
        ..scenario.config.engine.clone()
    };
    World {
        engine: Some(Box::new(Engine::new(engine))),
        sampler: Rng::new(scenario.seed ^ 0x57a7),
        scenario,
        now: Duration::from_secs(100),
        logs,
        old_logs: BTreeMap::new(),
        of_another_log: BTreeMap::new(),
        fates: Vec::new(),
        committed,
        producers: (0..instances).map(|_| Producer::default()).collect(),
        group: Group::default(),
        store: Store::default(),
        processes: Vec::new(),
        newest: 1,
        trouble: Trouble::default(),
        healed: false,
        audits,
        coverage: Coverage::default(),
        violation: None,
        judged: 0,
        excused: false,
        story: None,
        commits: 0,
    }
}

/// The history of a seed, or the one of `steps` over that seed's world.
pub(super) fn run(seed: u64, steps: Option<Vec<Step>>) -> Told {
    play(seed, steps, false)
}

/// The same, told in words.
pub(super) fn play(seed: u64, steps: Option<Vec<Step>>, aloud: bool) -> Told {
    // A partition of this simulation has three to five rows.
    ROWS_PER_BLOCK.set(2);
    // A turn of this simulation has two to eight readings.
    ROWS_PER_CHUNK.set(3);
    let scenario = Scenario::new(seed);
    let instances = scenario.instances;
    let feed = match steps {
        Some(steps) => Feed::Recorded(VecDeque::from(steps)),
        None => Feed::Fresh {
            rng: Rng::new(seed ^ 0x57e9),
            left: scenario.steps,
            made: Vec::new(),
        },
    };
    let mut world = world(scenario);
    world.story = aloud.then(Vec::new);
    let sim = Sim::new(world, feed);
    for instance in 0..instances {
        sim.start(instance);
    }
    while sim.step() {}
    if sim.world.borrow().violation.is_none() {
        settle(&sim);
    }
    faults::visit(None);
    sim.workers.borrow_mut().clear();
    ROWS_PER_BLOCK.set(BLOCK_ROWS);
    ROWS_PER_CHUNK.set(TAPE_CHUNK_ROWS);
    let steps = match &mut *sim.feed.borrow_mut() {
        Feed::Fresh { made, .. } => std::mem::take(made),
        Feed::Recorded(_) => Vec::new(),
    };
    let mut world = sim.world.borrow_mut();
    Told {
        steps,
        coverage: std::mem::take(&mut world.coverage),
        violation: world.violation.take(),
        story: world.story.take().unwrap_or_default(),
    }
}

/// Everything heals; from there on it has to come to an end by itself.
fn settle(sim: &Rc<Sim>) {
    sim.world.borrow_mut().tell(|| "everything heals".to_owned());
    sim.world.borrow_mut().heal();
    restart_parked(sim);
    for round in 0..ROUNDS_MAX {
        {
            let world = sim.world.borrow();
            if world.violation.is_some() || (world.is_done() && round > 0) {
                break;
            }
        }
        revive(sim);
        let pids: Vec<_> = sim.workers.borrow().keys().copied().collect();
        for pid in pids {
            sim.turn(pid, u32::try_from(round).unwrap_or(0), Fate::Whole);
        }
        sim.world.borrow_mut().arrive();
        sim.pass(ROUND);
    }
    look_at_tapes(sim);
    let mut world = sim.world.borrow_mut();
    if world.violation.is_none() && !world.is_done() {
        let text = tell_stuck(&world);
        world.violate(Check::Stuck, text);
    }
}

/// Once what is not full was passed on, too.
fn look_at_tapes(sim: &Rc<Sim>) {
    let ended = {
        let world = sim.world.borrow();
        world.violation.is_none() && world.is_done()
    };
    if !ended {
        return;
    }
    sim.pass(TAPE_CUT + ROUND);
    let since = sim.world.borrow().now;
    let pids: Vec<_> = sim.workers.borrow().keys().copied().collect();
    for pid in pids {
        sim.turn(pid, 0, Fate::Whole);
    }
    sim.world.borrow_mut().judge_tapes(since);
}

fn tell_stuck(world: &World) -> String {
    let mut text = String::new();
    for id in world.ids() {
        let next = world
            .committed
            .get(&id)
            .map(|entry| (entry.0.0, entry.1.as_str()));
        write!(text, "{id:?}: committed {next:?}, ends {:?}; ", world.ends(id)).expect("a string takes all");
    }
    write!(text, "{:?}", world.group).expect("a string takes all");
    for (pid, process) in world.processes.iter().enumerate().filter(|entry| entry.1.alive) {
        let (phases, trouble) = (&process.phases, &process.trouble);
        let client = &process.client;
        write!(text, "\n  process {pid}: {phases:?}, {trouble:?}, {client:?}").expect("a string takes all");
    }
    text
}

/// Every instance runs, once.
fn revive(sim: &Rc<Sim>) {
    let instances = sim.world.borrow().scenario.instances;
    for instance in 0..instances {
        let lives = {
            let world = sim.world.borrow();
            world
                .processes
                .iter()
                .any(|process| process.alive && process.instance == instance)
        };
        if !lives {
            sim.start(instance);
        }
    }
}

/// An operator looks at what is parked: the cause is mended by now, or the offset has to be set.
fn restart_parked(sim: &Rc<Sim>) {
    let parked: Vec<_> = {
        let world = sim.world.borrow();
        let of = |(pid, process): (usize, &super::world::Process)| {
            (process.alive && !process.parked.is_empty()).then_some(pid)
        };
        world.processes.iter().enumerate().filter_map(of).collect()
    };
    let beyond: Vec<_> = {
        let world = sim.world.borrow();
        let is_beyond = |id: &_| {
            let end = world.ends(*id).1;
            let beyond = world.committed.get(id).is_some_and(|entry| entry.0.0 > end);
            beyond || world.of_another_log.contains_key(id) || world.is_new(*id)
        };
        world.ids().into_iter().filter(is_beyond).collect()
    };
    // One that has not heard yet that records are lost would still commit what it made of them.
    let deaf: Vec<_> = {
        let world = sim.world.borrow();
        let of = |(pid, process): (usize, &super::world::Process)| {
            (process.alive && !process.client.recreated.is_empty()).then_some(pid)
        };
        world.processes.iter().enumerate().filter_map(of).collect()
    };
    for pid in parked.into_iter().chain(deaf) {
        sim.kill_idle(pid);
    }
    if beyond.is_empty() {
        return;
    }
    sim.kill_all();
    let mut world = sim.world.borrow_mut();
    world.disband();
    for id in beyond {
        let start = world.ends(id).0;
        world.set_offset(id, start, false);
    }
}
