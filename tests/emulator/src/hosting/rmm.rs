//! What the RMM has counted, as an operator of the host sees it.

use super::Host;

/// Runs after Realms have come and gone: the RMM has counted them, nothing of them is left, and only an
/// administrator is told.
pub(super) fn counts_are_shown(host: &mut Host<'_>) -> Result<(), String> {
    let lines = host.command("host-vmm rmm --events 64")?;
    judge(&lines)?;
    let json = "host-vmm rmm --json | grep -c '\"event\": \"realm-destroyed\"'";
    host.command(json)?;
    host.command("mkdir -p /etc && echo user:x:1000:1000::/:/bin/sh >/etc/passwd")?;
    host.command("chmod 666 /dev/realm")?;
    let refused = host.run("start-stop-daemon -S -c user -x /bin/host-vmm -- rmm")?;
    host.command("chmod 660 /dev/realm")?;
    match &refused.lines[..] {
        [line] if refused.status == Some(3) && line.contains("for administrators") => Ok(()),
        _ => Err(format!("a user is not refused: {refused:?}")),
    }
}

/// Holds what is printed against what must have happened on this host.
fn judge(lines: &[String]) -> Result<(), String> {
    let find = |begin: &str| {
        let found = lines.iter().find(|line| line.starts_with(begin));
        found.ok_or_else(|| format!("no line that begins with {begin:?}: {lines:?}"))
    };
    let now = find("now: ")?;
    if !now.starts_with("now: 0 Realms, 0 RECs, 0 granules delegated") {
        return Err(format!("something is left: {now}"));
    }
    let made = successes(find("RMI_REALM_CREATE")?);
    let destroyed = successes(find("RMI_REALM_DESTROY")?);
    if made.is_none_or(|made| made == 0) || made != destroyed {
        return Err(format!("{made:?} Realms made, {destroyed:?} destroyed"));
    }
    find("exits of RECs: ")?;
    for event in ["created", "destroyed", "CPU came up"] {
        if !lines.iter().any(|line| line.trim_end().ends_with(event)) {
            return Err(format!("no event {event:?}: {lines:?}"));
        }
    }
    Ok(())
}

/// The second column of a row.
fn successes(row: &str) -> Option<u64> {
    row.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
statistics 1.0; 2 of 2 CPUs have come up
now: 0 Realms, 0 RECs, 0 granules delegated (0 MiB)

CALL                     OK  INPUT  REALM  REC  RTT
RMI_REALM_CREATE          2      0      0    0    0
RMI_REALM_DESTROY         2      0      9    0    0

exits of RECs: 14 IRQ

SECONDS AGO  CPU  EVENT
      3.500    0  CPU came up
      1.500    1  Realm 0x80001000 created
      1.000    1  Realm 0x80001000 destroyed";

    fn judged(text: &str) -> Result<(), String> {
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        judge(&lines)
    }

    #[test]
    fn whatever_does_not_add_up_is_a_failure() {
        assert_eq!(judged(GOOD), Ok(()));
        for (from, to) in [
            ("0 Realms", "1 Realms"),
            ("0 granules", "10 granules"),
            ("DESTROY         2", "DESTROY         1"),
            ("RMI_REALM_CREATE", "RMI_REALM_ACTIVATE"),
            ("exits of", "entries of"),
            ("0 created", "0 made"),
            ("0 destroyed", "0 gone"),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            assert!(judged(&text).is_err(), "{to}");
        }
        let none = GOOD.replace("         2", "         0");
        assert!(judged(&none).is_err());
    }
}
