//! A network that cuts, stalls and slows down.

use std::time::Duration;

use super::oracle::Violation;
use super::processes::held;
use super::proxy::{Proxy, Weather};
use super::rig::{Rig, Settings, Summary};
use crate::broker::Broker;
use crate::broker::daemon::{Stopwatch, pass};

/// What happens between daemon and broker, and for how long.
const STORMS: [(Weather, u64, &str); 4] = [
    (Weather::Cut, 3, "the network is cut for 3 s"),
    // Beyond the session, the transaction, every request and the commit that waits for them.
    (Weather::Stalled, 40, "the network is stalled for 40 s"),
    (Weather::Slow, 6, "the network is slow for 6 s"),
    (Weather::Cut, 0, "connections are cut once"),
];

pub(super) fn network(broker: &Broker, ports: (u16, u16), seed: u64) -> Result<Summary, Violation> {
    let (listener, port) = ports;
    let proxy = Proxy::start(port, listener);
    let settings = Settings {
        servers: Some(format!("127.0.0.1:{port}")),
        ..Settings::new(seed)
    };
    let rig = Rig::start(broker, "network", settings);
    let daemons = vec![rig.daemon("a"), rig.daemon("b")];
    for (weather, seconds, fault) in STORMS {
        rig.progress()?;
        proxy.set(weather);
        pass(Duration::from_secs(seconds) + Duration::from_millis(200));
        proxy.set(Weather::Fair);
        let (since, mark) = (Stopwatch::start(), rig.mark());
        rig.recover(fault, since, &mark)?;
    }
    rig.finish(daemons)
}

#[test]
fn faults_network_cut_stalled_and_slow() {
    let (broker, listener, proxy) = Broker::start_proxied("network");
    held(network(&broker, (listener, proxy), 61));
}
