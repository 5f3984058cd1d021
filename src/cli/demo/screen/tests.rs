//! What is on the screen, at several sizes.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::board::tests::board;
use super::super::status::tests::status;
use super::*;

fn shown(width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(frame, &board(), &status(), 0))
        .unwrap();
    terminal.backend().to_string()
}

#[test]
fn screen_wide_says_everything_of_a_stream_in_its_row() {
    let shown = shown(150, 24);
    let row = shown.lines().find(|line| line.contains("pump-1/flow")).unwrap();
    for part in ["network 62 %", "%", "…", "▁", "█"] {
        assert!(row.contains(part), "no `{part}` in\n{shown}");
    }
    for part in [
        "tidecast",
        "in 1 h",
        "in 12 h",
        "80 % band",
        "led by",
        "in band",
        "skill",
        "ANOMALY",
        "waiting",
        "model version 7",
        "q: quit",
    ] {
        assert!(shown.contains(part), "no `{part}` in\n{shown}");
    }
}

#[test]
fn screen_narrow_keeps_name_reading_band_and_scores() {
    let shown = shown(80, 20);
    let row = shown.lines().find(|line| line.contains("pump-1/flow")).unwrap();
    assert!(row.contains('…') && row.contains('%'), "{shown}");
    assert!(shown.contains("in band") && shown.contains("skill"), "{shown}");
}

#[test]
fn screen_cuts_nothing_at_common_sizes() {
    for (width, height) in [(130, 40), (100, 30), (80, 24)] {
        let shown = shown(width, height);
        for part in [
            "in 12 h, 80 %",
            "in band ",
            " skill ",
            "state",
            "ANOMALY",
            "last = no",
        ] {
            assert!(shown.contains(part), "{width}: no `{part}` in\n{shown}");
        }
        let column = shown
            .lines()
            .any(|line| line.contains("sensor ") && line.contains("led by"));
        assert_eq!(column, width >= 100, "{shown}");
    }
}

#[test]
fn screen_shows_twelve_sensors_at_common_sizes() {
    let names: Vec<String> = (0..12)
        .map(|sensor| format!("compressor/temperature{sensor}"))
        .collect();
    let status = Status {
        hint: super::super::plant::faults::hint(12),
        place: vec!["everything runs in this process".to_owned(), "x".repeat(70)],
        ..status()
    };
    for (width, height) in [(130, 40), (100, 30), (80, 24)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let board = Board::new(&names, 300_000, 86_400_000);
        terminal.draw(|frame| draw(frame, &board, &status, 0)).unwrap();
        let shown = terminal.backend().to_string();
        assert!(
            shown.contains("temperature11") && !shown.contains("to scroll"),
            "{shown}"
        );
    }
}

#[test]
fn screen_breaks_sentences_between_words() {
    assert_eq!(broken("one two three", 9), [" one two", " three"]);
    assert_eq!(broken("incomprehensible", 5), [" incomprehensible"]);
}

#[test]
fn screen_survives_any_size() {
    for (width, height) in [(1, 1), (10, 3), (40, 8), (300, 100)] {
        shown(width, height);
    }
}
