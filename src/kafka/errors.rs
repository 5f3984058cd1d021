//! librdkafka's errors as the worker's port tells them apart.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::Config;
use crate::kafka::properties::without_value;
use crate::worker::ports::Error;

/// Says what was tried, for errors that may pass.
pub(crate) fn transient(doing: &'static str, reason: impl ToString) -> Error {
    Error::Transient {
        doing,
        reason: reason.to_string(),
        partition: None,
    }
}

/// Sorts an error of any client call.
pub(crate) fn classify(config: &Config, doing: &'static str, error: &KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, description, key, value) => Error::Fatal {
            doing,
            reason: format!(
                "`kafka.client`: `{key}`: {}; remove or correct that property",
                without_value(description, key, value)
            ),
        },
        KafkaError::ClientCreation(reason) => Error::Fatal {
            doing,
            reason: format!("{reason}; correct `kafka.client`"),
        },
        _ if error.rdkafka_error_code() == Some(RDKafkaErrorCode::FencedInstanceId) => Error::InstanceInUse {
            instance: config.instance.clone(),
        },
        _ => transient(doing, error),
    }
}
