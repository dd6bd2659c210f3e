//! How far something is that takes long: a bar on a terminal, lines elsewhere. Messages do not run
//! into the bar.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use tracing::info;

use crate::devices::lock;
use crate::standard_error;

/// What takes less than that needs no bar.
const SOON: Duration = Duration::from_secs(2);
/// How often a line says how far it is.
const EVERY: Duration = Duration::from_secs(10);

/// The bar that is on the terminal.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// How far something is, in bytes. It disappears when this is dropped.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    bar: ProgressBar,
    total: u64,
    /// Whether there can be a bar.
    terminal: bool,
    /// When something is to be said next.
    next: Mutex<Instant>,
}

impl Progress {
    /// Nothing of `total` bytes is done yet.
    pub fn new(what: &'static str, total: u64) -> Self {
        Self::with_terminal(what, total, io::stderr().is_terminal())
    }

    fn with_terminal(what: &'static str, total: u64, terminal: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}");
        // The template is right, so there is no error; without it there is another bar.
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self {
            what,
            bar,
            total,
            terminal,
            next: Mutex::new(Instant::now() + SOON),
        }
    }

    /// So many more bytes are done.
    pub fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        let now = Instant::now();
        let mut next = lock(&self.next);
        if now < *next {
            return;
        }
        *next = now + EVERY;
        drop(next);
        if self.terminal {
            let mut shown = lock(&SHOWN);
            if shown.is_none() {
                let target = ProgressDrawTarget::term_like(Box::<Drawing>::default());
                self.bar.set_draw_target(target);
                *shown = Some(self.bar.clone());
            }
        } else {
            let done = self.bar.position();
            info!(
                mebibytes = done >> 20,
                of = self.total >> 20,
                percent = percent(done, self.total),
                "{}",
                self.what
            );
        }
    }
}

fn percent(done: u64, total: u64) -> u64 {
    u64::try_from(u128::from(done) * 100 / u128::from(total.max(1))).unwrap_or(100)
}

impl Drop for Progress {
    fn drop(&mut self) {
        lock(&SHOWN).take();
        self.bar.finish_and_clear();
    }
}

/// What the bar draws, on its way to standard error in one piece.
#[derive(Default, Debug)]
struct Drawing(Mutex<Vec<u8>>);

impl Drawing {
    fn add(&self, text: &str) -> io::Result<()> {
        lock(&self.0).write_all(text.as_bytes())
    }

    /// Moves the cursor by lines or columns.
    fn go(&self, count: usize, direction: char) -> io::Result<()> {
        match count {
            0 => Ok(()),
            _ => self.add(&format!("\x1b[{count}{direction}")),
        }
    }
}

impl TermLike for Drawing {
    fn width(&self) -> u16 {
        console::Term::stderr().size().1
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.go(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.go(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.go(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.go(n, 'D')
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(text)?;
        self.add("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let bytes = std::mem::take(&mut *lock(&self.0));
        if !bytes.is_empty() {
            standard_error::say(&bytes);
        }
        Ok(())
    }
}

/// Standard error, for whole lines: a bar makes room for them.
#[derive(Clone, Copy, Debug)]
pub struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &*lock(&SHOWN) {
            Some(bar) => bar.suspend(|| standard_error::say(bytes)),
            None => standard_error::say(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn parts_of_a_hundred() {
        assert_eq!(percent(0, 0), 0);
        assert_eq!(percent(1, 3), 33);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
    }

    #[test]
    fn a_drawing_goes_out_in_one_piece() {
        let drawing = Drawing::default();
        drawing.clear_line().unwrap();
        drawing.write_str("bar").unwrap();
        drawing.move_cursor_up(0).unwrap();
        drawing.move_cursor_up(2).unwrap();
        assert_eq!(*lock(&drawing.0), b"\r\x1b[2Kbar\x1b[2A");
    }

    /// What is said of a progress while `action` lasts.
    fn said(action: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Written(Arc<Mutex<Vec<u8>>>);

        impl Write for Written {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                lock(&self.0).write(bytes)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .finish();
        tracing::subscriber::with_default(subscriber, action);
        String::from_utf8(lock(&written.0).clone()).unwrap()
    }

    #[test]
    fn without_a_terminal_lines_say_how_far_it_is_and_not_too_often() {
        let text = said(|| {
            let progress = Progress::with_terminal("filling memory", 8 << 20, false);
            progress.advance(1 << 20);
            // The time has come.
            *lock(&progress.next) = Instant::now();
            progress.advance(1 << 20);
            progress.advance(1 << 20);
        });
        let [line] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("{text}");
        };
        for part in ["filling memory", "mebibytes=2 of=8 percent=25"] {
            assert!(line.contains(part), "{line}");
        }
    }
}
