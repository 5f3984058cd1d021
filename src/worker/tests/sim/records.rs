//! Compares what was published with what should have been.

use super::coverage::Cover;
use super::reference::{Expected, What};
use super::transactions::Published;
use super::world::{Check, World};
use crate::worker::ports::{Destination, PartitionId};

impl World {
    pub(super) fn compare(
        &mut self,
        (id, incarnation): (PartitionId, u32),
        from: i64,
        expected: &[Expected],
        records: &[Published],
    ) {
        let wanted: Vec<_> = expected
            .iter()
            .map(|outcome| (outcome.offset, outcome.index))
            .collect();
        let found: Vec<_> = records.iter().map(Published::source).collect();
        if found != wanted {
            let check = differ(from, &wanted, &found);
            let text = format!("{id:?} from {from} on: published {found:?}, wanted {wanted:?}");
            return self.violate(check, text);
        }
        for (expected, record) in expected.iter().zip(records) {
            let wrong = match &expected.what {
                What::Forecast(..) => self.wrong_forecast((id, incarnation), expected, record),
                What::Letter(reason) => self.wrong_letter((id, incarnation), expected, reason, record),
            };
            if let Some((check, text)) = wrong {
                let text = format!("{id:?} {}/{}: {text}", expected.offset, expected.index);
                return self.violate(check, text);
            }
        }
        for outcome in expected {
            self.cover(match outcome.what {
                What::Forecast(..) => Cover::Outcome,
                What::Letter(_) => Cover::Letter,
            });
        }
    }

    fn wrong_forecast(
        &self,
        (id, incarnation): (PartitionId, u32),
        expected: &Expected,
        record: &Published,
    ) -> Option<(Check, String)> {
        let What::Forecast(stream, bytes, version) = &expected.what else {
            return None;
        };
        let value = record.value.as_deref().unwrap_or_default();
        let sent_ms = self
            .log_of(id, incarnation)
            .raw(expected.offset)
            .map(|input| input.timestamp_ms);
        let heads = record.to == Destination::Forecasts
            && record.key.as_deref() == Some(stream.as_bytes())
            && Some(record.timestamp_ms) == sent_ms
            && record.header("tidecast.model") == format!("plant/{version}");
        if !heads {
            return Some((
                Check::Bytes,
                format!("{record:?}, wanted `{stream}` by {version}"),
            ));
        }
        if value == bytes || is_thinned(value, bytes) {
            return None;
        }
        let (found, wanted) = (String::from_utf8_lossy(value), String::from_utf8_lossy(bytes));
        Some((Check::Bytes, format!("published {found}, wanted {wanted}")))
    }

    fn wrong_letter(
        &self,
        (id, incarnation): (PartitionId, u32),
        expected: &Expected,
        reason: &str,
        record: &Published,
    ) -> Option<(Check, String)> {
        let input = self.log_of(id, incarnation).raw(expected.offset)?;
        let same = record.to == Destination::DeadLetters
            && record.key == input.key
            && record.value == input.value
            && record.timestamp_ms == input.timestamp_ms
            && record.headers.starts_with(&input.headers)
            && record.header("tidecast.reason") == reason;
        (!same).then(|| {
            (
                Check::Letter,
                format!("published {record:?}, wanted `{reason}` of {input:?}"),
            )
        })
    }
}

/// How what was found differs from what was wanted.
fn differ(from: i64, wanted: &[(i64, usize)], found: &[(i64, usize)]) -> Check {
    let mut sorted = found.to_vec();
    sorted.sort_unstable();
    let doubles = sorted.windows(2).any(|pair| pair[0] == pair[1]);
    if doubles || sorted.first().is_some_and(|first| first.0 < from) {
        Check::Twice
    } else if sorted == wanted {
        Check::Order
    } else if found.iter().any(|source| !wanted.contains(source)) {
        Check::Invented
    } else {
        Check::Missing
    }
}

/// Whether `value` is `full` with horizons left out, and says so.
fn is_thinned(value: &[u8], full: &[u8]) -> bool {
    let read = |bytes| serde_json::from_slice::<serde_json::Value>(bytes);
    let (Ok(mut thin), Ok(mut full)) = (read(value), read(full)) else {
        return false;
    };
    if thin["status"] != "degraded" {
        return false;
    }
    let horizons = |record: &serde_json::Value| record["horizons"].as_array().cloned().unwrap_or_default();
    let (kept, all) = (horizons(&thin), horizons(&full));
    let places: Vec<usize> = kept
        .iter()
        .filter_map(|horizon| all.iter().position(|other| other == horizon))
        .collect();
    let pick = |values: &serde_json::Value| -> serde_json::Value {
        places.iter().map(|place| values[*place].clone()).collect()
    };
    let mut quantiles = full["quantiles"].clone();
    for row in quantiles.as_object_mut().into_iter().flatten() {
        *row.1 = pick(row.1);
    }
    full["mean"] = pick(&full["mean"]);
    full["quantiles"] = quantiles;
    for record in [&mut thin, &mut full] {
        record["horizons"].take();
        record["status"].take();
        record.as_object_mut().map(|fields| fields.remove("ready_in"));
    }
    places.len() == kept.len() && kept.len() < all.len() && thin == full
}
