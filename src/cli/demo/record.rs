//! The forecast record as a team downstream reads it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::clock;

#[derive(Deserialize)]
struct Wire {
    stream: String,
    origin: String,
    interval_ms: i64,
    observed: f64,
    horizons: Vec<u32>,
    quantiles: BTreeMap<String, Vec<f64>>,
    status: String,
    #[serde(default)]
    ready_in: Option<u32>,
    /// Name to weight.
    experts: BTreeMap<String, f64>,
    model_version: u64,
    anomaly: Option<Anomaly>,
}

/// How unusual the reading was.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub(crate) struct Anomaly {
    pub score: f64,
    pub flag: bool,
}

/// Median and the band of 80 % at one horizon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ahead {
    /// In steps.
    pub steps: u32,
    pub low: f64,
    pub mid: f64,
    pub high: f64,
}

/// One forecast.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub stream: String,
    pub origin_ms: i64,
    /// 0 while unknown.
    pub interval_ms: i64,
    pub observed: f64,
    /// By horizon, ascending, at least one.
    pub ahead: Vec<Ahead>,
    /// Whether the stream is in service.
    pub ready: bool,
    pub status: String,
    pub ready_in: Option<u32>,
    /// Expert of the largest weight, and that weight.
    pub leader: (String, f64),
    pub model_version: u64,
    pub anomaly: Option<Anomaly>,
}

impl Record {
    /// Reads the value of a forecast record with the quantiles 0.1, 0.5 and 0.9.
    ///
    /// # Errors
    /// What does not fit the contract.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let wire: Wire = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let origin_ms = clock::parse(&wire.origin).ok_or_else(|| format!("`{}` is no time", wire.origin))?;
        let level = |name: &str| {
            let values = wire
                .quantiles
                .get(name)
                .ok_or_else(|| format!("no quantile `{name}`"))?;
            let fits = values.len() == wire.horizons.len();
            fits.then_some(values)
                .ok_or_else(|| format!("quantile `{name}` has {} values", values.len()))
        };
        let (low, mid, high) = (level("0.1")?, level("0.5")?, level("0.9")?);
        let ahead: Vec<_> = (0..wire.horizons.len())
            .map(|h| Ahead {
                steps: wire.horizons[h],
                low: low[h],
                mid: mid[h],
                high: high[h],
            })
            .collect();
        if ahead.is_empty() {
            return Err("no horizon".to_owned());
        }
        let leader = wire
            .experts
            .into_iter()
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap_or_default();
        Ok(Self {
            stream: wire.stream,
            origin_ms,
            interval_ms: wire.interval_ms,
            observed: wire.observed,
            ahead,
            ready: wire.status == "ready",
            status: wire.status,
            ready_in: wire.ready_in,
            leader,
            model_version: wire.model_version,
            anomaly: wire.anomaly,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"v":1,"pipeline":"plant","stream":"pump-7/temperature","origin":"2026-11-24T10:00:00Z",
        "interval_ms":60000,"observed":21.5,"horizons":[1,3],"mean":[21.6,21.7],
        "quantiles":{"0.1":[21.2,21.0],"0.5":[21.6,21.7],"0.9":[21.9,22.3]},"status":"ready",
        "experts":{"last":0.3,"network":0.7},"model_version":12,"anomaly":{"score":0.12,"p":0.31,"flag":false},
        "source":{"topic":"sensors","partition":3,"offset":1234,"index":0}}"#;

    #[test]
    fn record_reads_the_contract_example() {
        let record = Record::parse(TEXT.as_bytes()).unwrap();
        assert_eq!(record.stream, "pump-7/temperature");
        assert_eq!(record.origin_ms, 1_795_514_400_000);
        assert_eq!(
            record.ahead[1],
            Ahead {
                steps: 3,
                low: 21.0,
                mid: 21.7,
                high: 22.3
            }
        );
        assert_eq!(record.leader, ("network".to_owned(), 0.7));
        assert!(record.ready && record.anomaly.is_some_and(|anomaly| !anomaly.flag));
    }

    #[test]
    fn record_refuses_what_the_contract_does_not_know() {
        assert!(Record::parse(b"{}").is_err());
        let other = TEXT.replace("\"0.9\"", "\"0.95\"");
        assert_eq!(Record::parse(other.as_bytes()).unwrap_err(), "no quantile `0.9`");
    }
}
