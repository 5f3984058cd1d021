//! The network learns while it serves, through the whole daemon: on streams that no expert can predict, its weight rises
//! above all others' and the quantile loss falls below the experts' own.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::broker::daemon::{Daemon, await_until};
use crate::broker::{Broker, kcat, sections, topics, unique};

const STREAMS: usize = 12;
/// Steps of every stream between two looks at how far training is.
const BURST: usize = 100;
const BURSTS_MAX: usize = 60;
/// Steps of every stream that are judged, the newest.
const JUDGED: usize = 300;
/// Loss of the pipeline with the network over that of the experts alone, at horizon 1. An untrained network has 1.00;
/// the map below is noiseless but for rounding, so a network that has learnt its shape goes far below.
const LOSS_RATIO_MAX: f64 = 0.7;

fn config(broker: &Broker, name: &str) -> String {
    let pipeline = |pipeline: &str, network: &str| {
        format!(
            r#"
[pipeline.{pipeline}]
input = {{ topics = ["{name}.in"], format = "json", id = "id", time = "t", values = ["v"], start = "earliest" }}
output = {{ topic = "{name}.{pipeline}", start_when = "always" }}
dead_letter = {{ topic = "{name}.dead" }}
interval = "1m"
seasons = [24]
horizons = [1, 2]
quantiles = [0.1, 0.5, 0.9]
model = {{ cell = "gru", hidden = 32, layers = 1 }}
experts = ["last", "seasonal", "level", "week_profile", "day", "week"{network}]
"#
        )
    };
    format!(
        r#"{}
[training]
cpu_share = 1
publish_interval_s = 1
{}{}"#,
        sections(&broker.servers, name, "a", "commit_interval_ms = 100"),
        pipeline("learning", r#", "network""#),
        pipeline("experts", "")
    )
}

/// x' = 3.8 x (1 − x), the logistic map in its chaotic range: no linear forecast beats the mean, and one that knows
/// the parabola is exact (May 1976).
struct Chaos {
    minute: i64,
    values: Vec<f64>,
}

impl Chaos {
    fn new() -> Self {
        let values = (0..STREAMS).map(|stream| 0.1 + 0.06 * stream as f64).collect();
        Self { minute: 0, values }
    }

    fn next(&mut self) -> Vec<String> {
        let mut lines = Vec::with_capacity(STREAMS * BURST);
        for _ in 0..BURST {
            for (stream, value) in self.values.iter_mut().enumerate() {
                *value = 3.8 * *value * (1.0 - *value);
                let seconds = 1_767_607_200 + self.minute * 60;
                lines.push(format!(r#"{{"id":"s{stream}","t":{seconds},"v":{value:.9}}}"#));
            }
            self.minute += 1;
        }
        lines
    }
}

#[derive(Default)]
struct Judgement {
    /// Mean pinball loss at horizon 1 over the levels .1, .5, .9.
    loss: f64,
    /// Mean weights at horizon 1.
    experts: BTreeMap<String, f64>,
}

/// Judges the forecasts of the newest `JUDGED` origins of every stream whose next value is known.
fn judge(records: &[kcat::Record]) -> Judgement {
    let mut streams: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
    for record in records {
        let forecast = serde_json::from_str(record.value.as_ref().unwrap()).unwrap();
        streams
            .entry(record.key.clone().unwrap())
            .or_default()
            .push(forecast);
    }
    assert_eq!(streams.len(), STREAMS);
    let mut judgement = Judgement::default();
    let mut count = 0.0;
    for forecasts in streams.values() {
        for pair in forecasts[forecasts.len() - JUDGED - 1..].windows(2) {
            let truth = pair[1]["observed"].as_f64().unwrap();
            for level in [0.1, 0.5, 0.9] {
                let error = truth - pair[0]["quantiles"][level.to_string()][0].as_f64().unwrap();
                judgement.loss += f64::max(level * error, (level - 1.0) * error) / 3.0;
            }
            for (name, weight) in pair[0]["experts"].as_object().unwrap() {
                *judgement.experts.entry(name.clone()).or_default() += weight.as_f64().unwrap();
            }
            count += 1.0;
        }
    }
    judgement.loss /= count;
    judgement.experts.values_mut().for_each(|weight| *weight /= count);
    judgement
}

/// Feeds burst by burst, until the network weighs twice what any expert does or the bursts are at their end.
fn feed_until_learnt(servers: &str, daemon: &Daemon, (input, learning): (&str, &str)) {
    let mut chaos = Chaos::new();
    let mut fed = 0;
    for burst in 1..=BURSTS_MAX {
        let lines = chaos.next();
        let messages: Vec<_> = lines
            .iter()
            .map(|line| (Some("k"), Some(line.as_str())))
            .collect();
        kcat::write(servers, input, 0, &messages);
        fed += lines.len();
        await_until("the burst is served", Duration::from_secs(60), || {
            let served = daemon.metric("tidecast_observations_total", "forecast")?;
            (served >= 2.0 * fed as f64).then_some(())
        });
        // The stream is not to run away from the trainer: a sensor would take minutes for this burst.
        let visited = 8.0 * fed as f64;
        await_until("the trainer keeps up", Duration::from_secs(60), || {
            let trained = daemon
                .metric("tidecast_training_rows_total", "learning")
                .unwrap_or(0.0);
            (burst < 10 || trained >= visited).then_some(())
        });
        if burst > 10 && burst % 5 == 0 {
            let judged = judge(&kcat::read(servers, learning));
            let network = judged.experts["network"];
            if judged
                .experts
                .iter()
                .all(|(expert, &weight)| expert == "network" || weight < network / 2.0)
            {
                break;
            }
        }
    }
}

#[test]
fn learning_network_leads_where_no_expert_can() {
    let broker = Broker::shared();
    let name = unique("learning");
    let (input, learning, experts) = (
        format!("{name}.in"),
        format!("{name}.learning"),
        format!("{name}.experts"),
    );
    topics(
        broker,
        &[
            (&input, 1),
            (&learning, 1),
            (&experts, 1),
            (&format!("{name}.dead"), 1),
        ],
    );
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(dir.path(), &config(broker, &name));
    daemon.await_ready();
    feed_until_learnt(&broker.servers, &daemon, (&input, &learning));
    let with = judge(&kcat::read(&broker.servers, &learning));
    let without = judge(&kcat::read(&broker.servers, &experts));
    assert!(daemon.terminate().success());
    println!(
        "loss {} with, {} without; weights {:?}",
        with.loss, without.loss, with.experts
    );
    let network = with.experts["network"];
    for (expert, weight) in &with.experts {
        assert!(
            expert == "network" || *weight < network,
            "{expert} {weight} leads the network's {network}"
        );
    }
    assert!(!without.experts.contains_key("network"));
    let ratio = with.loss / without.loss;
    assert!(ratio < LOSS_RATIO_MAX, "loss ratio {ratio}");
}
