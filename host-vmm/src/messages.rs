//! Messages about a machine, on standard error: for people, or as JSON.
//!
//! What is said where is a matter of `tracing`: `info` is what an operator wants to know of each
//! run, `debug` the rest. The variable `HOST_VMM_LOG` chooses (`debug`, `host_vmm::machine=trace`).

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::progress::Lines;

/// The variable that chooses what is said.
pub const VARIABLE: &str = "HOST_VMM_LOG";

/// One line that begins with the program's name.
struct ForPeople;

impl<S, N> FormatEvent<S, N> for ForPeople
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("host-vmm: ")?;
        match *event.metadata().level() {
            Level::ERROR => writer.write_str("error: ")?,
            Level::WARN => writer.write_str("warning: ")?,
            _ => {}
        }
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Sends the messages of this process to standard error. Only the first call has an effect.
pub fn initialize(json: bool) {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(|| Lines);
    // There is a subscriber already if this is a second call.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.event_format(ForPeople).try_init()
    };
}
