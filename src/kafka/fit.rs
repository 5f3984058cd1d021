//! What follows for a pipeline from the topics that are there, and from those that are not.

use std::cmp::Reverse;
use std::time::Duration;

use crate::kafka::Config;
use crate::kafka::admin::{Finding, Report, Role, Severity, Topic};
use crate::worker;

/// Forecasts kept for less than this are gone before a weekend's trouble is looked at.
const RETENTION_SHORT: Duration = Duration::from_secs(3 * 24 * 3600);
/// Topics that are named at most where one was not found: a line on a screen.
const NAMED: usize = 10;

/// Says for each topic that is not there what to do: an input is looked for under another name first.
pub(crate) fn missing(
    missing: &[(String, Role)],
    there: &[String],
    (config, worker): (&Config, &worker::Config),
    report: &mut Report,
) {
    for (name, role) in missing {
        let command = create_command(name, config, worker, report);
        let text = if *role == Role::Input {
            format!(
                "it is not there; is it spelled right? {}; if it is, create it: {command}",
                named(name, there, worker)
            )
        } else if report.topics.iter().any(|topic| topic.role == Role::Input) {
            format!("it is not there; create it: {command}")
        } else {
            format!("it is not there; once the input is, create it with as many partitions: {command}")
        };
        let subject = format!("topic `{name}` ({role})");
        report.findings.push(Finding::new(Severity::Error, subject, text));
    }
}

/// Topics that may be meant, those that begin or end like `name` first.
fn named(name: &str, there: &[String], worker: &worker::Config) -> String {
    let same = |other: &str| {
        let pairs = |mut left: std::str::Chars<'_>, right: std::str::Chars<'_>| {
            right.take_while(|letter| left.next() == Some(*letter)).count()
        };
        let ends = name.bytes().rev().zip(other.bytes().rev());
        pairs(name.chars(), other.chars()) + ends.take_while(|(left, right)| left == right).count()
    };
    let written = [&worker.output_topic, &worker.dead_letter_topic];
    let mut names: Vec<&str> = there
        .iter()
        .filter(|name| !written.contains(name))
        .map(String::as_str)
        .collect();
    names.sort_by_key(|other| (Reverse(same(other)), *other));
    if names.is_empty() {
        return "no other topic is there".to_owned();
    }
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let listed = names.join(", ");
    if more > 0 {
        format!("topics there: {listed} and {more} more")
    } else {
        format!("topics there: {listed}")
    }
}

/// The command that makes a topic: as many partitions as the input has, and its replication where that is no single one.
/// Without the flag the cluster's own default applies.
fn create_command(name: &str, config: &Config, worker: &worker::Config, report: &Report) -> String {
    let inputs = report.topics.iter().filter(|topic| topic.role == Role::Input);
    let input = inputs.max_by_key(|topic| topic.partitions);
    // Without an input: room to add workers without moving streams.
    let partitions = input.map_or(worker.workers.max(1) * 4, |input| input.partitions);
    let replication = input.filter(|input| input.replicas > 1);
    let replication = replication.map_or_else(String::new, |input| {
        format!(" --replication-factor {}", input.replicas)
    });
    format!(
        "kafka-topics.sh --bootstrap-server {} --create --topic {name} --partitions {partitions}{replication}",
        config.brokers.join(","),
    )
}

/// What follows from the topics that are there.
pub(crate) fn compare(worker: &worker::Config, report: &mut Report) {
    let mut findings = Vec::new();
    idle(worker, report, &mut findings);
    for topic in &report.topics {
        let subject = format!("topic `{}` ({})", topic.name, topic.role);
        let mut find = |severity, text| findings.push(Finding::new(severity, subject.clone(), text));
        if topic.replicas == 1 && report.nodes > 1 {
            let text =
                "one replica: the loss of one node loses it; make it 3 with kafka-reassign-partitions.sh";
            find(Severity::Warning, text.to_owned());
        }
        if topic.role == Role::Input {
            history(topic, worker, &mut find);
        } else {
            written(topic, report, &mut find);
        }
    }
    report.findings.append(&mut findings);
}

fn idle(worker: &worker::Config, report: &Report, findings: &mut Vec<Finding>) {
    let inputs = report.topics.iter().filter(|topic| topic.role == Role::Input);
    let counts: Vec<usize> = inputs.map(|topic| topic.partitions).collect();
    let partitions: usize = counts.iter().sum();
    if counts.len() == worker.topics.len() && partitions < worker.workers {
        let idle = worker.workers - partitions;
        let text = format!(
            "{} and only {}: {} would be idle; lower `workers` or add partitions before the first start (later it moves \
             streams)",
            counted(worker.workers, "worker"),
            counted(partitions, "partition"),
            counted(idle, "worker"),
        );
        let subject = format!("pipeline `{}`", worker.pipeline);
        findings.push(Finding::new(Severity::Warning, subject, text));
    }
}

fn is_compacted(topic: &Topic) -> bool {
    let cleanup = topic.cleanup.as_deref();
    cleanup.is_some_and(|policy| policy.contains("compact"))
}

/// Time after which records are gone, milliseconds; `None`: never, or not known.
fn kept_ms(topic: &Topic) -> Option<i64> {
    let deletes = topic
        .cleanup
        .as_deref()
        .is_none_or(|policy| policy.contains("delete"));
    topic.retention_ms.filter(|ms| deletes && *ms >= 0)
}

/// Whether an input keeps what a restart, or the first start, reads back.
fn history(topic: &Topic, worker: &worker::Config, find: &mut dyn FnMut(Severity, String)) {
    if is_compacted(topic) {
        let text = "it is compacted: of a key only the newest record is sure to stay, after a restart streams begin again \
                    from what is left; set cleanup.policy=delete";
        find(Severity::Warning, text.to_owned());
    }
    let Some(kept) = kept_ms(topic) else {
        return;
    };
    let rebuild = ("store.rebuild", worker.rebuild, "after a restart");
    let warmup = ("input.warmup", worker.warmup, "at the first start");
    for (key, reads, when) in [rebuild, warmup] {
        let reads_ms = milliseconds(reads);
        if kept < reads_ms {
            let text = format!(
                "keeps {}, but {key} reads {} back: {when} streams begin again from what is left; raise retention.ms or lower {key}",
                span(kept),
                span(reads_ms)
            );
            find(Severity::Warning, text);
        }
    }
}

/// Whether a topic that is written keeps it for its readers.
fn written(topic: &Topic, report: &Report, find: &mut dyn FnMut(Severity, String)) {
    if is_compacted(topic) {
        let text = "it is compacted: only the newest record of a stream stays; set cleanup.policy=delete";
        find(Severity::Warning, text.to_owned());
    }
    if let Some(kept) = kept_ms(topic).filter(|ms| *ms < milliseconds(RETENTION_SHORT)) {
        let text = format!(
            "records are gone after {}; raise retention.ms if readers may be away longer",
            span(kept)
        );
        find(Severity::Warning, text);
    }
    let mut inputs = report.topics.iter().filter(|topic| topic.role == Role::Input);
    if let Some(input) = inputs.find(|input| input.partitions != topic.partitions) {
        let text = format!(
            "{} where `{}` has {}: records go by key, not to the input's partition; equal counts keep both aligned",
            counted(topic.partitions, "partition"),
            input.name,
            input.partitions
        );
        find(Severity::Note, text);
    }
}

fn milliseconds(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// A time for people: `1 h`, `90 min`, `7 d`, `2.5 d`.
#[must_use]
pub fn span(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    for (unit, name) in units {
        if ms >= unit && ms % unit == 0 {
            return format!("{} {name}", ms / unit);
        }
        if ms >= 2 * unit {
            return format!("{:.1} {name}", ms as f64 / unit as f64);
        }
    }
    format!("{ms} ms")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Sources};

    const DAY_MS: i64 = 86_400_000;

    fn config() -> (Config, worker::Config) {
        let set = [
            "pipeline.p.input.topics=sensors",
            "pipeline.p.input.values=v",
            "pipeline.p.output.topic=out",
            "pipeline.p.dead_letter.topic=dead",
            "kafka.brokers=b:9092",
        ];
        let sources = Sources {
            set: set.map(str::to_owned).to_vec(),
            host_name: "h".to_owned(),
            ..Sources::default()
        };
        let mut config = config::load(&sources).unwrap().config;
        (config.kafka, config.pipelines.remove(0).worker)
    }

    fn topic(name: &str, role: Role, partitions: usize, replicas: usize) -> Topic {
        Topic {
            name: name.to_owned(),
            role,
            partitions,
            replicas,
            retention_ms: Some(30 * DAY_MS),
            cleanup: Some("delete".to_owned()),
        }
    }

    fn report(topics: Vec<Topic>) -> Report {
        Report {
            nodes: 3,
            topics,
            findings: Vec::new(),
        }
    }

    fn texts(report: &Report) -> Vec<String> {
        report.findings.iter().map(ToString::to_string).collect()
    }

    fn missing_texts(gone: &[(&str, Role)], there: &[&str], mut report: Report) -> Vec<String> {
        let (kafka, worker) = config();
        let gone: Vec<_> = gone
            .iter()
            .map(|(name, role)| ((*name).to_owned(), *role))
            .collect();
        let there: Vec<_> = there.iter().map(|&name| name.to_owned()).collect();
        missing(&gone, &there, (&kafka, &worker), &mut report);
        texts(&report)
    }

    #[test]
    fn fit_missing_output_is_made_like_the_input() {
        let gone = [("out", Role::Output), ("dead", Role::DeadLetter)];
        let input = |replicas| report(vec![topic("sensors", Role::Input, 12, replicas)]);
        for text in missing_texts(&gone, &["sensors"], input(1)) {
            assert!(
                text.ends_with("--partitions 12"),
                "the cluster's replication: {text}"
            );
        }
        for text in missing_texts(&gone, &["sensors"], input(3)) {
            assert!(text.ends_with("--partitions 12 --replication-factor 3"), "{text}");
        }
    }

    #[test]
    fn fit_missing_input_is_looked_for_under_another_name_first() {
        let gone = [("sensors", Role::Input)];
        let mut there = vec!["alarms", "sensor", "out", "dead"];
        let text = missing_texts(&gone, &there, report(Vec::new())).remove(0);
        let spelled = text.find("is it spelled right? topics there: sensor, alarms;");
        assert!(
            spelled < text.find("kafka-topics.sh") && spelled.is_some(),
            "{text}"
        );
        there.extend(["a", "b", "c", "d", "e", "f", "g", "h", "i"]);
        let text = missing_texts(&gone, &there, report(Vec::new())).remove(0);
        assert!(text.contains("and 1 more;"), "{text}");
        let text = missing_texts(&gone, &[], report(Vec::new())).remove(0);
        assert!(text.contains("no other topic is there"), "{text}");
    }

    #[test]
    fn fit_input_that_forgets_before_a_restart_reads_it_is_a_warning() {
        let (_, mut worker) = config();
        let found = |worker: &worker::Config, retention_ms, cleanup: &str| {
            let mut input = topic("short", Role::Input, 4, 3);
            input.retention_ms = Some(retention_ms);
            input.cleanup = Some(cleanup.to_owned());
            let mut report = report(vec![input]);
            compare(worker, &mut report);
            assert!(
                report
                    .findings
                    .iter()
                    .all(|finding| finding.severity == Severity::Warning)
            );
            texts(&report)
        };
        let texts = found(&worker, 3_600_000, "delete");
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(
            texts[0].contains("keeps 1 h, but store.rebuild reads 7 d back"),
            "{texts:?}"
        );
        for (kept, cleanup) in [(7 * DAY_MS, "delete"), (-1, "delete")] {
            assert!(found(&worker, kept, cleanup).is_empty(), "{kept}");
        }
        let texts = found(&worker, 3_600_000, "compact");
        assert!(texts.len() == 1 && texts[0].contains("is compacted"), "{texts:?}");
        assert_eq!(found(&worker, 3_600_000, "compact,delete").len(), 2);
        worker.warmup = Duration::from_secs(30 * 86_400);
        let texts = found(&worker, 7 * DAY_MS, "delete");
        assert!(
            texts.len() == 1 && texts[0].contains("input.warmup reads 30 d back"),
            "{texts:?}"
        );
    }

    #[test]
    fn fit_spans_are_for_people() {
        let hour = 3_600_000;
        let spans = [
            0,
            500,
            30_000,
            90_000,
            hour,
            90 * 60_000,
            25 * hour,
            DAY_MS,
            60 * hour,
            7 * DAY_MS,
        ];
        let shown: Vec<String> = spans.into_iter().map(span).collect();
        let wanted = [
            "0 ms", "500 ms", "30 s", "90 s", "1 h", "90 min", "25 h", "1 d", "2.5 d", "7 d",
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn fit_one_is_no_plural() {
        let (_, mut worker) = config();
        worker.workers = 2;
        let mut report = report(vec![topic("sensors", Role::Input, 1, 3)]);
        compare(&worker, &mut report);
        let text = texts(&report).remove(0);
        assert!(
            text.contains("2 workers and only 1 partition: 1 worker would be idle"),
            "{text}"
        );
    }
}
