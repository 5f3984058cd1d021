//! Sections `service`, `store` and `training`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::domain;
use crate::config::process::LogFormat;
use crate::config::reader::{Reader, Section};
use crate::config::tree::Node;
use crate::store;

const DAY_MS: i64 = 86_400_000;

/// Section `service`.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) instance: String,
    pub(super) http: SocketAddr,
    pub(super) log: String,
    pub(super) log_format: LogFormat,
    pub(super) shutdown_grace: Duration,
}

pub(super) fn service(mut section: Section<'_>, reader: &mut Reader) -> Option<Service> {
    let instance = section.read(reader, "instance", |node| {
        let name = domain::text(node)?;
        domain::identifier(&name).map(|()| name)
    });
    let http = section.read(reader, "http", |node| {
        let text = domain::text(node)?;
        text.parse().map_err(|_| {
            format!("`{text}` is no address, an IP and a port are needed: write \"127.0.0.1:9464\" or \"[::1]:9464\"")
        })
    });
    let log = section.read(reader, "log", |node| {
        let text = domain::text(node)?;
        if text.trim().is_empty() {
            return Err(
                "is empty, nothing would be logged: set \"info\", or \"off\" if that is meant".to_owned(),
            );
        }
        // The log's own parser passes over what it does not know; a filter that filters nothing is found here.
        match tracing_subscriber::EnvFilter::try_new(&text) {
            Ok(_) => Ok(text),
            Err(error) => Err(format!(
                "`{text}` is no filter, {error}: write \"info\" or \"info,tidecast::worker=debug\""
            )),
        }
    });
    let log_format = section.read(reader, "log_format", |node| {
        let choices = [
            ("auto", LogFormat::Auto),
            ("journald", LogFormat::Journald),
            ("text", LogFormat::Text),
            ("json", LogFormat::Json),
        ];
        domain::choice(node, &choices, &[])
    });
    let shutdown_grace = section.read(reader, "shutdown_grace", |node| {
        domain::duration(
            node,
            &(1000..=600_000),
            "less cuts the last commit off, more outlasts the service manager",
        )
    });
    section.finish(reader);
    Some(Service {
        instance: instance?,
        http: http?,
        log: log?,
        log_format: log_format?,
        shutdown_grace: shutdown_grace?,
    })
}

/// Section `store`: the store, and how state is kept in it and made anew.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) config: store::Config,
    pub(super) rebuild: Duration,
    pub(super) snapshot_interval: Duration,
    pub(super) snapshot_bytes_per_s: u64,
}

pub(super) fn store(mut section: Section<'_>, reader: &mut Reader) -> Option<Store> {
    let url = section.read(reader, "url", store_url);
    let snapshot_interval = section.read(reader, "snapshot_interval_s", |node| {
        seconds(
            node,
            &(1..=86_400),
            "more would be read again for hours after a crash",
        )
    });
    let snapshot_mb_per_s = section.read(reader, "snapshot_mb_per_s", |node| {
        domain::whole(node, &(1..=100_000), "less would never be done")
    });
    let keep = section.read(reader, "keep", |node| {
        domain::count(
            node,
            &(3..=1000),
            "with fewer a damaged one and a crash while the next is written could leave none",
        )
    });
    let rebuild = section.read(reader, "rebuild", |node| {
        domain::duration(
            node,
            &(0..=366 * DAY_MS),
            "a year of history is more than any stream keeps",
        )
    });
    section.finish(reader);
    Some(Store {
        config: store::Config {
            url: url?,
            keep: keep?,
        },
        rebuild: rebuild?,
        snapshot_interval: snapshot_interval?,
        snapshot_bytes_per_s: snapshot_mb_per_s?.unsigned_abs() * 1_000_000,
    })
}

/// A whole number of seconds.
fn seconds(node: &Node, range: &RangeInclusive<i64>, why: &str) -> Result<Duration, String> {
    let seconds = domain::whole(node, range, why)?;
    Ok(Duration::from_secs(
        u64::try_from(seconds).expect("ranges of seconds begin at 0 or above"),
    ))
}

fn store_url(node: &Node) -> Result<String, String> {
    let url = domain::text(node)?;
    let way_out = "write \"file:///var/lib/tidecast\"";
    if url.starts_with("s3:") {
        return Err(format!(
            "`{url}` is not served yet, models and snapshots are kept on a local disk: {way_out}"
        ));
    }
    let path = url.strip_prefix("file://");
    let path = path.ok_or_else(|| {
        format!("`{url}` is no place for models and snapshots, only file:// is served: {way_out}")
    })?;
    if !path.starts_with('/') {
        return Err(format!(
            "`{url}` has no absolute path, three slashes begin it: {way_out}"
        ));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(format!(
            "`{url}` goes up by `..`, where that ends is guesswork: {way_out}"
        ));
    }
    Ok(url)
}

/// Section `training`, for every pipeline.
#[derive(Clone, Debug)]
pub(super) struct Training {
    pub(super) cpu_share: f64,
    pub(super) publish_interval: Duration,
    pub(super) tape_bytes: usize,
    pub(super) tape_share: f64,
    pub(super) lag_pause: i64,
}

pub(super) fn training(mut section: Section<'_>, reader: &mut Reader) -> Option<Training> {
    let cpu_share = section.read(reader, "cpu_share", |node| {
        domain::share(node, &(0.0..=1.0), "a trainer is one thread, and 0 turns it off")
    });
    let publish_interval = section.read(reader, "publish_interval_s", |node| {
        seconds(
            node,
            &(1..=86_400),
            "each version is a file and a switch of every worker",
        )
    });
    let tape_bytes = section.read(reader, "tape", |node| {
        domain::size(node, &(1_000_000..=1 << 40), "less holds no mini-batch")
    });
    let tape_share = section.read(reader, "tape_share", |node| {
        domain::share(node, &(0.0..=1.0), "it is a share of the streams")
    });
    let lag_pause = section.read(reader, "lag_pause", |node| {
        domain::whole(node, &(1..=i64::MAX), "a lag of 0 is never reached")
    });
    section.finish(reader);
    Some(Training {
        cpu_share: cpu_share?,
        publish_interval: publish_interval?,
        tape_bytes: tape_bytes?,
        tape_share: tape_share?,
        lag_pause: lag_pause?,
    })
}
