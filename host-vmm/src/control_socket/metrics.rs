//! Counters in the text format of Prometheus (version 0.0.4).

use std::fmt::{Display, Write as _};

use super::http::Response;
use crate::life::counters::Reason;
use crate::life::{Life, Phase};
use crate::standard_error;

/// Text that grows by one metric after the other.
#[derive(Default)]
struct Text(String);

impl Text {
    /// What follows are samples of a metric.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let begin = if index == 0 { '{' } else { ',' };
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            // Writing to a string does not fail.
            let _ = write!(self.0, "{begin}{label}=\"{value}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    /// A metric with one sample.
    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// All counters of a machine.
pub(super) fn response(life: &Life) -> Response {
    let mut text = Text::default();
    let about = life.about();
    let name = "host_vmm_info";
    text.metric(name, "gauge", "What this machine is; always 1.");
    let labels = [
        ("name", about.name.as_str()),
        ("version", env!("CARGO_PKG_VERSION")),
        ("realm", if about.realm { "true" } else { "false" }),
        (
            "backend",
            life.flavour().map_or("", |flavour| flavour.name()),
        ),
        ("rim", life.measurement().unwrap_or("")),
    ];
    text.sample(name, &labels, 1);

    let name = "host_vmm_state";
    text.metric(name, "gauge", "1 for the state that the machine is in.");
    let (now, _) = life.phase();
    for phase in Phase::ALL {
        let value = u8::from(phase == now);
        text.sample(name, &[("state", phase.name())], value);
    }
    text.single(
        "host_vmm_uptime_seconds",
        "gauge",
        "Seconds since this process began.",
        format_args!("{:.3}", life.age().as_secs_f64()),
    );
    text.single(
        "host_vmm_launches_total",
        "counter",
        "How often the machine has been made, its restarts included.",
        life.launches(),
    );
    text.single(
        "host_vmm_memory_bytes",
        "gauge",
        "RAM of the machine.",
        about.memory.bytes(),
    );
    text.single(
        "host_vmm_vcpus",
        "gauge",
        "vCPUs of the machine.",
        about.cpus,
    );
    let (filled, to_fill) = life.filled();
    let name = "host_vmm_fill_bytes";
    text.metric(name, "gauge", "Initial content of memory, in this launch.");
    text.sample(name, &[("kind", "done")], filled);
    text.sample(name, &[("kind", "total")], to_fill);

    let name = "host_vmm_vcpu_exits_total";
    text.metric(
        name,
        "counter",
        "How often vCPUs have stopped, by the reason.",
    );
    for reason in Reason::ALL {
        text.sample(name, &[("reason", reason.name())], life.exits().get(reason));
    }
    realm(life, &mut text);
    if let Some(moving) = life.moving() {
        let name = "host_vmm_moving_bytes";
        text.metric(
            name,
            "gauge",
            "Memory that moves: what the guest shall have, and what it says that it has.",
        );
        text.sample(name, &[("kind", "target")], moving.target_bytes);
        text.sample(name, &[("kind", "guest")], moving.guest_bytes);
    }
    text.single(
        "host_vmm_lost_messages_total",
        "counter",
        "Messages that nobody has read from standard error.",
        standard_error::lost(),
    );
    text.single(
        "host_vmm_lost_audit_records_total",
        "counter",
        "Records that are missing in the audit log.",
        life.lost_records(),
    );
    Response {
        status: 200,
        kind: "text/plain; version=0.0.4; charset=utf-8",
        allow: None,
        body: text.0,
    }
}

/// The memory of a Realm.
fn realm(life: &Life, text: &mut Text) {
    let Some(statistics) = life.statistics() else {
        return;
    };
    let name = "host_vmm_realm_pages";
    text.metric(name, "gauge", "Pages of 4 KiB by their kind.");
    for (kind, pages) in [
        ("private", statistics.pages_private),
        (
            "private-in-blocks",
            statistics.blocks_private.saturating_mul(512),
        ),
        ("shared", statistics.pages_shared),
        ("table", statistics.tables),
    ] {
        text.sample(name, &[("kind", kind)], pages);
    }
    text.single(
        "host_vmm_realm_faults_total",
        "counter",
        "Faults of private memory.",
        statistics.faults,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.sample("m", &[("a", "x\"\\\n"), ("b", "")], 2);
        text.sample("m", &[], 1.5);
        assert_eq!(text.0, "m{a=\"x\\\"\\\\\\n\",b=\"\"} 2\nm 1.5\n");
    }
}
