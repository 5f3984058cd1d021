//! The producing side of the small Kafka in memory.

use super::cluster::{Fault, Published, Shared, call, failure};
use crate::worker::ports::{Commit, Destination, Error, Outgoing, ReadMembership, Sink};

pub(super) struct FakeSink {
    cluster: Shared,
    /// Epoch of the producer, if there is one.
    epoch: Option<u64>,
}

impl FakeSink {
    pub(super) const fn new(cluster: Shared) -> Self {
        Self { cluster, epoch: None }
    }

    fn begin(&self) {
        let mut cluster = self.cluster.borrow_mut();
        assert_eq!(
            self.epoch,
            Some(cluster.producer_epoch),
            "a fenced producer is used"
        );
        cluster.open = true;
    }

    fn refusal(&self) -> Option<Error> {
        let cluster = self.cluster.borrow();
        let (source, is_named) = cluster.poison.as_ref()?;
        let record = cluster
            .pending
            .iter()
            .find(|record| record.header("tidecast.source") == *source)?;
        Some(Error::Refused {
            doing: "committing",
            reason: "the record is poison".to_owned(),
            partition: is_named.then_some(record.origin),
        })
    }
}

impl Sink for FakeSink {
    type Membership = ();

    fn connect(&mut self, alive: &mut dyn FnMut()) -> Result<(), Error> {
        alive();
        if call(&self.cluster).is_some() {
            return Err(failure("connecting"));
        }
        let mut cluster = self.cluster.borrow_mut();
        if cluster.connects_failing > 0 {
            cluster.connects_failing -= 1;
            return Err(failure("connecting"));
        }
        cluster.producer_epoch += 1;
        cluster.pending.clear();
        cluster.open = false;
        self.epoch = Some(cluster.producer_epoch);
        Ok(())
    }

    fn publish(&mut self, to: Destination, record: &Outgoing<'_>) -> Result<(), Error> {
        if call(&self.cluster).is_some() {
            return Err(failure("producing"));
        }
        self.begin();
        let headers = record.headers.iter();
        self.cluster.borrow_mut().pending.push(Published {
            to,
            origin: record.origin,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
                .collect(),
        });
        Ok(())
    }

    fn commit(
        &mut self,
        offsets: &[Commit<'_>],
        membership: &mut ReadMembership<'_, ()>,
    ) -> Result<(), Error> {
        membership()?;
        let before = call(&self.cluster);
        if before == Some(Fault::Fail) {
            return Err(failure("committing"));
        }
        self.begin();
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        let records = self.cluster.borrow().pending.len() as u64;
        {
            let cluster = &mut *self.cluster.borrow_mut();
            cluster.published.append(&mut cluster.pending);
            for commit in offsets {
                assert!(commit.metadata.len() <= crate::worker::METADATA_BYTES_MAX);
                let entry = (commit.next, commit.metadata.to_owned());
                cluster.committed.insert(commit.partition, entry);
            }
            cluster.open = false;
        }
        let after = call(&self.cluster);
        if before == Some(Fault::AnswerLost) || after.is_some() {
            self.cluster.borrow_mut().unanswered += records;
            return Err(failure("committing"));
        }
        Ok(())
    }

    fn discard(&mut self) {
        self.epoch = None;
        // What it left is ended by the broker; the next connect does not wait for that here.
        let mut cluster = self.cluster.borrow_mut();
        cluster.pending.clear();
        cluster.open = false;
    }
}
