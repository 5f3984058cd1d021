//! Signals, keys, and the alternate screen.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};

use crate::daemon::Stop;

/// The thread that listens for SIGINT and SIGTERM.
pub(crate) struct Signals(JoinHandle<()>);

impl Signals {
    /// Waits for the thread; the stop must have been requested.
    pub(crate) fn join(self) {
        let _ = self.0.join(); // it holds nothing that could be lost
    }
}

/// Turns SIGINT and SIGTERM into a stop.
///
/// # Errors
/// The system has no thread or no signal handling.
pub(crate) fn signals(stop: &Stop) -> anyhow::Result<Signals> {
    let stop = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("no runtime for signals")?;
    let thread = thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let (Ok(mut interrupt), Ok(mut terminate)) =
                    (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
                else {
                    return;
                };
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    () = stop.requested() => {}
                }
            });
            stop.request();
        })
        .context("no thread for signals")?;
    Ok(Signals(thread))
}

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Quit,
    /// Streams down; negative: up.
    Scroll(isize),
}

/// Waits at most `timeout` for a key that means something.
///
/// # Errors
/// The terminal is gone.
pub(crate) fn wish(timeout: Duration) -> io::Result<Option<Wish>> {
    if !event::poll(timeout)? {
        return Ok(None);
    }
    let Event::Key(key) = event::read()? else {
        return Ok(None);
    };
    if key.kind == KeyEventKind::Release {
        return Ok(None);
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Ok(match key.code {
        KeyCode::Char('c' | 'd') if control => Some(Wish::Quit),
        KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Quit),
        KeyCode::Down | KeyCode::Char('j') => Some(Wish::Scroll(1)),
        KeyCode::Up | KeyCode::Char('k') => Some(Wish::Scroll(-1)),
        KeyCode::PageDown => Some(Wish::Scroll(10)),
        KeyCode::PageUp => Some(Wish::Scroll(-10)),
        KeyCode::Home => Some(Wish::Scroll(isize::MIN / 2)),
        KeyCode::End => Some(Wish::Scroll(isize::MAX / 2)),
        _ => None,
    })
}
