//! Messages about a machine, on standard error: for people, or as JSON.
//!
//! What is said where is a matter of `tracing`: `info` is what an operator wants to know of each
//! run, `debug` the rest. The option `--log` or the variable `HOST_VMM_LOG` chooses (`debug`,
//! `host_vmm::machine=trace`).

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

/// The target of the error that a command ends with. Whoever reads JSON gets it whatever is chosen.
pub const OUTCOME: &str = "host_vmm::outcome";

/// Lets the outcome through.
fn always(filter: EnvFilter, json: bool) -> EnvFilter {
    match format!("{OUTCOME}=error").parse() {
        Ok(directive) if json => filter.add_directive(directive),
        _ => filter,
    }
}

/// Sends the messages of this process to standard error: those that a filter, which has been
/// checked, lets through. Only the first call has an effect.
pub fn initialize(filter: &str, json: bool) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(always(EnvFilter::new(filter), json))
        .with_ansi(false)
        // When standard error fails, nobody can be told, and a running machine must not end of it.
        .log_internal_errors(false)
        .with_writer(|| Lines);
    // There is a subscriber already if this is a second call.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.event_format(ForPeople).try_init()
    };
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::devices::lock;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_outcome_is_written_whatever_is_chosen() {
        for chosen in ["off", "host_vmm=off", "info"] {
            let written = Written::default();
            let writer = written.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_env_filter(always(EnvFilter::new(chosen), true))
                .with_writer(move || writer.clone())
                .json()
                .flatten_event(true)
                .finish();
            tracing::subscriber::with_default(subscriber, || {
                tracing::error!(target: OUTCOME, exit = 3, "no RMM");
                tracing::debug!("not this");
            });
            let text = String::from_utf8(lock(&written.0).clone()).unwrap();
            let object: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(object["exit"], 3, "{chosen}");
            assert_eq!(object["message"], "no RMM", "{chosen}");
        }
    }
}
