//! What systemd is told, by sd_notify(3)'s protocol: datagrams to the socket that `NOTIFY_SOCKET` names.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

/// The service manager, where one waits to hear from us.
#[derive(Debug)]
pub(crate) struct Manager {
    socket: Option<(OwnedFd, SocketAddrUnix)>,
    /// The watchdog's patience, where it watches this process.
    watchdog: Option<Duration>,
    status: String,
}

impl Manager {
    /// As the environment names it. One that is named and cannot be reached is told of in the log.
    pub(crate) fn from_environment() -> Self {
        let named = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let socket = named.and_then(|name| match connect(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET cannot be used");
                None
            }
        });
        let told = |name: &str| std::env::var(name).ok();
        let watchdog = watchdog(told("WATCHDOG_USEC").as_deref(), told("WATCHDOG_PID").as_deref(), std::process::id());
        Self { socket, watchdog, status: String::new() }
    }

    /// How often to show a sign of life: twice within the watchdog's patience, and often enough for the status.
    pub(crate) fn beat(&self) -> Duration {
        const USUAL: Duration = Duration::from_secs(5);
        self.watchdog.map_or(USUAL, |patience| (patience / 2).clamp(Duration::from_millis(50), USUAL))
    }

    /// Recording has begun.
    pub(crate) fn ready(&mut self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", line(status)));
        status.clone_into(&mut self.status);
    }

    /// A sign of life; the status is told when it has changed. Without `alive` the watchdog goes hungry.
    pub(crate) fn alive(&mut self, alive: bool, status: &str) {
        if alive && self.watchdog.is_some() {
            self.tell("WATCHDOG=1");
        }
        if self.status != status {
            self.tell(&format!("STATUS={}", line(status)));
            status.clone_into(&mut self.status);
        }
    }

    /// Recording ends.
    pub(crate) fn stopping(&mut self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={}", line(status)));
    }

    /// A manager that does not listen is no reason to wait.
    fn tell(&self, message: &str) {
        if let Some((socket, address)) = &self.socket {
            let sent = rustix::net::sendto(socket, message.as_bytes(), SendFlags::NOSIGNAL, address);
            if let Err(error) = sent {
                tracing::debug!(%error, "the service manager was not told");
            }
        }
    }
}

fn connect(name: &OsStr) -> io::Result<(OwnedFd, SocketAddrUnix)> {
    let address = match name.as_bytes().split_first() {
        Some((b'@', rest)) => SocketAddrUnix::new_abstract_name(rest)?,
        _ => SocketAddrUnix::new(name)?,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok((rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?, address))
}

/// The watchdog's patience in `WATCHDOG_USEC`, if `WATCHDOG_PID` is absent or ours.
fn watchdog(usec: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    let usec: u64 = usec?.parse().ok()?;
    (usec > 0).then(|| Duration::from_micros(usec))
}

/// Each assignment is a line.
fn line(status: &str) -> String {
    model::text::clean(status, 400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_only_by_the_process_that_it_watches() {
        assert_eq!(watchdog(Some("30000000"), None, 7), Some(Duration::from_secs(30)));
        assert_eq!(watchdog(Some("30000000"), Some("7"), 7), Some(Duration::from_secs(30)));
        assert_eq!(watchdog(Some("30000000"), Some("8"), 7), None);
        assert_eq!(watchdog(Some("0"), None, 7), None);
        assert_eq!(watchdog(Some("soon"), None, 7), None);
        assert_eq!(watchdog(None, None, 7), None);
    }
}
