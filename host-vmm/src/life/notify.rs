//! What a service manager is told: that the machine is there, or ends (the protocol of `sd_notify`).

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;

use tracing::debug;

use super::Phase;

/// The variable that names the socket.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// A service manager that wants to know.
#[derive(Debug)]
pub struct Notifier {
    /// Connected, because later this process may find no path to it.
    socket: UnixDatagram,
}

impl Notifier {
    /// The one that the environment names, if it does.
    ///
    /// # Errors
    ///
    /// If it names something that cannot be.
    pub fn from_environment() -> io::Result<Option<Self>> {
        match std::env::var_os(VARIABLE) {
            Some(text) if !text.is_empty() => Self::new(text.as_bytes()).map(Some),
            _ => Ok(None),
        }
    }

    /// A path, or a name with `@` in front.
    fn new(name: &[u8]) -> io::Result<Self> {
        let manager = match name.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(PathBuf::from(std::ffi::OsStr::from_bytes(name)))?,
        };
        let socket = UnixDatagram::unbound()?;
        // Nobody waits for a manager that does not listen.
        socket.set_nonblocking(true)?;
        socket.connect_addr(&manager)?;
        Ok(Self { socket })
    }

    /// How far the machine is.
    pub fn tell(&self, phase: Phase) {
        let text = match phase {
            Phase::Running => "READY=1\nSTATUS=running".to_owned(),
            phase => format!("STATUS={}", phase.name()),
        };
        self.send(&text);
    }

    /// The command is about to end.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, text: &str) {
        if let Err(error) = self.socket.send(text.as_bytes()) {
            debug!("the service manager is not told: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_hears_of_phases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.as_os_str().as_bytes()).unwrap();
        notifier.tell(Phase::Filling);
        notifier.tell(Phase::Running);
        notifier.stopping();
        assert_eq!(receive(&manager), "STATUS=filling");
        assert_eq!(receive(&manager), "READY=1\nSTATUS=running");
        assert_eq!(receive(&manager), "STOPPING=1");
        drop(manager);
        // Nobody listens any more.
        notifier.tell(Phase::Ending);
    }

    #[test]
    fn a_manager_may_have_a_name_that_is_no_path() {
        let name = format!("host-vmm-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let notifier = Notifier::new(format!("@{name}").as_bytes()).unwrap();
        notifier.tell(Phase::Running);
        assert!(receive(&manager).starts_with("READY=1"));
        assert!(Notifier::new(&[b'x'; 200]).is_err());
    }
}
