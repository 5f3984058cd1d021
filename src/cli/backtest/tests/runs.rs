//! What a run promises, on files.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Parser as _;

use crate::cli::backtest::run;
use crate::cli::{Command, Line, exit};

/// A folder with a small configuration and a file of three hourly streams.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let config = "[pipeline.plant]\noutput = { start_when = \"always\" }\nhorizons = [1, 3]\n\
             quantiles = [0.025, 0.1, 0.5, 0.9, 0.975]\nmodel = { hidden = 4 }\ntrain = { chunk = 8, batch = 4 }\n";
        std::fs::write(bench.path("c.toml"), config).unwrap();
        std::fs::write(bench.path("in.csv"), Self::table(400, 400)).unwrap();
        bench
    }

    /// Rows of a daily wave with a rough surface; from row `noise_from` on, of something else.
    fn table(rows: u32, noise_from: u32) -> String {
        let mut text = "time,a,b,c\n".to_owned();
        for row in 0..rows {
            let _ = write!(text, "{}", row * 3600);
            for stream in 0..3_u32 {
                let rough =
                    f64::from(row.wrapping_mul(2_654_435_761).wrapping_add(stream * 97) >> 8 & 1023) / 1023.0;
                let wave = (f64::from(row + 5 * stream) * std::f64::consts::TAU / 24.0).sin();
                if row >= noise_from {
                    let _ = write!(text, ",{}", 1e3 * rough);
                } else if (row + stream) % 53 == 7 {
                    text.push(',');
                } else {
                    let _ = write!(text, ",{:.4}", 10.0 + 3.0 * wave + rough);
                }
            }
            text.push('\n');
        }
        text
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The exit code of `tidecast backtest --config c.toml --start-index 100 …`; `@name` is a file of the folder.
    fn run(&self, words: &str) -> u8 {
        let words = format!("tidecast backtest --config @c.toml --start-index 100 {words}");
        let words = words.split_whitespace().map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name).display().to_string(),
            None => word.to_owned(),
        });
        let line = Line::try_parse_from(words).unwrap();
        let Command::Backtest(args) = line.command else {
            panic!("a backtest")
        };
        run(&args).map_or_else(|error| exit::number(&error), |()| 0)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

#[test]
fn backtest_gives_the_same_bytes_twice_with_the_trainer_on() {
    let bench = Bench::new();
    for number in ["1", "2"] {
        let words = format!(
            "--input @in.csv --forecasts @f{number}.csv --anomalies @a{number}.csv --report @r{number}.html"
        );
        assert_eq!(bench.run(&words), 0);
    }
    for name in ["f", "a", "r"] {
        let (first, second) = ([name, "1"].concat(), [name, "2"].concat());
        let end = if name == "r" { "html" } else { "csv" };
        let read = |name: &str| bench.read(&format!("{name}.{end}"));
        assert_eq!(read(&first), read(&second));
    }
    let forecasts = bench.read("f1.csv");
    let mut lines = forecasts.lines();
    assert_eq!(
        lines.next(),
        Some("stream,issued_at,target,horizon,q0.025,q0.1,q0.5,q0.9,q0.975,mean")
    );
    assert!(lines.next().unwrap().starts_with("a,99,100,1,"));
    assert_eq!(forecasts.lines().count(), 1 + 3 * 301 * 2, "missing readings too");
    assert_eq!(bench.read("a1.csv").lines().count(), 1 + 3 * 400);
    assert_eq!(
        bench.run("--input @in.csv --forecasts @untrained.csv --set training.cpu_share=0"),
        0
    );
    assert_ne!(bench.read("untrained.csv"), forecasts, "the trainer has a say");
}

#[test]
fn backtest_forecasts_know_nothing_of_later_rows() {
    let bench = Bench::new();
    std::fs::write(bench.path("noise.csv"), Bench::table(400, 300)).unwrap();
    assert_eq!(bench.run("--input @in.csv --forecasts @f.csv"), 0);
    assert_eq!(bench.run("--input @noise.csv --forecasts @n.csv"), 0);
    let until = |text: &str| -> Vec<String> {
        let issued = |line: &&str| {
            line.split(',')
                .nth(1)
                .and_then(|row| row.parse::<u32>().ok())
                .is_some_and(|row| row < 300)
        };
        text.lines().filter(issued).map(str::to_owned).collect()
    };
    let (whole, noise) = (bench.read("f.csv"), bench.read("n.csv"));
    assert_eq!(until(&whole).len(), 3 * 201 * 2);
    assert_eq!(until(&whole), until(&noise));
    assert_ne!(whole, noise);
}

#[test]
fn backtest_compares_and_draws() {
    let bench = Bench::new();
    std::fs::write(
        bench.path("b.toml"),
        bench
            .read("c.toml")
            .replace("horizons", "experts = [\"last\"]\nhorizons"),
    )
    .unwrap();
    assert_eq!(
        bench.run("--input @in.csv --compare @b.toml --report @page.html --json"),
        0
    );
    let page = bench.read("page.html");
    assert!(!page.contains("__DATA__") && page.contains("\"pipeline\":\"plant\""));
    assert!(
        !page.contains("http://")
            || page.matches("http://").count() == page.matches("http://www.w3.org/2000/svg").count()
    );
    assert!(!page.contains("https://"), "nothing is fetched");
    std::fs::write(
        bench.path("b.toml"),
        bench.read("c.toml").replace("[1, 3]", "[2]"),
    )
    .unwrap();
    assert_eq!(
        bench.run("--input @in.csv --compare @b.toml"),
        65,
        "no horizon is shared"
    );
}

#[test]
fn backtest_answers_with_the_exit_codes_of_the_contract() {
    let bench = Bench::new();
    std::fs::write(bench.path("text.csv"), "time,a\n0,1\n60,much\n").unwrap();
    assert_eq!(bench.run("--input @text.csv"), 65);
    assert_eq!(bench.run("--input @nowhere.csv"), 65);
    assert_eq!(bench.run("--input @in.csv --pipeline other"), 65);
    assert_eq!(bench.run("--input @in.csv --set pipeline.plant.horizons=0"), 78);
    assert_eq!(bench.run("--input @in.csv --forecasts @nowhere/f.csv"), 1);
    assert!(Line::try_parse_from("tidecast backtest --input x --start-index 0".split(' ')).is_err());
}

#[test]
fn backtest_writes_gzip_by_name() {
    let bench = Bench::new();
    assert_eq!(
        bench.run("--input @in.csv --set training.cpu_share=0 --forecasts @f.csv --anomalies @a.csv.gz"),
        0
    );
    assert_eq!(
        bench.run("--input @in.csv --set training.cpu_share=0 --forecasts @f.csv.gz"),
        0
    );
    let zipped = std::fs::File::open(bench.path("f.csv.gz")).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(zipped), &mut text).unwrap();
    assert_eq!(text, bench.read("f.csv"));
}

#[test]
fn backtest_scores_an_event_once() {
    let bench = Bench::new();
    let mut text = "time,a\n".to_owned();
    for row in 0..400_u32 {
        let rough = f64::from(row.wrapping_mul(2_654_435_761) >> 8 & 1023) / 1023.0;
        let event = if (300..306).contains(&row) { 40.0 } else { 0.0 };
        let _ = writeln!(
            text,
            "{},{:.4}",
            row * 3600,
            10.0 + 3.0 * (f64::from(row) * std::f64::consts::TAU / 24.0).sin() + rough + event
        );
    }
    std::fs::write(bench.path("event.csv"), text).unwrap();
    let words = "--input @event.csv --set training.cpu_share=0 --set pipeline.plant.horizons=[1,12,24] --anomalies @a.csv";
    assert_eq!(bench.run(words), 0);
    let scored: Vec<usize> = bench
        .read("a.csv")
        .lines()
        .skip(1)
        .enumerate()
        .filter(|(_, line)| line.split(',').nth(2).unwrap().parse::<f64>().unwrap() > 0.1)
        .map(|(row, _)| row)
        .filter(|row| (290..340).contains(row))
        .collect();
    assert_eq!(scored, [300]);
}
