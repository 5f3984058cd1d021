//! kcat: writes test input, and reads what became visible to a `read_committed` client.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// A record as kcat shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) partition: i64,
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Record {
    /// The last header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What kcat prints of a topic, from its beginning to its end as it is now; `shape` says how.
fn consume(servers: &str, topic: &str, isolation: &str, shape: &[&str]) -> Vec<u8> {
    let output = Command::new("kcat")
        .args(["-b", servers, "-C", "-t", topic, "-o", "beginning", "-e", "-q"])
        .args([
            "-X",
            &format!("isolation.level={isolation}"),
            "-X",
            "check.crcs=true",
        ])
        .args(shape)
        .output()
        .expect("kcat is installed by `make test`");
    assert!(
        output.status.success(),
        "kcat: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn lines(output: &[u8]) -> impl Iterator<Item = &[u8]> {
    output
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
}

/// Everything of a topic that a `read_committed` reader sees now, by partition and offset.
pub(crate) fn read(servers: &str, topic: &str) -> Vec<Record> {
    let mut records: Vec<Record> = lines(&consume(servers, topic, "read_committed", &["-J"]))
        // Keys need not be text; kcat shows their bytes as they are.
        .map(|line| record(&serde_json::from_str(&String::from_utf8_lossy(line)).unwrap()))
        .collect();
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// How many records of a topic a reader sees: a careful one, or one that takes those of aborted transactions too.
pub(crate) fn count(servers: &str, topic: &str, committed_only: bool) -> usize {
    let isolation = if committed_only {
        "read_committed"
    } else {
        "read_uncommitted"
    };
    lines(&consume(servers, topic, isolation, &["-f", "%o\\n"])).count()
}

/// A topic of one partition, each record in the bytes of kcat's `format`.
pub(crate) fn read_bytes(servers: &str, topic: &str, format: &str) -> Vec<u8> {
    consume(servers, topic, "read_committed", &["-f", format])
}

fn record(json: &serde_json::Value) -> Record {
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let headers = json["headers"].as_array().map_or_else(Vec::new, |list| {
        list.chunks(2)
            .map(|pair| (text(&pair[0]).unwrap(), text(&pair[1]).unwrap_or_default()))
            .collect()
    });
    Record {
        partition: json["partition"].as_i64().unwrap(),
        offset: json["offset"].as_i64().unwrap(),
        timestamp_ms: json["ts"].as_i64().unwrap(),
        key: text(&json["key"]),
        value: text(&json["payload"]),
        headers,
    }
}

/// Writes `key, value` pairs to one partition, in order. Neither may hold a line break; `None` is null.
pub(crate) fn write(servers: &str, topic: &str, partition: i32, messages: &[(Option<&str>, Option<&str>)]) {
    let lines: Vec<u8> = messages
        .iter()
        .flat_map(|(key, value)| format!("{}\u{1}{}\n", key.unwrap_or(""), value.unwrap_or("")).into_bytes())
        .collect();
    write_bytes(servers, topic, partition, &lines);
}

/// Writes lines `key 0x01 value` to one partition, in order; an empty side is null.
pub(crate) fn write_bytes(servers: &str, topic: &str, partition: i32, lines: &[u8]) {
    write_with(servers, topic, partition, lines, &[]);
}

/// The same, with these headers (`name=value`) on every record.
pub(crate) fn write_with(servers: &str, topic: &str, partition: i32, lines: &[u8], headers: &[&str]) {
    let mut child = Command::new("kcat")
        .args([
            "-b",
            servers,
            "-P",
            "-t",
            topic,
            "-p",
            &partition.to_string(),
            "-K",
            "\u{1}",
            "-Z",
        ])
        .args(["-X", "enable.idempotence=true", "-X", "message.max.bytes=4000000"])
        .args(headers.iter().flat_map(|header| ["-H", header]))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("kcat is installed by `make test`");
    let mut stdin = child.stdin.take().unwrap();
    let lines = lines.to_vec();
    // From a thread: kcat may fill its error pipe while we fill its input.
    let writer = std::thread::Builder::new()
        .spawn(move || stdin.write_all(&lines))
        .unwrap();
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(
        output.status.success(),
        "kcat: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
