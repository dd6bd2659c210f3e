//! A report as tables.

use std::fmt::Write as _;

use super::report::{EventReport, Happened, Report};

impl Report {
    /// For people: the latest of the events at the end, at most so many of them.
    pub fn to_text(&self, most_events: usize) -> String {
        let mut text = String::new();
        self.write(&mut text, most_events);
        text
    }

    // Writing to a string does not fail.
    fn write(&self, text: &mut String, most_events: usize) {
        let totals = self.totals;
        let _ = writeln!(
            text,
            "statistics {}; {} of {} CPUs have come up",
            self.version,
            self.cpus_up.len(),
            self.cpus
        );
        let _ = writeln!(
            text,
            "now: {} Realms, {} RECs, {} granules delegated ({} MiB)",
            totals.realms,
            totals.recs,
            totals.granules_delegated,
            totals.granules_delegated >> 8
        );
        let mut rows = vec![["CALL", "OK", "INPUT", "REALM", "REC", "RTT"].map(ToOwned::to_owned)];
        rows.extend(self.commands.iter().map(|command| {
            let numbers = [
                command.success,
                command.input,
                command.realm,
                command.rec,
                command.rtt,
            ];
            let [success, input, realm, rec, rtt] = numbers.map(|number| number.to_string());
            [command.name.to_owned(), success, input, realm, rec, rtt]
        }));
        table(text, &rows);
        if totals.unknown_calls != 0 {
            let _ = writeln!(text, "and {} calls of no command", totals.unknown_calls);
        }
        line(text, "exits of RECs", &self.exits.named());
        line(text, "faults given to Realms", &self.faults.named());
        let mut rows = vec![["CPU", "BOOTS", "CALLS", "EXITS", "FAULTS"].map(ToOwned::to_owned)];
        rows.extend(self.cpus_up.iter().map(|cpu| {
            let numbers = [cpu.cpu.into(), cpu.boots, cpu.calls, cpu.exits, cpu.faults];
            numbers.map(|number| number.to_string())
        }));
        table(text, &rows);
        let first = self.events.len().saturating_sub(most_events);
        let mut rows = vec![["SECONDS AGO", "CPU", "EVENT"].map(ToOwned::to_owned)];
        rows.extend(self.events.iter().skip(first).map(event));
        table(text, &rows);
        if first != 0 {
            let _ = writeln!(text, "{first} older ones with --json or more --events");
        }
    }
}

fn line(text: &mut String, title: &str, named: &[(&str, u64)]) {
    let parts: Vec<_> = named
        .iter()
        .filter(|(_, count)| *count != 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    let parts = if parts.is_empty() {
        "none".to_owned()
    } else {
        parts.join(", ")
    };
    let _ = writeln!(text, "\n{title}: {parts}");
}

/// Numbers to the right, the first column of words to the left.
fn table<const N: usize>(text: &mut String, rows: &[[String; N]]) {
    let widths: [usize; N] = std::array::from_fn(|column| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    });
    text.push('\n');
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let is_word = rows
                .iter()
                .skip(1)
                .any(|row| row[column].contains(char::is_alphabetic));
            let _ = if is_word {
                write!(line, "{cell:width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

fn event(event: &EventReport) -> [String; 3] {
    let ago = event.seconds_ago;
    let ago = ago.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.3}"));
    let what = match event.what {
        Happened::CpuBooted => "CPU came up".to_owned(),
        Happened::RealmCreated { descriptor } => format!("Realm {descriptor:#x} created"),
        Happened::RealmDestroyed { descriptor } => format!("Realm {descriptor:#x} destroyed"),
        Happened::Faults {
            fault,
            count,
            descriptor,
        } => format!("Realm {descriptor:#x} was given faults: {count} {fault}"),
        Happened::CallFailed {
            command: Some(name),
            code,
            argument,
            ..
        } => format!("{name} failed with {}; X1 = {argument:#x}", status(code)),
        Happened::CallFailed {
            command: None,
            function,
            ..
        } => format!("a call of function …{function:03x}, which the RMM does not have"),
    };
    [ago, event.cpu.to_string(), what]
}

/// A code as the specification names it.
fn status(code: u16) -> String {
    let [status, index] = code.to_le_bytes();
    let name = match status {
        0 => "RMI_SUCCESS",
        1 => "RMI_ERROR_INPUT",
        2 => "RMI_ERROR_REALM",
        3 => "RMI_ERROR_REC",
        4 => "RMI_ERROR_RTT",
        _ => return format!("{code:#x}"),
    };
    format!("{name} {index}")
}
