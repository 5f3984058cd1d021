//! Proof that a worker is a member of its group, read anew for every commit.
#![allow(
    unsafe_code,
    reason = "the generation that fences a commit is readable through librdkafka's C interface only"
)]

use std::ffi::CStr;
use std::sync::Arc;

use rdkafka::bindings;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, ConsumerGroupMetadata};

use crate::worker::ports::Error;

/// Member id and generation.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    member: String,
    generation: i32,
}

impl Identity {
    /// A broker takes a commit with a negative generation without looking: it would not be fenced.
    fn is_member(&self) -> bool {
        self.generation >= 0 && !self.member.is_empty()
    }
}

/// `None` where the client has no group.
fn identity<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Identity> {
    // SAFETY: the client outlives this call (it is borrowed); the call takes it as its only argument and returns an
    // object of our own, or null.
    let metadata = unsafe { bindings::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
    if metadata.is_null() {
        return None;
    }
    // SAFETY: `metadata` is ours, not null and not yet destroyed; the member id is a C string that it owns, copied
    // before it is destroyed, which happens once, here.
    unsafe {
        let generation = bindings::rd_kafka_consumer_group_metadata_generation_id(metadata);
        let member = bindings::rd_kafka_consumer_group_metadata_member_id(metadata);
        let member = if member.is_null() {
            String::new()
        } else {
            CStr::from_ptr(member).to_string_lossy().into_owned()
        };
        bindings::rd_kafka_consumer_group_metadata_destroy(metadata);
        Some(Identity { member, generation })
    }
}

/// Member id and generation, if the client is a member.
pub(crate) fn member<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<(String, i32)> {
    let identity = identity(consumer)?;
    identity
        .is_member()
        .then_some((identity.member, identity.generation))
}

/// The metadata that a commit carries, or why there is none. The safe wrapper hides its generation, so identity is
/// read before and after it: a generation only grows, so an equal one on both sides is the one in between.
pub(crate) fn read<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
) -> Result<Arc<ConsumerGroupMetadata>, Error> {
    let not_member = |reason: String| Error::NotMember { reason };
    let before = identity(consumer).ok_or_else(|| not_member("the client has no group".to_owned()))?;
    let metadata = consumer
        .group_metadata()
        .ok_or_else(|| not_member("the client has no group".to_owned()))?;
    let after = identity(consumer).ok_or_else(|| not_member("the client has no group".to_owned()))?;
    if !after.is_member() {
        let Identity { member, generation } = after;
        return Err(not_member(format!(
            "member id `{member}`, generation {generation}"
        )));
    }
    if before != after {
        return Err(not_member(format!(
            "generation went from {} to {}",
            before.generation, after.generation
        )));
    }
    Ok(Arc::new(metadata))
}
