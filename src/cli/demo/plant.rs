//! A simulated plant: pumps that share a demand, tanks that they fill, a compressor that cycles.
//!
//! Pure and seeded: the same seed gives the same readings. What a forecaster can find in it: a daily and a weekly cycle,
//! load steps that last for hours, slow responses (temperatures lag the load), and cycles with hysteresis (tanks, the
//! compressor) that no linear rule follows. Three sensors of the first line misbehave, each in its own way: see
//! [`faults`].

pub(crate) mod faults;

use std::f64::consts::TAU;

use rand::{Rng as _, SeedableRng as _};
use rand_pcg::Pcg64;

use super::reading::{Reading, Readings};

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// Sensors of one line of the plant. A line is two pumps, two tanks and a compressor.
const SENSORS: [&str; 12] = [
    "pump-1/flow",
    "pump-1/temperature",
    "pump-2/flow",
    "pump-2/vibration",
    "tank-1/level",
    "tank-2/level",
    "compressor/pressure",
    "compressor/power",
    "compressor/temperature",
    "pump-1/pressure",
    "pump-2/temperature",
    "tank-1/temperature",
];

/// What the plant is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub seed: u64,
    /// Sensors, at least 1.
    pub streams: usize,
    /// Time of the first readings, milliseconds since 1970.
    pub start_ms: i64,
    /// Between two readings of a sensor.
    pub interval_ms: i64,
    /// Time from which on sensors fail: the history before is clean.
    pub faults_from_ms: i64,
}

/// The plant.
pub(crate) struct Plant {
    options: Options,
    names: Vec<String>,
    lines: Vec<Line>,
    faults: faults::Faults,
    step: i64,
}

impl Plant {
    pub(crate) fn new(options: Options) -> Self {
        let count = options.streams.div_ceil(SENSORS.len());
        let names = (0..options.streams).map(name).collect();
        let lines = (0..count as u64)
            .map(|line| Line::new(options.seed.wrapping_add(line.wrapping_mul(0x9e37_79b9))))
            .collect();
        Self {
            options,
            names,
            lines,
            faults: faults::Faults::new(options.seed),
            step: 0,
        }
    }
}

/// Name of the sensor at `index`: the lines after the first carry on the numbers of its machines.
fn name(index: usize) -> String {
    let (line, sensor) = (index / SENSORS.len(), SENSORS[index % SENSORS.len()]);
    let (machine, quantity) = sensor.split_once('/').expect("every sensor has a machine");
    let machine = match machine.split_once('-') {
        Some((kind, number)) => {
            let number: usize = number.parse().expect("machines are numbered");
            format!("{kind}-{}", 2 * line + number)
        }
        None if line == 0 => machine.to_owned(),
        None => format!("{machine}-{}", line + 1),
    };
    format!("{machine}/{quantity}")
}

impl Readings for Plant {
    fn names(&self) -> &[String] {
        &self.names
    }

    fn next(&mut self, out: &mut Vec<Reading>) -> bool {
        out.clear();
        let Options {
            start_ms,
            interval_ms,
            streams,
            faults_from_ms,
            ..
        } = self.options;
        let time_ms = start_ms + self.step * interval_ms;
        let fault_ms = time_ms - faults_from_ms;
        let hours = interval_ms as f64 / HOUR_MS as f64;
        for (index, line) in self.lines.iter_mut().enumerate() {
            let values = line.step(time_ms, hours);
            let first = index * SENSORS.len();
            for (sensor, value) in values.into_iter().enumerate().take(streams - first) {
                let stream = first + sensor;
                let read = if index == 0 {
                    self.faults.read(sensor, fault_ms, value)
                } else {
                    faults::Read::Value(value)
                };
                let value = match read {
                    faults::Read::Silent => continue,
                    faults::Read::Null => None,
                    faults::Read::Value(value) => Some(round(value)),
                };
                out.push(Reading {
                    stream,
                    time_ms,
                    value,
                });
            }
        }
        self.step += 1;
        true
    }
}

/// Sensors report three decimals.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// One line's physics. Everything is in the units of the sensors; hours are the unit of time.
struct Line {
    random: Pcg64,
    /// Load step: a factor around 1, and the hours until the next one.
    load: f64,
    load_hours: f64,
    /// Slow noise of the demand.
    wander: f64,
    warm: [f64; 3],
    level: [f64; 2],
    filling: [bool; 2],
    pressure: f64,
    running: bool,
}

impl Line {
    fn new(seed: u64) -> Self {
        let mut random = Pcg64::seed_from_u64(seed);
        let share = uniform(&mut random);
        Self {
            random,
            load: 1.0,
            load_hours: 3.0,
            wander: 0.0,
            warm: [45.0, 42.0, 60.0],
            level: [40.0 + 30.0 * share, 70.0 - 30.0 * share],
            filling: [true, false],
            pressure: 7.0,
            running: true,
        }
    }

    /// Values of the sensors after one interval of `hours`, in the order of [`SENSORS`].
    fn step(&mut self, time_ms: i64, hours: f64) -> [f64; SENSORS.len()] {
        let demand = self.demand(time_ms, hours);
        let noise: [f64; SENSORS.len()] = std::array::from_fn(|_| normal(&mut self.random));
        let day = phase(time_ms, DAY_MS);
        let ambient = 16.0 + 5.0 * (TAU * (day - 0.37)).sin();
        let flow = [52.0 * demand, 38.0 * demand.powf(0.8)];
        let heat = [
            ambient + 0.55 * flow[0],
            ambient + 0.60 * flow[1],
            ambient + 44.0 * demand,
        ];
        for (warm, target) in self.warm.iter_mut().zip(heat) {
            *warm += (target - *warm) * (1.0 - (-hours / 2.5).exp());
        }
        self.tanks(demand, hours);
        self.compressor(demand, hours);
        let power = if self.running {
            74.0 + 5.0 * (self.pressure - 7.0)
        } else {
            11.0
        };
        [
            flow[0] + 0.5 * noise[0],
            self.warm[0] + 0.15 * noise[1],
            flow[1] + 0.4 * noise[2],
            1.2 + 0.0011 * flow[1].powi(2) + 0.08 * noise[3],
            self.level[0] + 0.15 * noise[4],
            self.level[1] + 0.15 * noise[5],
            self.pressure + 0.015 * noise[6],
            power + 0.6 * noise[7],
            self.warm[2] + 0.2 * noise[8],
            3.0 + 0.0006 * flow[0].powi(2) + 0.03 * noise[9],
            self.warm[1] + 0.15 * noise[10],
            ambient + 8.0 + 0.03 * self.level[0] + 0.1 * noise[11],
        ]
    }

    /// Two shifts a day, quieter weekends, load steps of a few hours, slow noise. Around 1.
    fn demand(&mut self, time_ms: i64, hours: f64) -> f64 {
        let day = phase(time_ms, DAY_MS);
        let shifts = 0.75 + 0.30 * (TAU * (day - 0.29)).sin() + 0.14 * (2.0 * TAU * (day - 0.10)).sin();
        let weekend = (time_ms.div_euclid(DAY_MS) + 3).rem_euclid(7) >= 5; // 1970-01-01 was a Thursday
        self.load_hours -= hours;
        if self.load_hours <= 0.0 {
            self.load = 0.88 + 0.24 * uniform(&mut self.random);
            self.load_hours = 2.0 + 7.0 * uniform(&mut self.random);
        }
        let keep = (-hours / 1.5_f64).exp();
        self.wander = keep * self.wander + 0.02 * (1.0 - keep * keep).sqrt() * normal(&mut self.random);
        let week = if weekend { 0.72 } else { 1.0 };
        (week * shifts * self.load + self.wander).max(0.15)
    }

    /// Each tank empties with the demand and is refilled between two marks: a cycle of hours, faster under load.
    fn tanks(&mut self, demand: f64, hours: f64) {
        for (index, (inflow, draw)) in [(34.0, 13.0), (26.0, 9.0)].into_iter().enumerate() {
            let level = &mut self.level[index];
            if *level <= 25.0 {
                self.filling[index] = true;
            } else if *level >= 80.0 {
                self.filling[index] = false;
            }
            let filling = if self.filling[index] { inflow } else { 0.0 };
            *level = (*level + hours * (filling - draw * demand)).clamp(0.0, 100.0);
        }
    }

    /// Runs until the vessel is full, rests until it is not.
    fn compressor(&mut self, demand: f64, hours: f64) {
        if self.pressure >= 7.8 {
            self.running = false;
        } else if self.pressure <= 6.4 {
            self.running = true;
        }
        let rise = if self.running { 2.3 } else { 0.0 };
        self.pressure = (self.pressure + hours * (rise - 1.15 * demand)).clamp(5.5, 8.5);
    }
}

/// Share of the period that has passed, in 0..1.
fn phase(time_ms: i64, period_ms: i64) -> f64 {
    time_ms.rem_euclid(period_ms) as f64 / period_ms as f64
}

/// In 0..1.
fn uniform(random: &mut Pcg64) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Standard normal, by Box and Muller.
fn normal(random: &mut Pcg64) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(random)).ln()).sqrt();
    radius * (TAU * uniform(random)).cos()
}

#[cfg(test)]
mod tests;
