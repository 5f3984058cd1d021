//! Processes: what their calls run into, and how they end.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::coverage::Cover;
use super::ports::{SimClock, SimModels, SimObserver};
use super::rng::Rng;
use super::sink::SimSink;
use super::source::SimSource;
use super::step::{Blow, Fate, Feed, Stage, Step};
use super::store::{Handle, SimSnapshots};
use super::tape::{SimTape, Taped};
use super::world::{Check, Client, Pid, Process, SESSION, World};
use crate::faults::{self, Point};
use crate::worker::{Ports, Worker};

pub(super) type SimWorker =
    Worker<SimSource, SimSink, SimModels, SimSnapshots, SimTape, SimClock, SimObserver>;

/// What unwinds out of a process that is killed.
struct Killed;

/// How deep processes may be stopped within each other's calls.
const DEPTH_MAX: usize = 3;

/// The world with the workers in it.
pub(super) struct Sim {
    pub(super) world: RefCell<World>,
    pub(super) workers: RefCell<BTreeMap<Pid, Option<SimWorker>>>,
    pub(super) feed: RefCell<Feed>,
    /// Whose turn it is, the innermost last.
    pub(super) running: RefCell<Vec<Pid>>,
    pub(super) depth: Cell<usize>,
}

impl Sim {
    pub(super) fn new(world: World, feed: Feed) -> Rc<Self> {
        let sim = Rc::new(Self {
            world: RefCell::new(world),
            workers: RefCell::default(),
            feed: RefCell::new(feed),
            running: RefCell::default(),
            depth: Cell::new(0),
        });
        let visited = Rc::downgrade(&sim);
        faults::visit(Some(Box::new(move |at| {
            if let Some(sim) = visited.upgrade() {
                sim.visit(at);
            }
        })));
        sim
    }

    /// A new process of an instance.
    pub(super) fn start(self: &Rc<Self>, instance: usize) -> Pid {
        let (pid, config) = {
            let mut world = self.world.borrow_mut();
            let pid = world.processes.len();
            let process = Process {
                instance,
                alive: true,
                suspended: false,
                fate: Fate::Whole,
                calls: 0,
                points: 0,
                last_call: world.now,
                rng: Rng::new(world.scenario.seed ^ ((pid as u64) << 32)),
                client: Client::default(),
                epoch: None,
                newest: world.newest,
                answers: VecDeque::new(),
                loads: VecDeque::new(),
                snapshots: Handle::default(),
                seen_ends: BTreeMap::new(),
                opened: BTreeMap::new(),
                told: 0,
                heard: 0,
                parked: BTreeSet::new(),
                phases: BTreeMap::new(),
                trouble: None,
                lost_told: BTreeMap::new(),
                lost_due: BTreeSet::new(),
                taped: Taped::new(world.scenario.seed ^ pid as u64),
            };
            world.processes.push(process);
            (pid, world.scenario.config.clone())
        };
        let sim = || Rc::clone(self);
        let ports = Ports {
            source: SimSource { sim: sim(), pid },
            sink: SimSink { sim: sim(), pid },
            models: SimModels { sim: sim(), pid },
            snapshots: SimSnapshots { sim: sim(), pid },
            tape: SimTape {
                sim: sim(),
                pid,
                spare: Vec::new(),
            },
            clock: SimClock { sim: sim() },
            observer: SimObserver { sim: sim(), pid },
        };
        let worker = Worker::new(config, ports);
        self.tell(|| format!("process {pid} of instance {instance} starts"));
        self.workers.borrow_mut().insert(pid, Some(worker));
        pid
    }

    pub(super) fn tell(&self, sentence: impl FnOnce() -> String) {
        self.world.borrow_mut().tell(sentence);
    }

    pub(super) fn is_dead(&self, pid: Pid) -> bool {
        !self.world.borrow().processes[pid].alive
    }

    /// At the beginning of a call: it may be the process' last one, or be to fail. Whether it is to fail.
    pub(super) fn enter(self: &Rc<Self>, pid: Pid) -> bool {
        self.run_into(pid, None)
    }

    /// The same, of a commit that has come to a stage.
    pub(super) fn enter_stage(self: &Rc<Self>, pid: Pid, stage: Stage) -> bool {
        self.run_into(pid, Some(stage))
    }

    fn run_into(self: &Rc<Self>, pid: Pid, stage: Option<Stage>) -> bool {
        let blow = {
            let mut world = self.world.borrow_mut();
            let now = world.now;
            let process = &mut world.processes[pid];
            if !process.alive {
                return true;
            }
            process.last_call = now;
            process.calls += 1;
            process.fate.blow(process.calls, stage)
        };
        match blow {
            Blow::None => false,
            Blow::Fail => {
                let mut world = self.world.borrow_mut();
                world.processes[pid].fate = Fate::Whole;
                world.cover(Cover::CallFailed);
                true
            }
            Blow::Kill => self.kill_running(pid),
            Blow::Suspend(steps) => {
                self.suspend(pid, steps);
                self.is_dead(pid)
            }
        }
    }

    fn suspend(self: &Rc<Self>, pid: Pid, steps: usize) {
        if self.depth.get() >= DEPTH_MAX {
            return;
        }
        self.depth.set(self.depth.get() + 1);
        {
            let mut world = self.world.borrow_mut();
            world.tell(|| format!("process {pid} is suspended"));
            world.processes[pid].suspended = true;
            world.cover(Cover::Suspended);
        }
        if steps.is_multiple_of(2) {
            self.pass(SESSION + Duration::from_secs(1));
        }
        for _ in 0..steps {
            if !self.step() {
                break;
            }
        }
        {
            let mut world = self.world.borrow_mut();
            let now = world.now;
            let process = &mut world.processes[pid];
            process.suspended = false;
            process.last_call = now;
            process.fate = Fate::Whole;
            world.tell(|| format!("process {pid} goes on"));
        }
        self.depth.set(self.depth.get() - 1);
    }

    fn visit(&self, at: Point) {
        let Some(pid) = self.running.borrow().last().copied() else {
            return;
        };
        let kills = {
            let mut world = self.world.borrow_mut();
            let process = &mut world.processes[pid];
            match process.fate {
                Fate::CrashAtPoint(point, times) if point == at && process.alive => {
                    process.points += 1;
                    process.points == times
                }
                _ => false,
            }
        };
        if kills {
            {
                let mut world = self.world.borrow_mut();
                world.cover(Cover::CrashAtPoint);
                world.coverage.note_kill(at);
            }
            self.kill_running(pid);
        }
    }

    /// Ends a process in the middle of its turn.
    fn kill_running(&self, pid: Pid) -> ! {
        self.kill(pid);
        std::panic::resume_unwind(Box::new(Killed));
    }

    /// From here on nothing that the process does has an effect.
    pub(super) fn kill(&self, pid: Pid) {
        let mut world = self.world.borrow_mut();
        if !world.processes[pid].alive {
            return;
        }
        world.tell(|| format!("process {pid} is killed"));
        world.cover(Cover::Crash);
        if world.has_open(pid) {
            world.cover(Cover::CrashWithOpenTransaction);
        }
        world.kill_writer(pid);
        world.processes[pid].alive = false;
    }

    /// The next step, if there is one.
    pub(super) fn step(self: &Rc<Self>) -> bool {
        if self.world.borrow().violation.is_some() {
            return false;
        }
        let instances = self.world.borrow().scenario.instances;
        let next = self.feed.borrow_mut().next(instances);
        let Some(step) = next else { return false };
        self.world.borrow_mut().cover(Cover::Event);
        self.tell(|| format!("- {step:?}"));
        self.apply(step);
        true
    }

    /// Living processes that are not in the middle of a turn.
    fn idle(&self) -> Vec<Pid> {
        let workers = self.workers.borrow();
        workers
            .iter()
            .filter(|(_, worker)| worker.is_some())
            .map(|(&pid, _)| pid)
            .collect()
    }

    fn prepare(&self, pid: Pid, seed: u32, fate: Fate) {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let process = &mut world.processes[pid];
        process.fate = fate;
        process.calls = 0;
        process.points = 0;
        process.last_call = now;
        process.rng = Rng::new(u64::from(seed));
    }

    /// One turn of a process that is not in the middle of one.
    pub(super) fn turn(self: &Rc<Self>, pid: Pid, seed: u32, fate: Fate) {
        let taken = self.workers.borrow_mut().get_mut(&pid).and_then(Option::take);
        let Some(mut worker) = taken else { return };
        self.prepare(pid, seed, fate);
        self.running.borrow_mut().push(pid);
        let turned = worker.guarded_turn();
        self.running.borrow_mut().pop();
        if self.is_dead(pid) {
            drop(worker);
            self.workers.borrow_mut().remove(&pid);
        } else if let Err(error) = turned {
            self.world.borrow_mut().note_end(pid, &error);
            drop(worker);
            self.end(pid);
        } else {
            self.world.borrow_mut().compare_states(pid, &worker);
            self.workers.borrow_mut().insert(pid, Some(worker));
        }
    }

    fn end(&self, pid: Pid) {
        self.workers.borrow_mut().remove(&pid);
        self.world.borrow_mut().processes[pid].alive = false;
    }

    /// Asks a process to stop: it commits and leaves its clients, if it comes to that.
    pub(super) fn stop(self: &Rc<Self>, pid: Pid, fate: Fate) {
        let taken = self.workers.borrow_mut().get_mut(&pid).and_then(Option::take);
        let Some(worker) = taken else { return };
        self.prepare(pid, u32::try_from(pid).unwrap_or(0), fate);
        self.running.borrow_mut().push(pid);
        let stop = AtomicBool::new(true);
        let stopped = catch_unwind(AssertUnwindSafe(|| worker.run(&stop)));
        self.running.borrow_mut().pop();
        {
            let mut world = self.world.borrow_mut();
            match stopped {
                Ok(Ok(())) => world.cover(Cover::Stopped),
                Ok(Err(error)) => world.note_end(pid, &error),
                Err(panic) if panic.is::<Killed>() => {}
                Err(_) => world.violate(Check::Panic, format!("process {pid} panicked while it stopped")),
            }
        }
        self.end(pid);
    }

    /// The so many-th of the idle processes.
    pub(super) fn nth(&self, place: usize) -> Option<Pid> {
        let idle = self.idle();
        (!idle.is_empty()).then(|| idle[place % idle.len()])
    }

    pub(super) fn kill_idle(&self, pid: Pid) {
        self.kill(pid);
        let worker = self.workers.borrow_mut().remove(&pid);
        drop(worker);
    }

    /// Nobody runs any more.
    pub(super) fn kill_all(&self) {
        for pid in self.idle() {
            self.kill_idle(pid);
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&self, time: Duration) {
        self.world.borrow_mut().pass(time);
    }

    pub(super) fn apply(self: &Rc<Self>, step: Step) {
        match step {
            Step::Turn { process, seed, fate } => {
                if let Some(pid) = self.nth(process) {
                    self.turn(pid, seed, fate);
                }
            }
            Step::Start { instance } => self.start_beside(instance),
            Step::Stop { process, fate } => {
                if let Some(pid) = self.nth(process) {
                    self.stop(pid, fate);
                }
            }
            Step::Kill { process } => {
                if let Some(pid) = self.nth(process) {
                    self.kill_idle(pid);
                }
            }
            Step::Reset { .. } | Step::Recreate { .. } => {
                self.kill_all();
                if self.running.borrow().is_empty() {
                    let mut world = self.world.borrow_mut();
                    world.disband();
                    world.operate(step);
                }
            }
            _ => self.world.borrow_mut().happen(step),
        }
    }

    /// A twin beside a living process is rarer than a restart of one that ended.
    fn start_beside(self: &Rc<Self>, instance: usize) {
        let (living, twin) = {
            let world = self.world.borrow();
            let of = |process: &&Process| process.alive && process.instance == instance;
            (
                world.processes.iter().filter(of).count(),
                world.processes.len().is_multiple_of(3),
            )
        };
        if living == 0 || (living == 1 && twin) {
            self.start(instance);
        }
    }
}
