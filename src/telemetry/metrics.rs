//! The registry behind `/metrics`.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter as IntegerCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as AnyGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::telemetry::table::{Kind, TABLE};

/// Content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Names and values of labels, in the order of the table's help.
pub type Labels = Vec<(&'static str, String)>;

/// A counter of a label set: one atomic, to be kept by who counts.
pub type Counter = IntegerCounter<f64, AtomicU64>;
type Gauge = AnyGauge<f64, AtomicU64>;

/// Every metric of [`TABLE`]. Counters and histograms are pushed through handles; gauges are set anew for each scrape,
/// so that what is no longer there is no longer shown.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    counters: BTreeMap<&'static str, Family<Labels, Counter>>,
    gauges: BTreeMap<&'static str, Family<Labels, Gauge>>,
    histograms: BTreeMap<&'static str, Family<Labels, Histogram>>,
    /// Held while gauges are set and written, so that two scrapes do not clear each other's.
    scrape: Mutex<()>,
}

/// 1 ms to 65 s by factors of 2: a commit takes tens of milliseconds, and its limit is 15 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All of the table, nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            counters: BTreeMap::new(),
            gauges: BTreeMap::new(),
            histograms: BTreeMap::new(),
            scrape: Mutex::new(()),
        };
        for row in TABLE {
            match row.kind {
                Kind::Counter => {
                    let family = Family::<Labels, Counter>::default();
                    // The encoder appends `_total`.
                    let name = row.name.trim_end_matches("_total");
                    metrics.registry.register(name, row.help, family.clone());
                    metrics.counters.insert(row.name, family);
                }
                Kind::Gauge => {
                    let family = Family::<Labels, Gauge>::default();
                    metrics.registry.register(row.name, row.help, family.clone());
                    metrics.gauges.insert(row.name, family);
                }
                Kind::Histogram => {
                    let family = Family::<Labels, Histogram>::new_with_constructor(seconds);
                    metrics.registry.register(row.name, row.help, family.clone());
                    metrics.histograms.insert(row.name, family);
                }
            }
        }
        metrics
    }

    /// Handle of a counter.
    ///
    /// # Panics
    /// If the table has no counter of that name.
    #[must_use]
    pub fn counter(&self, name: &str, labels: &Labels) -> Counter {
        let family = self
            .counters
            .get(name)
            .expect("the table has every counter that is asked for");
        family.get_or_create_owned(labels)
    }

    /// Handle of a histogram.
    ///
    /// # Panics
    /// If the table has no histogram of that name.
    #[must_use]
    pub fn histogram(&self, name: &str, labels: &Labels) -> Histogram {
        let family = self
            .histograms
            .get(name)
            .expect("the table has every histogram that is asked for");
        family.get_or_create_owned(labels)
    }

    /// The exposition: clears the gauges, lets `set` set them, writes everything.
    ///
    /// # Panics
    /// Never: a `String` takes whatever is written.
    pub fn text(&self, set: impl FnOnce(&Gauges<'_>)) -> String {
        let scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        for family in self.gauges.values() {
            family.clear();
        }
        set(&Gauges { metrics: self });
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes whatever is written");
        drop(scrape);
        text
    }
}

/// The gauges of one scrape.
#[derive(Debug)]
pub struct Gauges<'a> {
    metrics: &'a Metrics,
}

impl Gauges<'_> {
    /// Sets a gauge; a value that is not finite is left out.
    ///
    /// # Panics
    /// If the table has no gauge of that name.
    pub fn set(&self, name: &str, labels: &Labels, value: f64) {
        let family = self
            .metrics
            .gauges
            .get(name)
            .expect("the table has every gauge that is set");
        if value.is_finite() {
            family.get_or_create_owned(labels).set(value);
        }
    }
}

/// Raises a counter to a total that is kept elsewhere; a total that fell (its keeper began again) counts from 0.
#[derive(Clone, Debug)]
pub struct Total {
    counter: Counter,
    seen: f64,
}

impl Total {
    /// Over `counter`.
    #[must_use]
    pub const fn new(counter: Counter) -> Self {
        Self { counter, seen: 0.0 }
    }

    /// The keeper's total is `total` now.
    pub fn raise(&mut self, total: f64) {
        let more = if total >= self.seen {
            total - self.seen
        } else {
            total
        };
        self.seen = total;
        if more > 0.0 {
            self.counter.inc_by(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plant() -> Labels {
        vec![("pipeline", "plant".to_owned())]
    }

    #[test]
    fn metrics_text_contains_the_whole_table() {
        let metrics = Metrics::new();
        for row in TABLE {
            match row.kind {
                Kind::Counter => drop(metrics.counter(row.name, &plant())),
                Kind::Histogram => metrics.histogram(row.name, &plant()).observe(0.5),
                Kind::Gauge => {}
            }
        }
        let gauges: Vec<_> = TABLE.iter().filter(|row| row.kind == Kind::Gauge).collect();
        let text = metrics.text(|set| gauges.iter().for_each(|row| set.set(row.name, &plant(), 1.5)));
        for row in TABLE {
            let sample = match row.kind {
                Kind::Counter => format!("\n{}{{pipeline=\"plant\"}} 0", row.name),
                Kind::Gauge => format!("\n{}{{pipeline=\"plant\"}} 1.5", row.name),
                Kind::Histogram => format!("\n{}_count{{pipeline=\"plant\"}} 1", row.name),
            };
            assert!(text.contains(&sample), "{sample:?} is missing in\n{text}");
            let help = format!("{} {}", row.name.trim_end_matches("_total"), row.help);
            assert!(text.contains(&help), "{help:?} is missing");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn table_names_are_unique_and_follow_their_kind() {
        for (index, row) in TABLE.iter().enumerate() {
            assert!(row.name.starts_with("tidecast_"), "{}", row.name);
            assert_eq!(
                row.name.ends_with("_total"),
                row.kind == Kind::Counter,
                "{}",
                row.name
            );
            assert!(
                !TABLE[..index].iter().any(|other| other.name == row.name),
                "{} twice",
                row.name
            );
        }
    }

    #[test]
    fn gauges_that_are_not_set_again_are_gone() {
        let metrics = Metrics::new();
        let with = metrics.text(|set| set.set("tidecast_streams", &plant(), 7.0));
        let without = metrics.text(|set| set.set("tidecast_streams", &plant(), f64::NAN));
        assert!(
            with.contains("tidecast_streams{pipeline=\"plant\"} 7.0"),
            "{with}"
        );
        assert!(!without.contains("tidecast_streams{"), "{without}");
    }

    #[test]
    fn total_counts_on_when_its_keeper_begins_again() {
        let metrics = Metrics::new();
        let counter = metrics.counter("tidecast_training_rows_total", &plant());
        let mut total = Total::new(counter.clone());
        for now in [5.0, 5.0, 9.0, 2.0, 3.0] {
            total.raise(now);
        }
        assert_eq!(counter.get().to_bits(), 12.0_f64.to_bits());
    }
}
