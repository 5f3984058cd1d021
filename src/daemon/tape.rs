//! Chunks from the workers to the trainer, and empties back. Bounded both ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crate::engine::TapeChunk;
use crate::engine::tape::TAPE_CHUNKS;
use crate::worker::ports::Tape;

/// The worker's end. Full: the chunk comes back, and the worker counts its rows as dropped.
#[derive(Debug)]
pub struct TapePort {
    worker: usize,
    full: SyncSender<(usize, TapeChunk)>,
    empties: Receiver<TapeChunk>,
    /// Whether somebody trains in this process; without, a chunk is emptied here, and nothing is dropped.
    open: Arc<AtomicBool>,
    spare: Vec<TapeChunk>,
}

impl Tape for TapePort {
    fn offer(&mut self, mut chunk: TapeChunk) -> Result<(), TapeChunk> {
        if !self.open.load(Ordering::Relaxed) {
            chunk.clear();
            self.spare.push(chunk);
            return Ok(());
        }
        self.full
            .try_send((self.worker, chunk))
            .map_err(|refused| match refused {
                TrySendError::Full((_, chunk)) | TrySendError::Disconnected((_, chunk)) => chunk,
            })
    }

    fn empty(&mut self) -> Option<TapeChunk> {
        self.spare.pop().or_else(|| self.empties.try_recv().ok())
    }
}

/// The trainer's end.
#[derive(Debug)]
pub struct Intake {
    full: Receiver<(usize, TapeChunk)>,
    empties: Vec<SyncSender<TapeChunk>>,
    open: Arc<AtomicBool>,
}

impl Intake {
    /// Opens or closes the way: see [`TapePort`].
    pub fn open(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }

    /// Waits at most `timeout` for a chunk; with the index of the worker that it goes back to.
    ///
    /// # Errors
    /// Every worker has left.
    pub fn take(&self, timeout: Duration) -> Result<Option<(usize, TapeChunk)>, NobodyLeft> {
        match self.full.recv_timeout(timeout) {
            Ok(found) => Ok(Some(found)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(NobodyLeft),
        }
    }

    /// An empty chunk goes home; where its worker has left, it is dropped.
    pub fn give_back(&self, worker: usize, chunk: TapeChunk) {
        // As many as the worker ever had fit, so it is never full.
        let _ = self.empties[worker].try_send(chunk);
    }
}

/// Every worker has left: no chunk will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NobodyLeft;

/// Both ends for `workers` workers. Each has as many chunks as its engine starts with, so that is the bound.
#[must_use]
pub fn channel(workers: usize) -> (Vec<TapePort>, Intake) {
    let (full, intake) = sync_channel(workers * TAPE_CHUNKS);
    let open = Arc::new(AtomicBool::new(false));
    let (mut ports, mut homes) = (Vec::new(), Vec::new());
    for worker in 0..workers {
        let (home, empties) = sync_channel(TAPE_CHUNKS);
        homes.push(home);
        ports.push(TapePort {
            worker,
            full: full.clone(),
            empties,
            open: Arc::clone(&open),
            spare: Vec::new(),
        });
    }
    (
        ports,
        Intake {
            full: intake,
            empties: homes,
            open,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::TapeDims;

    fn chunk() -> TapeChunk {
        TapeChunk::new(
            TapeDims {
                inputs: 1,
                horizons: 1,
                skips: 1,
                state: 1,
            },
            4,
        )
    }

    #[test]
    fn tape_closed_gives_the_chunk_straight_back() {
        let (mut ports, intake) = channel(1);
        assert!(ports[0].offer(chunk()).is_ok());
        assert!(matches!(intake.take(Duration::ZERO), Ok(None)));
        assert!(ports[0].empty().is_some());
        assert!(ports[0].empty().is_none());
    }

    #[test]
    fn tape_open_carries_chunks_there_and_back_to_their_worker() {
        let (mut ports, intake) = channel(2);
        intake.open(true);
        ports[1].offer(chunk()).unwrap();
        let Ok(Some((worker, chunk))) = intake.take(Duration::ZERO) else {
            panic!("a chunk was sent")
        };
        assert_eq!(worker, 1);
        intake.give_back(worker, chunk);
        assert!(ports[0].empty().is_none());
        assert!(ports[1].empty().is_some());
    }

    #[test]
    fn tape_full_refuses_the_chunk_and_never_waits() {
        let (mut ports, intake) = channel(1);
        intake.open(true);
        for _ in 0..TAPE_CHUNKS {
            ports[0].offer(chunk()).unwrap();
        }
        assert!(ports[0].offer(chunk()).is_err());
        drop(intake);
        assert!(
            ports[0].offer(chunk()).is_err(),
            "no trainer: refused, not a panic"
        );
    }

    #[test]
    fn tape_without_workers_says_so() {
        let (ports, intake) = channel(2);
        drop(ports);
        assert_eq!(intake.take(Duration::from_secs(3600)).err(), Some(NobodyLeft));
    }
}
