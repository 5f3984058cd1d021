//! Who is stuck. Time is a parameter.

use std::time::Duration;

use crate::daemon::board::Board;
use crate::worker::ports::Activity;

/// A worker that gave no sign of life for longer than its activity may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// `worker plant/0 is in a commit`.
    pub what: String,
    /// Since its last sign of life.
    pub silence: Duration,
    /// Whether the process should end: it does not come back.
    pub hopeless: bool,
}

/// How long a sign of life may stay away. Each blocking call has its own time-out below these, and a client's call that
/// overstays it (librdkafka#5456) is left by its worker; what still is silent beyond them is mended by a new process only.
/// Too small: a slow disk or broker ends a healthy process. Too large: an instance is deaf for longer than its group waits
/// for it.
#[must_use]
pub const fn limit(activity: Activity) -> Duration {
    Duration::from_secs(match activity {
        Activity::Turn => 30, // a turn ends within a second; a page fault storm or a suspended machine may stretch it
        Activity::Committing => 60, // 15 s for all of it, of which a stop leaves 5
        // Several questions, 82 s at the most; a producer gives a sign of life before each of its own.
        Activity::Connecting | Activity::Restoring => 90,
        Activity::Closing => 60,
    })
}

/// Beyond the limit for as long again, the process ends itself where no service manager does it.
fn doing(activity: Activity) -> &'static str {
    match activity {
        Activity::Turn => "in a turn",
        Activity::Committing => "in a commit",
        Activity::Connecting => "connecting its producer",
        Activity::Restoring => "restoring a partition",
        Activity::Closing => "closing its clients",
    }
}

/// Every worker that is stuck at `now`; the service manager's watchdog is fed while there is none.
#[must_use]
pub fn stalls(board: &Board, now: Duration) -> Vec<Stall> {
    let mut stalls = Vec::new();
    for pipeline in &board.pipelines {
        for (index, worker) in pipeline.workers.iter().enumerate() {
            let Some((activity, silence)) = worker.pulse(now) else {
                continue;
            };
            if silence > limit(activity) {
                stalls.push(Stall {
                    what: format!(
                        "worker {}/{index} gave no sign of life {}",
                        pipeline.name,
                        doing(activity)
                    ),
                    silence,
                    hopeless: silence > 2 * limit(activity),
                });
            }
        }
    }
    stalls
}

/// Workers that still run at `now`, each with what it does: for who waits for a stop.
#[must_use]
pub fn running(board: &Board, now: Duration) -> Vec<String> {
    let mut running = Vec::new();
    for pipeline in &board.pipelines {
        for (index, worker) in pipeline.workers.iter().enumerate() {
            if let Some((activity, silence)) = worker.pulse(now) {
                running.push(format!(
                    "worker {}/{index} {} for {:.1} s",
                    pipeline.name,
                    doing(activity),
                    silence.as_secs_f64()
                ));
            }
        }
    }
    running
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::daemon::board::PipelineBoard;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn board() -> Board {
        Board {
            pipelines: vec![Arc::new(PipelineBoard::new("plant", &["sensors".to_owned()], 2))],
            stopping: AtomicBool::new(false),
        }
    }

    #[test]
    fn watchdog_is_content_while_no_worker_runs() {
        assert_eq!(stalls(&board(), s(1_000_000)), []);
    }

    #[test]
    fn watchdog_names_the_worker_that_is_silent_beyond_its_limit() {
        let board = board();
        let workers = &board.pipelines[0].workers;
        workers[0].sign(Activity::Turn, s(100));
        workers[1].sign(Activity::Committing, s(100));
        assert_eq!(stalls(&board, s(130)), []);
        let found = stalls(&board, s(131));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].what, "worker plant/0 gave no sign of life in a turn");
        assert!(!found[0].hopeless);
        workers[0].sign(Activity::Turn, s(131));
        assert_eq!(stalls(&board, s(131)), [], "a sign of life ends the stall");
    }

    #[test]
    fn watchdog_gives_up_on_a_worker_at_twice_the_limit() {
        let board = board();
        board.pipelines[0].workers[1].sign(Activity::Committing, s(0));
        assert!(!stalls(&board, s(120))[0].hopeless);
        assert!(stalls(&board, s(121))[0].hopeless);
    }

    #[test]
    fn limits_are_above_the_time_outs_of_the_calls_they_watch() {
        assert!(limit(Activity::Committing) > 3 * s(15));
        assert!(limit(Activity::Restoring) > s(30));
        assert!(limit(Activity::Turn) > s(5));
    }

    #[test]
    fn running_names_who_is_still_there() {
        let board = board();
        board.pipelines[0].workers[1].sign(Activity::Closing, s(1));
        assert_eq!(
            running(&board, s(4)),
            ["worker plant/1 closing its clients for 3.0 s"]
        );
        board.pipelines[0].workers[1].rest();
        assert!(running(&board, s(4)).is_empty());
    }
}
