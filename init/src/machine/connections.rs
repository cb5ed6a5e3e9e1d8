//! Connections that PID 1 takes itself: each has an instance of the socket unit's service (systemd.socket(5), Accept=yes).

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use ashlar_config::systemd::instance_of;
use ashlar_config::unit::{Body, Restart};
use ashlar_control::message::{JobKind, JobMode};
use ashlar_sys::socket::{self, Credentials};

use super::Machine;
use crate::core::UnitId;
use crate::log;

/// Most connections that are taken before somebody else has his turn.
const AT_ONCE: u32 = 32;

/// One of them, until its instance is over.
#[derive(Debug)]
pub(super) struct Connection {
    pub fd: OwnedFd,
    pub peer: Peer,
    socket: UnitId,
}

/// Who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    Inet { own: SocketAddr, other: SocketAddr },
    Local(Credentials),
}

impl Peer {
    fn of(fd: OwnedFd) -> Option<Self> {
        let stream = TcpStream::from(fd);
        if let (Ok(own), Ok(other)) = (stream.local_addr(), stream.peer_addr()) {
            return Some(Self::Inet { own: plain(own), other: plain(other) });
        }
        socket::peer(&stream).ok().map(Self::Local)
    }

    /// What the instance is called, behind its number.
    fn name(&self) -> String {
        match self {
            Self::Inet { own, other } => {
                format!("{}:{}-{}:{}", own.ip(), own.port(), other.ip(), other.port())
            }
            Self::Local(peer) => format!("{}-{}", peer.pid, peer.uid),
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Inet { other: one, .. }, Self::Inet { other: two, .. }) => one.ip() == two.ip(),
            (Self::Local(one), Self::Local(two)) => one.uid == two.uid,
            _ => false,
        }
    }

    /// Variables that name it.
    pub fn variables(&self) -> Vec<(String, String)> {
        match self {
            Self::Inet { other, .. } => vec![
                ("REMOTE_ADDR".to_owned(), other.ip().to_string()),
                ("REMOTE_PORT".to_owned(), other.port().to_string()),
            ],
            Self::Local(_) => Vec::new(),
        }
    }
}

/// Who speaks IPv4 to a socket of IPv6 is still called by his IPv4 address.
fn plain(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V6(v6) => SocketAddr::new(v6.to_canonical(), address.port()),
        IpAddr::V4(_) => address,
    }
}

impl Machine {
    /// Something arrived on a socket unit's sockets.
    pub(super) fn traffic(&mut self, unit: UnitId, place: u16) {
        let Body::Socket { service, accept: Some(accept), .. } = &self.core.graph[unit].unit.body else {
            return self.core.traffic(unit);
        };
        let (template, most_per_source) = (service.clone(), accept.most_per_source);
        for _ in 0..AT_ONCE {
            let Some(port) = self.ports.get(&unit).and_then(|ports| ports.get(usize::from(place))) else { return };
            match socket::accept(&port.fd) {
                Ok(Some(fd)) => self.serve_connection(unit, &template, most_per_source, fd),
                Ok(None) => return,
                Err(error) => {
                    let name = self.name(unit);
                    return self.log.say(log::WARNING, Some(&name), &format!("cannot take a connection: {error}"));
                }
            }
        }
    }

    /// Starts an instance for a connection; one that cannot be served is closed.
    fn serve_connection(&mut self, unit: UnitId, template: &str, most_per_source: u32, fd: OwnedFd) {
        let Some(peer) = fd.try_clone().ok().and_then(Peer::of) else { return };
        let name = self.name(unit);
        let alike = |other: &&Connection| other.socket == unit && other.peer.is_like(&peer);
        let same = self.served.values().filter(alike).count();
        if most_per_source != 0 && same >= most_per_source as usize {
            let text =
                format!("{same} connections of one source are served, and that is all that may be: one is refused");
            return self.log.say(log::WARNING, Some(&name), &text);
        }
        let Some(number) = self.core.connected(unit) else { return };
        let instance = instance_of(template, &format!("{number}-{}", peer.name()));
        let Some(service) = self.load_named(&instance) else {
            let text = format!("there is no {template}: a connection is refused");
            return self.log.say(log::WARNING, Some(&name), &text);
        };
        // Who started it is gone when it ends: there is nobody to be served again.
        let mut settings = self.core.graph[service].unit.clone();
        if let Body::Service(service) = &mut settings.body {
            service.supervision.restart = Restart::No;
        }
        self.core.graph.replace(service, settings);
        self.served.insert(service, Connection { fd, peer, socket: unit });
        if let Err(refusal) = self.core.enqueue(&instance, JobKind::Start, JobMode::Replace) {
            self.served.remove(&service);
            self.log.say(log::WARNING, Some(&name), &format!("cannot start {instance}: {refusal}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers() {
        let inet = |own: &str, other: &str| Peer::Inet {
            own: plain(own.parse().unwrap()),
            other: plain(other.parse().unwrap()),
        };
        let mapped = inet("[::ffff:10.0.0.1]:22", "[::ffff:10.0.0.2]:4711");
        assert_eq!(mapped.name(), "10.0.0.1:22-10.0.0.2:4711");
        assert_eq!(mapped.variables()[0], ("REMOTE_ADDR".to_owned(), "10.0.0.2".to_owned()));
        assert!(
            mapped.is_like(&inet("10.0.0.9:22", "10.0.0.2:1"))
                && !mapped.is_like(&inet("10.0.0.1:22", "10.0.0.3:4711"))
        );
        let local = Peer::Local(Credentials { pid: 7, uid: 1000, gid: 1000 });
        assert_eq!((local.name().as_str(), local.variables().len()), ("7-1000", 0));
        let six = inet("[2001:db8::1]:22", "[2001:db8::2]:5").name();
        assert!(ashlar_config::unit::is_unit_name(&instance_of("a@.service", &format!("0-{six}"))), "{six}");
    }

    #[test]
    fn a_connection_says_who_is_there() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (taken, _) = listener.accept().unwrap();
        let expect = Peer::Inet { own: listener.local_addr().unwrap(), other: client.local_addr().unwrap() };
        assert_eq!(Peer::of(taken.into()), Some(expect));
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let Some(Peer::Local(peer)) = Peer::of(one.into()) else { panic!() };
        assert_eq!(peer.pid, std::process::id());
    }
}
