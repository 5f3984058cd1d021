//! The loop of the view: takes what came out, looks at the clock and the keys, draws.

use std::io::{self, Write as _};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;

use super::board::{Board, Event};
use super::log::Notes;
use super::pump::{Progress, Rate};
use super::setup::Stage;
use super::status::Status;
use super::terminal::{self, Wish};
use super::{clock, plain, screen, training};
use crate::daemon::Stop;

/// Between two pictures of the live view.
const FRAME: Duration = Duration::from_millis(125);
/// Between two blocks of the plain one.
const BLOCK: Duration = Duration::from_secs(4);
/// Between two looks at the metrics.
const SCRAPE: Duration = Duration::from_secs(1);
/// How long the end waits for outcomes that are underway.
const LAST_WAIT: Duration = Duration::from_secs(15);

/// The same where somebody asked for the end.
const QUIT_WAIT: Duration = Duration::from_secs(3);

/// What the loop needs.
pub(crate) struct Show<'a> {
    pub board: Board,
    pub what: String,
    /// What to watch for.
    pub hint: Option<String>,
    /// End after so long.
    pub seconds: Option<u64>,
    pub stage: &'a Stage,
    pub progress: &'a Progress,
    pub notes: &'a Notes,
    /// Asked for by whoever watches.
    pub quit: &'a Stop,
    /// Ends feeding.
    pub feed_stop: &'a Stop,
    /// Ends everything.
    pub stop: &'a Stop,
}

/// What changes from look to look.
struct Looks {
    start: Instant,
    fed: Rate,
    forecasts: Rate,
    speed: Rate,
    scraped: Option<Instant>,
    training: Option<String>,
    scroll: usize,
    live: bool,
    /// Since when nothing more is fed.
    ending: Option<Instant>,
}

impl Show<'_> {
    /// Shows until the time is over, the source has ended, or somebody ends it; then waits for what is underway and prints
    /// the totals.
    ///
    /// # Errors
    /// stdout or the terminal is gone.
    pub(crate) fn run(&mut self, events: &Receiver<Vec<Event>>, live: bool) -> anyhow::Result<()> {
        self.show(events, live).or_else(nobody_reads_on)
    }

    fn show(&mut self, events: &Receiver<Vec<Event>>, live: bool) -> anyhow::Result<()> {
        let mut looks = Looks {
            start: clock::now(),
            fed: Rate::default(),
            forecasts: Rate::default(),
            speed: Rate::default(),
            scraped: None,
            training: None,
            scroll: 0,
            live,
            ending: None,
        };
        if live {
            let mut terminal = ratatui::try_init()?;
            let shown = self.live(&mut terminal, &mut looks, events);
            ratatui::restore();
            shown?;
        } else {
            self.plain(&mut looks, events)?;
        }
        while let Ok(batch) = events.try_recv() {
            batch.into_iter().for_each(|event| self.board.take(event));
        }
        let status = self.status(&mut looks);
        let mut out = io::stdout().lock();
        if live {
            out.write_all(plain::opening(&status).as_bytes())?;
            out.write_all(plain::block(&self.board, &status).as_bytes())?;
        }
        out.write_all(plain::closing(&self.board, &status).as_bytes())?;
        out.flush()?;
        for note in self.notes.all() {
            writeln!(io::stderr(), "{note}")?;
        }
        Ok(())
    }

    fn live(
        &mut self,
        terminal: &mut DefaultTerminal,
        looks: &mut Looks,
        events: &Receiver<Vec<Event>>,
    ) -> anyhow::Result<()> {
        loop {
            let frame_end = clock::now() + FRAME;
            self.take_until(events, frame_end.min(clock::now() + FRAME / 2));
            let status = self.status(looks);
            looks.scroll = looks.scroll.min(self.board.streams.len().saturating_sub(1));
            terminal.draw(|frame| screen::draw(frame, &self.board, &status, looks.scroll))?;
            let left = frame_end.saturating_duration_since(clock::now());
            match terminal::wish(left)? {
                Some(Wish::Quit) => self.quit.request(),
                Some(Wish::Scroll(by)) => looks.scroll = looks.scroll.saturating_add_signed(by),
                None => {}
            }
            if self.ending(looks) {
                return Ok(());
            }
        }
    }

    fn plain(&mut self, looks: &mut Looks, events: &Receiver<Vec<Event>>) -> anyhow::Result<()> {
        let status = self.status(looks);
        io::stdout().write_all(plain::opening(&status).as_bytes())?;
        let mut next = looks.start + BLOCK;
        loop {
            let slice = clock::now() + FRAME;
            self.take_until(events, slice.min(next));
            let status = self.status(looks);
            if self.ending(looks) {
                return Ok(());
            }
            if looks.ending.is_none() && clock::now() >= next {
                io::stdout().write_all(plain::block(&self.board, &status).as_bytes())?;
                next += BLOCK;
            }
        }
    }

    /// Takes what came out until `end`.
    fn take_until(&mut self, events: &Receiver<Vec<Event>>, end: Instant) {
        loop {
            let left = end.saturating_duration_since(clock::now());
            match events.recv_timeout(left) {
                Ok(batch) => batch.into_iter().for_each(|event| self.board.take(event)),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => {
                    let _ = self.quit.wait(left); // nothing will come any more: keep the pace of the pictures
                    return;
                }
            }
            if clock::now() >= end {
                return;
            }
        }
    }

    /// Whether the view is to end now. Once its time is over, nothing more is fed, and what is underway may arrive.
    fn ending(&self, looks: &mut Looks) -> bool {
        let progress = self.progress;
        if self.stage.ended() || progress.failed.load(Ordering::Acquire) {
            return true;
        }
        let now = clock::now();
        let elapsed = now.duration_since(looks.start);
        let late = self
            .seconds
            .is_some_and(|seconds| elapsed >= Duration::from_secs(seconds));
        // On a terminal the last picture of a file stays until somebody has looked at it.
        let ended = progress.done.load(Ordering::Acquire) && !(looks.live && self.seconds.is_none());
        let quit = self.quit.is_requested();
        if !late && !ended && !quit {
            return false;
        }
        self.feed_stop.request();
        let since = *looks.ending.get_or_insert(now);
        let arrived = progress.ended.load(Ordering::Acquire) && progress.underway() == 0;
        arrived || now.duration_since(since) > if quit { QUIT_WAIT } else { LAST_WAIT }
    }

    fn status(&self, looks: &mut Looks) -> Status {
        let now = clock::now();
        let elapsed = now.duration_since(looks.start);
        if looks
            .scraped
            .is_none_or(|then| now.duration_since(then) >= SCRAPE)
        {
            looks.scraped = Some(now);
            if let Some(metrics) = training::scrape(self.stage.http) {
                looks.training = training::says(&metrics).or(looks.training.take());
            }
        }
        let progress = self.progress;
        let fed = progress.fed.load(Ordering::Acquire);
        let time_ms = progress.time_ms.load(Ordering::Acquire);
        Status {
            what: self.what.clone(),
            hint: self.hint.clone(),
            place: self.stage.place.clone(),
            elapsed,
            fed,
            underway: progress.underway(),
            written_off: progress.written_off.load(Ordering::Acquire),
            fed_rate: looks.fed.update(elapsed, fed as f64),
            forecast_rate: looks.forecasts.update(elapsed, self.board.forecasts as f64),
            speed: if time_ms == 0 {
                0.0
            } else {
                looks.speed.update(elapsed, time_ms as f64 / 1000.0)
            },
            live: progress.live.load(Ordering::Acquire),
            held_back: progress.held_back.load(Ordering::Acquire),
            done: progress.done.load(Ordering::Acquire),
            training: looks.training.clone(),
            note: self.notes.last(),
        }
    }
}

/// `tidecast demo | head`: a reader that has seen enough is no error.
fn nobody_reads_on(error: anyhow::Error) -> anyhow::Result<()> {
    let closed = error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    if closed { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn show_takes_a_closed_pipe_for_an_end_and_nothing_else() {
        let error = |kind: io::ErrorKind| anyhow::Error::from(io::Error::from(kind));
        assert!(nobody_reads_on(error(io::ErrorKind::BrokenPipe)).is_ok());
        assert!(nobody_reads_on(error(io::ErrorKind::StorageFull)).is_err());
    }
}
