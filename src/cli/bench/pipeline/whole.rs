//! The daemon's own worker, without store and trainer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Meter;
use crate::config::Pipeline;
use crate::daemon::clock::Clock;
use crate::engine::snapshot::{Block, Header};
use crate::engine::{Model, ModelVersion};
use crate::kafka::{KafkaSink, KafkaSource};
use crate::series::observation::NextOffset;
use crate::worker::ports::{Activity, Error, Loaded, Models, NoTape, Observer, PartitionId, Snapshots};
use crate::worker::snapshots::{Ended, Wanted};
use crate::worker::{Ports, TurnReport, Worker};

/// Reads the topic to its end.
pub(super) fn run(
    pipeline: &Pipeline,
    (source, sink): (KafkaSource, KafkaSink),
    meter: &mut Meter,
) -> anyhow::Result<()> {
    let config = pipeline.worker.clone();
    let done = AtomicBool::new(false);
    let ports = Ports {
        source,
        sink,
        models: First(Arc::new(Model::first(&config.engine, 1))),
        snapshots: Nowhere::default(),
        tape: NoTape,
        clock: Clock::start(),
        observer: Count { meter, done: &done },
    };
    Ok(Worker::new(config, ports).run(&done)?)
}

/// Version 1 alone.
struct First(Arc<Model>);

impl Models for First {
    fn newest(&mut self) -> Arc<Model> {
        Arc::clone(&self.0)
    }

    fn load(&mut self, _: ModelVersion) -> Result<(), Error> {
        unreachable!("no other version was ever committed")
    }

    fn loaded(&mut self) -> Option<Loaded> {
        None
    }
}

/// No snapshot is found, and none taken.
#[derive(Default)]
struct Nowhere(Option<u64>);

impl Snapshots for Nowhere {
    fn load(&mut self, wanted: Wanted) -> Result<(), Error> {
        self.0 = Some(wanted.ticket);
        Ok(())
    }

    fn reading(&mut self) -> Option<(u64, NextOffset)> {
        None
    }

    fn is_busy(&mut self) -> bool {
        true
    }

    fn begin(&mut self, _: u64, _: PartitionId, _: Header) -> Result<(), Error> {
        unreachable!("it is always busy")
    }

    fn write(&mut self, _: Block) {}

    fn empty(&mut self, _: Duration) -> Option<Block> {
        None
    }

    fn finish(&mut self) {}

    fn abandon(&mut self) {}

    fn ended(&mut self) -> Option<Ended> {
        let ticket = self.0.take()?;
        Some(Ended::Loaded {
            ticket,
            found: Ok(None),
            refused: Vec::new(),
        })
    }
}

struct Count<'a> {
    meter: &'a mut Meter,
    done: &'a AtomicBool,
}

impl Observer for Count<'_> {
    fn activity(&mut self, _: Activity) {}

    fn turn(&mut self, report: &TurnReport<'_>) {
        self.meter.commit(report.outcomes.forecast);
        self.done.store(self.meter.is_done(), Ordering::Release);
    }
}
