//! The live view.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};

use super::board::{Board, Mark, PAST_CELLS, Stream};
use super::plant::faults::TOLD;
use super::status::Status;
use super::{clock, plain, text};

const DIM: Style = Style::new().fg(Color::DarkGray);
const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);
const NEXT: Color = Color::Cyan;

/// Draws everything; `scroll` is the first stream on show.
pub(crate) fn draw(frame: &mut Frame<'_>, board: &Board, status: &Status, scroll: usize) {
    let head = header(board, status, frame.area());
    let foot = footer(board, status, frame.area().width);
    let height = |lines: &[Line<'_>]| Constraint::Length(u16::try_from(lines.len()).unwrap_or(9));
    let rows = Layout::vertical([
        height(&head),
        Constraint::Min(3),
        Constraint::Length(1),
        height(&foot),
    ]);
    let [top, middle, gap, bottom] = rows.areas(frame.area());
    frame.render_widget(Paragraph::new(head), top);
    streams(frame, middle, board, scroll);
    frame.render_widget(keys(board, middle, scroll), gap);
    frame.render_widget(Paragraph::new(foot), bottom);
}

/// What this is, where it runs, and how to read it. Lines break where the terminal is narrow; on a small one only what is
/// needed stays, so that the streams have room.
fn header(board: &Board, status: &Status, area: Rect) -> Vec<Line<'static>> {
    let time = if board.time_ms == i64::MIN {
        String::new()
    } else {
        format!(" {} ", clock::minute(board.time_ms))
    };
    let title = Style::new()
        .fg(Color::Black)
        .bg(NEXT)
        .add_modifier(Modifier::BOLD);
    let mut lines = titled(Span::styled(" tidecast demo ", title), &status.what, area.width);
    lines.extend(titled(Span::styled(time, HEAD), &status.pace(), area.width));
    let mut say = |text: &str, style: Style| {
        lines.extend(
            broken(text, area.width)
                .into_iter()
                .map(|line| Line::styled(line, style)),
        );
    };
    if area.height < 30 || area.width < 100 {
        status.hint.iter().for_each(|_| say(TOLD, DIM));
        status
            .place
            .iter()
            .skip(status.place.len().saturating_sub(1))
            .for_each(|text| say(text, DIM));
        say(plain::LEGEND_SHORT, Style::new());
        say(plain::LED_SHORT, Style::new());
        return lines;
    }
    let told = status.hint.iter().flat_map(|hint| [hint.as_str(), TOLD]);
    told.chain(status.place.iter().map(String::as_str))
        .for_each(|text| say(text, DIM));
    if area.height < 36 {
        say(plain::LEGEND_SHORT, Style::new());
        say(plain::LED_SHORT, Style::new());
        say("", DIM);
        return lines;
    }
    say("", DIM);
    say(
        "Each row is one sensor: its reading now, the forecast with its 80 % band, and how right its forecasts were so far.",
        Style::new(),
    );
    say(plain::LEGEND, Style::new());
    say(plain::LED, Style::new());
    say("", DIM);
    lines
}

/// A styled word and a text behind it, or below it where the line is too short for both.
fn titled(word: Span<'static>, text: &str, width: u16) -> Vec<Line<'static>> {
    if word.content.is_empty() {
        return broken(text, width).into_iter().map(Line::raw).collect();
    }
    if word.content.chars().count() + text.chars().count() < usize::from(width) {
        return vec![Line::from(vec![word, Span::raw(format!(" {text}"))])];
    }
    let below = broken(text, width).into_iter().map(Line::raw);
    std::iter::once(Line::from(word)).chain(below).collect()
}

/// Breaks a sentence into lines of at most `width`, with a space before each.
fn broken(text: &str, width: u16) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is always a line");
        if line.chars().count() + word.chars().count() + 1 > usize::from(width) && !line.is_empty() {
            lines.push(format!(" {word}"));
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines
}

/// Columns that fit, in order of what a reader misses most.
struct Columns {
    name: u16,
    next: bool,
    /// Cells of the sparkline: past, and forecast; none where it does not fit.
    past: usize,
    ahead: usize,
    /// Cells of the board that one cell of the picture stands for.
    merge: usize,
    leader: bool,
    far: u16,
    state: u16,
}

/// Characters of a band without its median, and of a state, where there is little room.
const BAND: u16 = 18;
const STATE: u16 = 16;
/// A sparkline of fewer cells shows nothing.
const CELLS_MIN: u16 = 14;

impl Columns {
    fn fit(width: u16, board: &Board) -> Self {
        let names = board.streams.iter().take(200);
        let longest = names.map(|stream| stream.name.chars().count()).max();
        let name = u16::try_from(longest.unwrap_or(0).clamp(8, 24)).expect("clamped");
        // reading 8, in band 7, skill 6, and the spaces between six columns; the rest is band and state
        let rest = width.saturating_sub(name + 8 + 7 + 6 + 5);
        let band = if rest < BAND + STATE { BAND - 3 } else { BAND };
        let mut spare = rest.saturating_sub(band + STATE);
        let mut take = |wanted: u16, left: u16| {
            let fits = spare >= wanted + left;
            spare -= if fits { wanted } else { 0 };
            fits
        };
        let leader = take(18, 0);
        let next = take(11, CELLS_MIN);
        let state = if take(6, CELLS_MIN + 6) { STATE + 6 } else { STATE };
        let far = if take(9, CELLS_MIN + 6) { band + 9 } else { band };
        let cells = usize::from(if spare > CELLS_MIN { spare - 1 } else { 0 });
        let (merge, past, ahead) = Self::sparkline(cells, board);
        Self {
            name,
            next,
            past,
            ahead,
            merge,
            leader,
            far,
            state,
        }
    }

    /// The finest cells with which the whole past and the forecast fit: merge, past, ahead.
    fn sparkline(cells: usize, board: &Board) -> (usize, usize, usize) {
        let fits = |merge: usize| {
            let ahead = board
                .streams
                .iter()
                .map(|stream| text::path(stream, board.cell_ms * merge as i64).len());
            let (past, ahead) = (PAST_CELLS / merge, ahead.max().unwrap_or(0));
            (past + ahead <= cells).then_some((merge, past, ahead))
        };
        (1..=PAST_CELLS / 6).find_map(fits).unwrap_or((1, 0, 0))
    }
}

fn streams(frame: &mut Frame<'_>, area: Rect, board: &Board, scroll: usize) {
    let columns = Columns::fit(area.width, board);
    let shown = usize::from(area.height.saturating_sub(1));
    let spark = u16::try_from((columns.past + columns.ahead).max(13)).unwrap_or(16);
    let mut widths = vec![Constraint::Length(columns.name), Constraint::Length(8)];
    let mut titles = vec!["sensor".to_owned(), right("now", 8)];
    let record = board.streams.iter().find_map(|stream| stream.record.as_ref());
    let interval_ms = record.map_or(board.interval_ms, |record| record.interval_ms);
    let (near, far) = record.map_or((1, 1), |record| {
        (record.ahead[0].steps, record.ahead[record.ahead.len() - 1].steps)
    });
    if columns.next {
        widths.push(Constraint::Length(10));
        titles.push(right(&text::ahead(near, interval_ms), 10));
    }
    widths.push(Constraint::Length(columns.far));
    let far = text::ahead(far, interval_ms);
    let titled = vec![
        format!("{far}, 80 % band"),
        format!("{far}, 80 %"),
        "80 % band".to_owned(),
    ];
    titles.push(right(
        &text::fitting(titled, columns.far.into()),
        columns.far.into(),
    ));
    if columns.past > 0 {
        widths.push(Constraint::Length(spark));
        let past_ms = board.cell_ms * (columns.past * columns.merge) as i64;
        let past = clock::span(past_ms);
        let titled = vec![
            format!("last {past}, next"),
            format!("last {past}"),
            "past".to_owned(),
        ];
        titles.push(text::fitting(titled, spark.into()));
    }
    if columns.leader {
        widths.push(Constraint::Length(17));
        titles.push("led by".to_owned());
    }
    widths.extend([
        Constraint::Length(7),
        Constraint::Length(6),
        Constraint::Min(columns.state),
    ]);
    titles.extend([right("in band", 7), right("skill", 6), "state".to_owned()]);
    let rows: Vec<Row<'_>> = board
        .streams
        .iter()
        .skip(scroll)
        .take(shown)
        .map(|stream| row(board, stream, &columns))
        .collect();
    let table = Table::new(rows, widths)
        .header(Row::new(titles).style(HEAD))
        .column_spacing(1);
    frame.render_widget(table, area);
}

fn right(text: &str, width: usize) -> String {
    format!("{text:>width$}")
}

fn row<'a>(board: &Board, stream: &'a Stream, columns: &Columns) -> Row<'a> {
    let Some(record) = &stream.record else {
        let blanks =
            4 + usize::from(columns.next) + usize::from(columns.leader) + usize::from(columns.past > 0);
        let mut cells = vec![Cell::from(stream.name.as_str())];
        cells.extend((0..blanks).map(|_| Cell::from("")));
        cells.push(Cell::from(text::state(board, stream, columns.state.into())));
        return Row::new(cells).style(DIM);
    };
    let (near, far) = (&record.ahead[0], &record.ahead[record.ahead.len() - 1]);
    let mut cells = vec![
        Cell::from(stream.name.as_str()),
        Cell::from(right(&text::number(record.observed), 8)).bold(),
    ];
    if columns.next {
        cells.push(Cell::from(right(&text::number(near.mid), 10)).fg(NEXT));
    }
    let band = format!("{} … {}", text::number(far.low), text::number(far.high));
    let band = if columns.far > BAND {
        format!("{} in {band}", text::number(far.mid))
    } else {
        band
    };
    cells.push(Cell::from(right(&band, columns.far.into())).fg(NEXT));
    if columns.past > 0 {
        let cell_ms = board.cell_ms * columns.merge as i64;
        let (past, next) = text::sparkline(
            &stream.past(columns.past, columns.merge),
            &text::path(stream, cell_ms),
        );
        cells.push(Cell::from(Line::from(vec![
            Span::raw(past),
            Span::styled(next, Style::new().fg(NEXT)),
        ])));
    }
    if columns.leader {
        let style = if record.leader.0 == "network" {
            Style::new().fg(Color::Magenta)
        } else {
            Style::new()
        };
        cells.push(Cell::from(text::leader(&record.leader)).style(style));
    }
    let coverage = stream.score.coverage();
    let skill = stream.score.skill();
    cells.push(Cell::from(right(&text::percent(coverage), 7)).style(coverage_style(coverage)));
    cells.push(Cell::from(right(&text::signed_percent(skill), 6)).style(skill_style(skill)));
    cells.push(Cell::from(state(board, stream, columns.state.into())));
    Row::new(cells)
}

fn state(board: &Board, stream: &Stream, width: usize) -> Line<'static> {
    let style = match board.mark(stream) {
        Mark::Anomaly => Style::new()
            .fg(Color::White)
            .bg(Color::Red)
            .add_modifier(Modifier::BOLD),
        Mark::Silent(_) | Mark::Stale => Style::new().fg(Color::Yellow),
        Mark::Fine => Style::new().fg(Color::Green),
        _ => DIM,
    };
    let text = text::state(board, stream, width);
    let (said, truth) = text.split_at(text.find(text::TRUTH).unwrap_or(text.len()));
    Line::from(vec![
        Span::styled(said.trim_end().to_owned(), style),
        Span::raw(" ".repeat(said.len() - said.trim_end().len())),
        Span::styled(truth.to_owned(), Style::new().fg(Color::Yellow)),
    ])
}

/// Green where the band holds what it promises.
fn coverage_style(coverage: Option<f64>) -> Style {
    match coverage {
        Some(share) if (0.74..=0.88).contains(&share) => Style::new().fg(Color::Green),
        Some(_) => Style::new().fg(Color::Yellow),
        None => DIM,
    }
}

fn skill_style(skill: Option<f64>) -> Style {
    match skill {
        Some(share) if share > 0.0 => Style::new().fg(Color::Green),
        Some(_) => Style::new().fg(Color::Yellow),
        None => DIM,
    }
}

fn keys(board: &Board, area: Rect, scroll: usize) -> Paragraph<'static> {
    let shown = usize::from(area.height.saturating_sub(1));
    let total = board.streams.len();
    let last = (scroll + shown).min(total);
    let more = if total > shown {
        format!("   sensors {} to {last} of {total}: ↑ ↓ to scroll", scroll + 1)
    } else {
        String::new()
    };
    Paragraph::new(Line::styled(format!(" q: quit{more}"), DIM))
}

fn footer(board: &Board, status: &Status, width: u16) -> Vec<Line<'static>> {
    let lines = status.lines(board);
    let mut out: Vec<Line<'static>> = lines
        .iter()
        .flat_map(|text| broken(text, width))
        .map(Line::raw)
        .collect();
    if let Some(note) = &status.note {
        out.extend(
            broken(note, width)
                .into_iter()
                .take(2)
                .map(|line| Line::styled(line, Style::new().fg(Color::Yellow))),
        );
    }
    out
}

#[cfg(test)]
mod tests;
