//! The fault suite: the daemon on a real Kafka, under everything that goes wrong.
//!
//! | part | does |
//! |---|---|
//! | [`feed`] | writes numbered records, good and bad, at a steady rate, and knows what must become of each |
//! | [`observer`] | reads everything `read_committed` **while** the faults happen, and again at the end |
//! | [`oracle`], [`rerun`] | one outcome for every observation, in order; dead letters byte for byte; forecasts byte for byte as the engine makes them, run on the input topic with the versions that the records name |
//! | [`rig`] | holds a pipeline's topics, feeder, observer and daemons together |
//! | [`proxy`] | the network |
//! | the others | scenarios: `faults_<name>`, each prints a line per fault with its recovery time, from the end of the fault until a `read_committed` reader sees a forecast of something that was fed after it |
//!
//! Tests named `faults_control_…` switch a mechanism off and want to see the oracle red. `soak_…` repeat scenarios with
//! random seeds for `TIDECAST_SOAK_SECONDS`.

mod bomb;
mod brokers;
mod cluster;
#[cfg(feature = "faults")]
mod controls;
mod feed;
mod lag;
mod network;
mod observer;
mod oracle;
#[cfg(feature = "faults")]
mod points;
mod processes;
mod proxy;
mod rerun;
mod rig;
mod soak;
mod stores;
mod topics;
mod wall;
