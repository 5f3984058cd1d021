//! Properties of the operator, before a client is made of them: what librdkafka refuses, said without the value, which may
//! be a secret under a misspelt name.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, DefaultProducerContext};

use crate::kafka::lookup::Visitor;
use crate::kafka::{Config, client};

/// What stands where librdkafka repeats a value.
const HIDDEN: &str = "(value not shown)";
/// A value that is shorter is found in any sentence by chance.
const TELLING_BYTES: usize = 4;

/// Properties that librdkafka refuses, by name, each with its reason; without a name: all together. Nothing is connected.
/// Values are not in the reasons.
#[must_use]
pub fn refused(client: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let each: Vec<(String, String)> = client
        .iter()
        .filter_map(|(property, value)| {
            let mut one = ClientConfig::new();
            one.set(property, value);
            let reason = match one.create_native_config().err()? {
                KafkaError::ClientConfig(_, description, ..) => without_value(&description, property, value),
                other => other.to_string(), // a zero byte, which names no value
            };
            Some((property.clone(), reason))
        })
        .collect();
    if each.is_empty() {
        let together = refused_together(client).map(|reason| (String::new(), reason));
        return together.into_iter().collect();
    }
    each
}

/// Why a worker's clients would not be made: a file that is not there, properties that do not go together. They have no
/// brokers here.
fn refused_together(client: &BTreeMap<String, String>) -> Option<String> {
    let mechanisms = ["sasl.mechanism", "sasl.mechanisms"].map(|name| client.get(name).map(String::as_str));
    if mechanisms.contains(&Some("OAUTHBEARER")) {
        return None; // it asks for a token as soon as a client is made
    }
    let config = Config {
        brokers: Vec::new(),
        group: "check".to_owned(),
        instance: "check".to_owned(),
        client: client.clone(),
    };
    let mut producer = client::producer(&config, "check", 0);
    let mut consumer = client::consumer(&config, "check", 0);
    producer.remove("bootstrap.servers");
    consumer.remove("bootstrap.servers");
    let made = producer
        .create_with_context::<_, BaseProducer>(DefaultProducerContext)
        .map(drop)
        .and_then(|()| {
            consumer
                .create_with_context::<_, BaseConsumer<Visitor>>(Visitor)
                .map(drop)
        });
    let reason = match made.err()? {
        KafkaError::ClientCreation(reason) => reason,
        other => hide(other).to_string(),
    };
    Some(without_values(&reason, client))
}

/// A sentence about all properties, without their values, but for those that name files and ways.
fn without_values(sentence: &str, client: &BTreeMap<String, String>) -> String {
    let told = |property: &str| {
        property.ends_with(".location")
            || ["security.protocol", "sasl.mechanism", "sasl.mechanisms"].contains(&property)
    };
    client
        .iter()
        .filter(|(property, value)| value.len() >= TELLING_BYTES && !told(property))
        .fold(sentence.trim().to_owned(), |sentence, (_, value)| {
            sentence.replace(value.as_str(), HIDDEN)
        })
}

/// An error of making a client, to be shown: its value is taken out.
pub(crate) fn hide(error: KafkaError) -> KafkaError {
    match error {
        KafkaError::ClientConfig(result, description, property, value) => {
            let description = without_value(&description, &property, &value);
            KafkaError::ClientConfig(result, description, property, HIDDEN.to_owned())
        }
        other => other,
    }
}

/// librdkafka's sentence about a property, without what it repeats of the value.
pub(crate) fn without_value(description: &str, property: &str, value: &str) -> String {
    let sentence = description.trim();
    let cut = cut_between(
        sentence,
        "Invalid value \"",
        "\" for configuration",
        "Invalid value",
    )
    .or_else(|| {
        cut_between(
            sentence,
            "Unsupported value \"",
            "\" for configuration",
            "Unsupported value",
        )
    })
    .or_else(|| cut_number(sentence))
    .or_else(|| {
        let head = sentence
            .strip_suffix(value.trim())?
            .trim_end()
            .strip_suffix(':')?;
        Some(head.to_owned())
    });
    let cut = cut.unwrap_or_else(|| sentence.to_owned());
    let rest = cut.replace(property, "");
    let told = |part: &str| part.len() >= TELLING_BYTES && rest.contains(part);
    if told(value.trim()) || value.split(',').any(|part| told(part.trim())) {
        return "it cannot use the value".to_owned();
    }
    cut
}

/// `Invalid value "3" for configuration …` as `Invalid value for configuration …`.
fn cut_between(told: &str, before: &str, after: &str, kept: &str) -> Option<String> {
    let rest = told.strip_prefix(before)?;
    let end = rest.rfind(after)?;
    Some(format!("{kept}{}", &rest[end + 1..]))
}

/// `… value 3 is outside allowed range …` as `… value is outside allowed range …`.
fn cut_number(told: &str) -> Option<String> {
    let end = told.find(" is outside allowed range")?;
    let start = told[..end].rfind(" value ")? + " value".len();
    Some(format!("{}{}", &told[..start], &told[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(properties: &[(&str, &str)]) -> Vec<(String, String)> {
        let client = properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        refused(&client.collect())
    }

    #[test]
    fn properties_that_are_refused_are_all_named_and_no_value_is_told() {
        let wrong = [
            ("sasl.passwrd", "hunter2secret"),
            ("debug", "hunter2secret"),
            ("compression.type", "hunter2secret"),
            ("enable.ssl.certificate.verification", "hunter2secret"),
            ("topic.blacklist", "hunter2secret[,^hunter2secret["),
            ("linger.ms", "9876543210"),
            ("socket.timeout.ms", "87654321"),
            ("ssl.truststore.location", "hunter2secret"),
            ("sasl.username", "nul\0hunter2secret"),
        ];
        let found = reasons(&wrong);
        assert!(found.len() >= 7, "{found:?}");
        for (name, reason) in &found {
            let value = wrong.iter().find(|(wrong, _)| wrong == name).unwrap().1;
            assert!(!reason.is_empty() && !reason.contains('\n'), "{name}: {reason:?}");
            for part in ["hunter2", value] {
                assert!(!reason.contains(part), "{name}: {reason}");
            }
        }
        let told: BTreeMap<_, _> = found.into_iter().collect();
        assert_eq!(
            told["sasl.passwrd"],
            "No such configuration property: \"sasl.passwrd\""
        );
        assert!(told["socket.timeout.ms"].contains("allowed range"), "{told:?}");
    }

    #[test]
    fn properties_of_any_client_pass() {
        let right = [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "me"),
            ("sasl.password", "hunter2secret"),
            ("linger.ms", "20"),
            ("fetch.max.bytes", "1000000"),
            ("compression.type", "lz4"),
            ("debug", "broker,topic"),
        ];
        assert_eq!(reasons(&right), []);
    }

    #[test]
    fn properties_that_do_not_go_together_are_refused_without_a_name() {
        let cases: [&[(&str, &str)]; 4] = [
            &[("max.poll.interval.ms", "10000")],
            &[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN")],
            &[
                ("security.protocol", "SSL"),
                ("ssl.ca.location", "/nowhere/ca.pem"),
            ],
            &[
                ("security.protocol", "SASL_SSL"),
                ("sasl.mechanism", "SCRAMBLED"),
                ("sasl.username", "me"),
                ("sasl.password", "hunter2secret"),
            ],
        ];
        for case in cases {
            let found = reasons(case);
            assert_eq!(found.len(), 1, "{case:?}");
            assert!(found[0].0.is_empty() && !found[0].1.is_empty(), "{found:?}");
            assert!(!found[0].1.contains("hunter2"), "{found:?}");
        }
        let client = BTreeMap::from([("ssl.key.password".to_owned(), "hunter2secret".to_owned())]);
        assert_eq!(
            without_values("bad hunter2secret", &client),
            "bad (value not shown)"
        );
    }

    #[test]
    fn properties_in_errors_of_clients_show_no_value() {
        let mut client = ClientConfig::new();
        client.set("sasl.passwrd", "hunter2secret");
        let error = client.create_native_config().err().unwrap();
        assert!(
            error.to_string().contains("hunter2secret"),
            "else nothing is to be hidden"
        );
        let hidden = hide(error);
        for shown in [hidden.to_string(), format!("{hidden:?}")] {
            assert!(
                shown.contains("sasl.passwrd") && !shown.contains("hunter2"),
                "{shown}"
            );
        }
    }
}
