//! The anomaly: the numbers over the prototype's forecasts (`tests/fixtures/experts/anomaly.py`).

use bytemuck::Zeroable;

use crate::experts::anomaly::{Anomaly, surprise};
use crate::experts::pending::Issued;

const FIXTURE: &str = include_str!("../../../tests/fixtures/experts/anomaly.csv");

/// Of a score in 0..1: f32 over 1500 rows; the fixture has four digits.
const TOLERANCE: f32 = 2e-4;
/// Half a day of the fixture, in steps.
const HALF_DAY: u32 = 12;
/// Scores of noise stay below; every event of the fixture is above.
const EVENT: f32 = 0.07;

/// Of an error in units of its forecast's spread; blank: it had none.
fn surprise_of(error: &&str) -> f32 {
    let issued = Issued {
        spread: f32::from(u8::from(!error.is_empty())),
        ..Issued::zeroed()
    };
    surprise(&issued, error.parse().unwrap_or(0.0))
}

#[test]
fn scores_and_peaks_are_those_of_the_prototypes_forecasts() {
    let (mut events, mut apart, mut rows) = (0, 0, 0);
    for name in ["day", "gaps"] {
        let mut anomaly = Anomaly::zeroed();
        for line in FIXTURE.lines().filter(|line| line.starts_with(name)) {
            let cells: Vec<&str> = line.split(',').collect();
            let x = cells[2..5].iter().map(surprise_of).sum();
            let verdict = anomaly.judge(x, HALF_DAY);
            let (score, peak) = (cells[5].parse::<f32>().unwrap(), cells[6] == "1");
            let at = || format!("{line}: {verdict:?}");
            assert!((verdict.score - score).abs() < TOLERANCE, "{}", at());
            if score >= EVENT {
                assert_eq!(verdict.peak, peak, "{}", at());
                events += u32::from(peak);
            }
            apart += u32::from(verdict.peak != peak);
            rows += 1;
        }
    }
    assert_eq!(events, 7);
    assert!(
        apart * 100 < rows,
        "eight bins are the window all but {apart} times of {rows}"
    );
}
