//! `tidecast backtest` as a data scientist meets it: the binary, a file, its exit codes.

use std::path::Path;
use std::process::{Command, Output};

const CONFIG: &str = r#"
[pipeline.plant]
output = { start_when = "always" }
horizons = [1, 12]
model = { hidden = 8 }
train = { chunk = 8, batch = 8 }
"#;

fn backtest(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidecast"))
        .args(["backtest", "--config", "c.toml", "--input", "in.csv"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap()
}

/// A folder with a configuration and two hourly streams of 30 days.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.toml"), CONFIG).unwrap();
    let row = |hour: u32| {
        let wave = (f64::from(hour) * std::f64::consts::TAU / 24.0).sin();
        let rough = f64::from((hour.wrapping_mul(2_654_435_761) >> 8) & 1023) / 4096.0;
        format!(
            "{},{:.3},{:.3}\n",
            hour * 3600,
            20.0 + wave + rough,
            5.0 - wave + rough
        )
    };
    let rows: String = (0..720).map(row).collect();
    std::fs::write(folder.path().join("in.csv"), format!("time,inlet,outlet\n{rows}")).unwrap();
    folder
}

#[test]
fn backtest_beats_the_baselines_on_a_daily_wave_and_repeats_itself_to_the_byte() {
    let folder = folder();
    let run = |name: &str| {
        let output = backtest(folder.path(), &["--json", "--forecasts", name]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.stderr.is_empty(), "no bar where stderr is no terminal");
        (output.stdout, std::fs::read(folder.path().join(name)).unwrap())
    };
    let (first, second) = (run("a.csv"), run("b.csv"));
    assert_eq!(first, second);
    let result: serde_json::Value = serde_json::from_slice(&first.0).unwrap();
    assert_eq!(result["streams"][0]["start_index"], 144);
    for horizon in result["horizons"].as_array().unwrap() {
        let figure = |name: &str| horizon[name].as_f64().unwrap();
        assert!(
            figure("mase") < figure("last_mase") && figure("mase") < figure("seasonal_mase"),
            "{horizon}"
        );
        assert!((0.7..0.9).contains(&figure("coverage_80")), "{horizon}");
    }
}

#[test]
fn backtest_names_line_column_reason_and_way_out_of_bad_data() {
    let folder = folder();
    let good = std::fs::read_to_string(folder.path().join("in.csv")).unwrap();
    let bad = good.replacen("10800,", "10800,n/a", 1);
    std::fs::write(folder.path().join("in.csv"), bad).unwrap();
    let output = backtest(folder.path(), &["--forecasts", "f.csv"]);
    assert_eq!(output.status.code(), Some(65));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in [
        "line 5, column `inlet`",
        "is no finite number",
        "leave the cell blank",
    ] {
        assert!(said.contains(part), "no `{part}` in: {said}");
    }
    assert!(
        !folder.path().join("f.csv").exists(),
        "nothing is written before the file is known to be good"
    );
}
