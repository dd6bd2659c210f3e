//! A bar on the terminal for what takes long.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What takes less than that needs no bar.
const SOON: Duration = Duration::from_secs(2);

/// How far something is, in bytes. It disappears when this is dropped.
pub(super) struct Progress {
    bar: ProgressBar,
    begin: Instant,
}

impl Progress {
    /// Nothing of `total` bytes is done yet.
    pub(super) fn new(what: &'static str, total: u64) -> Self {
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
    pub(super) fn advance(&self, bytes: u64) {
        if self.bar.is_hidden() && io::stderr().is_terminal() && self.begin.elapsed() > SOON {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
