//! librdkafka's errors as the worker's port tells them apart.

use rdkafka::error::KafkaError;
use rdkafka::error::RDKafkaErrorCode::{self as Code, *};

use crate::kafka::Config;
use crate::kafka::properties::without_value;
use crate::worker::ports::Error;

/// What a code says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It may pass by itself, or once somebody has mended the cluster: the worker begins again until then.
    Passes,
    /// The same record or offset is refused again: it counts against its partition.
    Refused,
    /// Another process joined with this worker's id.
    InUse,
}

/// Codes that mean the same for the same reason.
struct Group {
    meaning: Meaning,
    why: &'static str,
    codes: &'static [Code],
}

/// Every code that can reach a worker. One that is not here passes: parking a partition, or ending a worker, for what an
/// outage can cause does more harm than trying again for ever, which is visible.
const GROUPS: &[Group] = &[
    Group {
        meaning: Meaning::InUse,
        why: "another process has joined the group with the same `group.instance.id`",
        codes: &[FencedInstanceId],
    },
    Group {
        meaning: Meaning::Refused,
        // Brokers answer `InvalidRecord` for a timestamp, too.
        why: "its topic takes no record like this one: a compacted one takes none without a key, \
              `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms` bound the Kafka timestamp, which is \
              that of the input record, and the broker may have policies",
        codes: &[
            InvalidRecord,
            InvalidTimestamp,
            PolicyViolation,
            UnsupportedForMessageFormat,
        ],
    },
    Group {
        meaning: Meaning::Refused,
        why: "the topic has no room for it",
        codes: &[MessageSizeTooLarge, MessageBatchTooLarge, InvalidMessageSize],
    },
    Group {
        meaning: Meaning::Refused,
        why: "the brokers' `offset.metadata.max.bytes` is below their default of 4096",
        codes: &[OffsetMetadataTooLarge, InvalidCommitOffsetSize],
    },
    Group {
        meaning: Meaning::Passes,
        why: "the record beside it is the one that is refused",
        codes: &[InvalidDifferentRecord],
    },
    Group {
        meaning: Meaning::Passes,
        why: "a broker is away, slow, or moving its leaders and coordinators",
        codes: &[
            BrokerTransportFailure,
            AllBrokersDown,
            BrokerDestroy,
            DestroyBroker,
            Resolve,
            NodeUpdate,
            UnknownBroker,
            MessageTimedOut,
            OperationTimedOut,
            TimedOutQueue,
            RequestTimedOut,
            NetworkException,
            WaitingForCoordinator,
            WaitCache,
            Retry,
            LeaderNotAvailable,
            NotLeaderForPartition,
            BrokerNotAvailable,
            ReplicaNotAvailable,
            CoordinatorLoadInProgress,
            CoordinatorNotAvailable,
            NotCoordinator,
            NotController,
            StaleControllerEpoch,
            StaleBrokerEpoch,
            FencedLeaderEpoch,
            UnknownLeaderEpoch,
            OffsetNotAvailable,
            ReassignmentInProgress,
            PreferredLeaderNotAvailable,
            EligibleLeadersNotAvailable,
            ListenerNotFound,
            FetchSessionIdNotFound,
            InvalidFetchSessionEpoch,
            ThrottlingQuotaExceeded,
            RebootstrapRequired,
        ],
    },
    Group {
        meaning: Meaning::Passes,
        why: "too few replicas are in sync, or a broker's disk fails",
        codes: &[
            NotEnoughReplicas,
            NotEnoughReplicasAfterAppend,
            ISRInsufficient,
            KafkaStorageError,
            LogDirNotFound,
        ],
    },
    Group {
        meaning: Meaning::Passes,
        why: "damaged on its way",
        codes: &[InvalidMessage, BadMessage, BadCompression, Underflow],
    },
    Group {
        meaning: Meaning::Passes,
        why: "fenced: a later producer of this worker, or a transaction that was open for too long",
        codes: &[
            Fenced,
            ProducerFenced,
            InvalidProducerEpoch,
            InvalidProducerIdMapping,
            UnknownProducerId,
            OutOfOrderSequenceNumber,
            DuplicateSequenceNumber,
            TransactionCoordinatorFenced,
            InvalidTransactionalState,
            ConcurrentTransactions,
            GaplessGuarantee,
            Inconsistent,
        ],
    },
    Group {
        meaning: Meaning::Passes,
        why: "the group has gone on without this member",
        codes: &[
            IllegalGeneration,
            UnknownMemberId,
            RebalanceInProgress,
            MemberIdRequired,
            AssignmentLost,
            PollExceeded,
            FencedMemberEpoch,
            StaleMemberEpoch,
            UnknownGroup,
            GroupIdNotFound,
            GroupMaxSizeReached,
            UnstableOffsetCommit,
            InconsistentGroupProtocol,
            UnreleasedInstanceId,
        ],
    },
    Group {
        meaning: Meaning::Passes,
        why: "a topic or partition is not there: deleted, or not created yet",
        codes: &[
            UnknownTopicOrPartition,
            UnknownTopic,
            UnknownPartition,
            UnknownTopicId,
            NoOffset,
        ],
    },
    Group {
        meaning: Meaning::Passes,
        why: "rights and passwords are given, taken and renewed while a worker runs",
        codes: &[
            TopicAuthorizationFailed,
            GroupAuthorizationFailed,
            ClusterAuthorizationFailed,
            TransactionalIdAuthorizationFailed,
            SaslAuthenticationFailed,
            Authentication,
            SSL,
            IllegalSASLState,
            UnsupportedSASLMechanism,
            SecurityDisabled,
        ],
    },
    Group {
        meaning: Meaning::Passes,
        why: "the client was dropped, or its queue is full, while this went on",
        codes: &[
            PurgeQueue,
            PurgeInflight,
            QueueFull,
            State,
            InProgress,
            PreviousInProgress,
            Conflict,
            Outdated,
        ],
    },
    Group {
        meaning: Meaning::Passes,
        why: "brokers of several versions, while they are upgraded",
        codes: &[
            UnsupportedVersion,
            UnsupportedFeature,
            UnsupportedCompressionType,
            InvalidRequest,
        ],
    },
];

/// What a code says about trying again, and why.
pub(crate) fn meaning(code: Code) -> (Meaning, &'static str) {
    GROUPS
        .iter()
        .find(|group| group.codes.contains(&code))
        .map_or((Meaning::Passes, "not known to this program"), |group| {
            (group.meaning, group.why)
        })
}

/// Says what was tried, for errors that may pass.
pub(crate) fn transient(doing: &'static str, reason: impl ToString) -> Error {
    Error::Transient {
        doing,
        reason: reason.to_string(),
    }
}

/// Sorts an error of any client call. Which partition it is due to is known to whoever made the call, if to anybody.
pub(crate) fn classify(config: &Config, doing: &'static str, error: &KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, description, key, value) => {
            return Error::Fatal {
                doing,
                reason: format!(
                    "`kafka.client`: `{key}`: {}; remove or correct that property",
                    without_value(description, key, value)
                ),
            };
        }
        KafkaError::ClientCreation(reason) => {
            return Error::Fatal {
                doing,
                reason: format!("{reason}; correct `kafka.client`"),
            };
        }
        _ => {}
    }
    let (meaning, why) = error
        .rdkafka_error_code()
        .map_or((Meaning::Passes, ""), meaning_of_call);
    match meaning {
        Meaning::Passes => transient(doing, error),
        Meaning::Refused => Error::Refused {
            doing,
            reason: format!("{error}: {why}"),
            partition: None,
        },
        Meaning::InUse => Error::InstanceInUse {
            instance: config.instance.clone(),
        },
    }
}

/// Outside of delivery reports only an offset can be refused for what it is: a question that is (`PolicyViolation`,
/// `InvalidRequest`) is no record's fault.
fn meaning_of_call(code: Code) -> (Meaning, &'static str) {
    match meaning(code) {
        (Meaning::Refused, why) if !matches!(code, OffsetMetadataTooLarge | InvalidCommitOffsetSize) => {
            (Meaning::Passes, why)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn config() -> Config {
        Config {
            brokers: Vec::new(),
            group: "g".to_owned(),
            instance: "a".to_owned(),
            client: BTreeMap::new(),
        }
    }

    #[test]
    fn codes_stand_in_one_group_each() {
        let all: Vec<Code> = GROUPS.iter().flat_map(|group| group.codes).copied().collect();
        for (index, code) in all.iter().enumerate() {
            assert!(!all[..index].contains(code), "{code:?} stands twice");
        }
    }

    #[test]
    fn what_an_outage_or_a_fence_causes_parks_nothing_and_ends_nothing() {
        let harmless = [
            BrokerTransportFailure,
            AllBrokersDown,
            MessageTimedOut,
            OperationTimedOut,
            RequestTimedOut,
            NotCoordinator,
            NotEnoughReplicas,
            KafkaStorageError,
            Fenced,
            ProducerFenced,
            InvalidProducerEpoch,
            ConcurrentTransactions,
            IllegalGeneration,
            UnknownMemberId,
            RebalanceInProgress,
            UnknownTopicOrPartition,
            TopicAuthorizationFailed,
            PurgeQueue,
            InvalidMessage,
            InvalidDifferentRecord,
        ];
        for code in harmless {
            let error = classify(&config(), "testing", &KafkaError::Global(code));
            assert!(matches!(error, Error::Transient { .. }), "{code:?}: {error:?}");
        }
        assert_eq!(
            meaning(Unknown).0,
            Meaning::Passes,
            "and so does what nobody knows"
        );
    }

    #[test]
    fn what_a_record_is_refused_for_is_told_from_what_a_question_is() {
        for code in [
            InvalidRecord,
            InvalidTimestamp,
            PolicyViolation,
            UnsupportedForMessageFormat,
            MessageSizeTooLarge,
        ] {
            assert_eq!(meaning(code).0, Meaning::Refused, "{code:?} of a record");
            let error = classify(&config(), "testing", &KafkaError::Global(code));
            assert!(matches!(error, Error::Transient { .. }), "{code:?} of a call");
        }
        let error = classify(
            &config(),
            "committing",
            &KafkaError::Global(OffsetMetadataTooLarge),
        );
        assert!(matches!(error, Error::Refused { partition: None, .. }));
        assert!(error.to_string().contains("offset.metadata.max.bytes"), "{error}");
    }

    #[test]
    fn instance_in_use_ends_the_worker() {
        let error = classify(&config(), "testing", &KafkaError::Global(FencedInstanceId));
        assert_eq!(
            error,
            Error::InstanceInUse {
                instance: "a".to_owned()
            }
        );
    }
}
