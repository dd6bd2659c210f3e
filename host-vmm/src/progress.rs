//! A bar on the terminal for what takes long, and messages that do not run into it.

use std::io::{self, IsTerminal as _, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::devices::lock;

/// What takes less than that needs no bar.
const SOON: Duration = Duration::from_secs(2);

/// The bar that is on the terminal.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// How far something is, in bytes. It disappears when this is dropped.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    begin: Instant,
}

impl Progress {
    /// Nothing of `total` bytes is done yet.
    pub fn new(what: &'static str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}");
        // The template is right, so there is no error; without it there is another bar.
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self {
            bar,
            begin: Instant::now(),
        }
    }

    /// So many more bytes are done.
    pub fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        let mut shown = lock(&SHOWN);
        if shown.is_none() && self.begin.elapsed() > SOON && io::stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            *shown = Some(self.bar.clone());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        lock(&SHOWN).take();
        self.bar.finish_and_clear();
    }
}

/// Standard error, for whole lines: a bar makes room for them.
#[derive(Clone, Copy, Debug)]
pub struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &*lock(&SHOWN) {
            Some(bar) => bar.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
