//! Sockets that PID 1 holds for services: opening them as their unit says. They stay open over restarts of the service
//! and of PID 1.

use std::fs;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use ashlar_config::quantity::Span;
use ashlar_config::unit::Socket;
use ashlar_sys::socket::{self, Kind, Setting};
use thiserror::Error;

use crate::accounts::Accounts;

/// One open socket and its name in LISTEN_FDNAMES.
#[derive(Debug)]
pub struct Port {
    pub name: String,
    pub fd: OwnedFd,
}

/// Why a socket could not be opened.
#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot listen on {address}: {error}")]
    Listen { address: String, error: io::Error },
    #[error("{address} is no address: write a path, a port, or address:port")]
    Address { address: String },
    #[error("{address} names no netlink family that is known")]
    Netlink { address: String },
    #[error("mode {mode} is no octal number")]
    Mode { mode: String },
    #[error("unknown {what} {name}")]
    Owner { what: &'static str, name: String },
    #[error("cannot set {option} on {address}: {error}")]
    Option { option: &'static str, address: String, error: io::Error },
}

/// Where a socket listens.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Path(String),
    Inet(SocketAddr),
    Netlink { protocol: i32, groups: u32 },
    Fifo(String),
}

/// Opens all sockets of a unit, in order; all or none.
pub fn open(unit: &str, sockets: &[Socket], accounts: &Accounts) -> Result<Vec<Port>, Error> {
    sockets.iter().map(|socket| open_one(unit, socket, accounts)).collect()
}

fn open_one(unit: &str, socket: &Socket, accounts: &Accounts) -> Result<Port, Error> {
    let (address, kind) = address_of(socket)?;
    let mode = mode_of(socket)?;
    let text = text_of(socket).to_owned();
    let backlog = socket.backlog.unwrap_or(socket::BACKLOG);
    let listen = |error| Error::Listen { address: text.clone(), error };
    let fd = match &address {
        Address::Path(path) => listen_at(path, kind, backlog).map_err(listen)?,
        Address::Inet(address) => {
            let early = early_options(socket, address.is_ipv6());
            socket::listen_inet(*address, kind, backlog, &early).map_err(listen)?
        }
        Address::Netlink { protocol, groups } => socket::listen_netlink(*protocol, *groups).map_err(listen)?,
        Address::Fifo(path) => {
            make_parent(path).map_err(listen)?;
            socket::fifo(Path::new(path), mode).map_err(listen)?
        }
    };
    if let Address::Path(path) | Address::Fifo(path) = &address
        && !path.starts_with('@')
    {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(listen)?;
        give(path, socket, accounts)?;
        for link in &socket.symlinks {
            let _ = fs::remove_file(link);
            make_parent(link).and_then(|()| symlink(path, link)).map_err(listen)?;
        }
    }
    set_options(&fd, socket, &text)?;
    if let Address::Inet(address) = &address {
        set_inet_options(&fd, socket, address.is_ipv6(), kind, &text)?;
    }
    let name = socket.name.clone().unwrap_or_else(|| unit.to_owned());
    Ok(Port { name, fd })
}

/// Removes what opening left in the file system.
pub fn close(sockets: &[Socket]) {
    for socket in sockets {
        let path = text_of(socket);
        for path in socket.symlinks.iter().map(String::as_str).chain([path]).filter(|path| path.starts_with('/')) {
            let _ = fs::remove_file(path);
        }
    }
}

fn make_parent(path: &str) -> io::Result<()> {
    Path::new(path).parent().map_or(Ok(()), fs::create_dir_all)
}

fn listen_at(path: &str, kind: Kind, backlog: u32) -> io::Result<OwnedFd> {
    if !path.starts_with('@') {
        make_parent(path)?;
        // Left over from a service that made it itself, or from before a restart of the unit.
        let _ = fs::remove_file(path);
    }
    socket::listen_unix(Path::new(path), kind, backlog)
}

fn give(path: &str, socket: &Socket, accounts: &Accounts) -> Result<(), Error> {
    let unknown = |what, name: &str| Error::Owner { what, name: name.to_owned() };
    let user = socket.user.as_deref();
    let uid = user.map(|name| accounts.uid(name).ok_or_else(|| unknown("user", name))).transpose()?;
    let group = socket.group.as_deref();
    let gid = group.map(|name| accounts.gid(name).ok_or_else(|| unknown("group", name))).transpose()?;
    if uid.is_some() || gid.is_some() {
        chown(path, uid, gid).map_err(|error| Error::Option { option: "the owner", address: path.into(), error })?;
    }
    Ok(())
}

fn set_options(fd: &OwnedFd, socket: &Socket, address: &str) -> Result<(), Error> {
    let size = socket.receive_buffer.map(|size| Setting::ReceiveBuffer(usize::try_from(size.0).unwrap_or(usize::MAX)));
    let options = [
        ("pass-credentials", socket.pass_credentials.then_some(Setting::PassCredentials)),
        ("pass-security", socket.pass_security.then_some(Setting::PassSecurity)),
        ("timestamping", socket.timestamping.then_some(Setting::Timestamp)),
        ("receive-buffer", size),
        (
            "send-buffer",
            socket.send_buffer.map(|size| Setting::SendBuffer(usize::try_from(size.0).unwrap_or(usize::MAX))),
        ),
        ("priority", socket.priority.map(Setting::Priority)),
        ("mark", socket.mark.map(Setting::Mark)),
    ];
    set_all(fd, address, &options)
}

/// Those that only make sense with addresses of the Internet; of others they are no matter.
fn set_inet_options(fd: &OwnedFd, socket: &Socket, six: bool, kind: Kind, address: &str) -> Result<(), Error> {
    let seconds = |span: Span| u32::try_from(span.0.div_ceil(1_000_000)).unwrap_or(u32::MAX);
    let packets = [
        ("broadcast", (socket.broadcast && !six).then_some(Setting::Broadcast)),
        ("pass-packet-info", socket.pass_packet_info.then_some(Setting::PacketInfo(six))),
    ];
    let connections = [
        ("keep-alive", socket.keep_alive.then_some(Setting::KeepAlive)),
        ("keep-alive-time", socket.keep_alive_time.map(seconds).map(Setting::KeepAliveTime)),
        ("keep-alive-interval", socket.keep_alive_interval.map(seconds).map(Setting::KeepAliveInterval)),
        ("keep-alive-probes", socket.keep_alive_probes.map(Setting::KeepAliveProbes)),
        ("no-delay", socket.no_delay.then_some(Setting::NoDelay)),
        ("defer-accept", socket.defer_accept.map(seconds).map(Setting::DeferAccept)),
    ];
    if kind == Kind::Stream { set_all(fd, address, &connections) } else { set_all(fd, address, &packets) }
}

fn set_all(fd: &OwnedFd, address: &str, options: &[(&'static str, Option<Setting>)]) -> Result<(), Error> {
    for (option, setting) in options {
        let Some(setting) = setting else { continue };
        socket::set(fd, *setting).map_err(|error| Error::Option { option, address: address.into(), error })?;
    }
    Ok(())
}

/// What has to be said before a socket has its address.
fn early_options(socket: &Socket, six: bool) -> Vec<Setting> {
    let options = [
        (socket.ipv6_only && six, Setting::Ipv6Only(true)),
        (socket.free_bind, Setting::FreeBind(six)),
        (socket.transparent, Setting::Transparent(six)),
        (socket.reuse_port, Setting::ReusePort),
    ];
    options.into_iter().filter(|(asked, _)| *asked).map(|(_, setting)| setting).collect()
}

fn text_of(socket: &Socket) -> &str {
    let keys = [
        &socket.listen_stream,
        &socket.listen_datagram,
        &socket.listen_sequential_packet,
        &socket.listen_netlink,
        &socket.listen_fifo,
    ];
    keys.into_iter().flatten().next().map_or("", String::as_str)
}

fn mode_of(socket: &Socket) -> Result<u32, Error> {
    let Some(mode) = &socket.mode else { return Ok(0o666) };
    let number = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o7777);
    number.ok_or_else(|| Error::Mode { mode: mode.clone() })
}

fn address_of(socket: &Socket) -> Result<(Address, Kind), Error> {
    let text = text_of(socket);
    if socket.listen_netlink.is_some() {
        return Ok((netlink(text)?, Kind::Datagram));
    }
    if socket.listen_fifo.is_some() {
        return Ok((Address::Fifo(text.to_owned()), Kind::Stream));
    }
    let kind = match socket {
        Socket { listen_stream: Some(_), .. } => Kind::Stream,
        Socket { listen_datagram: Some(_), .. } => Kind::Datagram,
        _ => Kind::SequentialPacket,
    };
    if text.starts_with(['/', '@']) {
        return Ok((Address::Path(text.to_owned()), kind));
    }
    let port = text.parse::<u16>().ok().map(|port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    let address = port.or_else(|| text.parse().ok()).ok_or_else(|| Error::Address { address: text.to_owned() })?;
    Ok((Address::Inet(address), kind))
}

/// `FAMILY GROUPS`: the groups are a bit mask, as in systemd.socket(5).
fn netlink(text: &str) -> Result<Address, Error> {
    const FAMILIES: [(&str, i32); 3] = [("route", 0), ("audit", 9), ("kobject-uevent", 15)];
    let unknown = || Error::Netlink { address: text.to_owned() };
    let (family, groups) = text.split_once(' ').unwrap_or((text, "0"));
    let protocol = FAMILIES.iter().find(|(name, _)| *name == family).ok_or_else(unknown)?.1;
    Ok(Address::Netlink { protocol, groups: groups.trim().parse().map_err(|_| unknown())? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |socket: Socket, expect: Option<(Address, Kind)>| {
            assert_eq!(address_of(&socket).ok(), expect, "{socket:?}");
        };
        let stream = |text: &str| Socket { listen_stream: Some(text.into()), ..Socket::default() };
        let path = |text: &str| Address::Path(text.into());
        check(stream("/run/a"), Some((path("/run/a"), Kind::Stream)));
        check(stream("22"), Some((Address::Inet("[::]:22".parse().unwrap()), Kind::Stream)));
        check(stream("127.0.0.1:80"), Some((Address::Inet("127.0.0.1:80".parse().unwrap()), Kind::Stream)));
        check(stream("localhost"), None);
        let netlink = |text: &str| Socket { listen_netlink: Some(text.into()), ..Socket::default() };
        check(netlink("route 1361"), Some((Address::Netlink { protocol: 0, groups: 1361 }, Kind::Datagram)));
        check(netlink("kobject-uevent 1"), Some((Address::Netlink { protocol: 15, groups: 1 }, Kind::Datagram)));
        check(netlink("nonsense 1"), None);
    }

    #[test]
    fn a_path_gets_its_mode_and_links() {
        let folder = std::env::temp_dir().join(format!("ashlar-ports-{}", std::process::id()));
        let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let sockets = [Socket {
            listen_datagram: Some(at("deep/socket")),
            mode: Some("0600".into()),
            symlinks: vec![at("link")],
            pass_credentials: true,
            ..Socket::default()
        }];
        let ports = open("a.socket", &sockets, &Accounts::default()).unwrap();
        assert_eq!(ports[0].name, "a.socket");
        let mode = fs::metadata(at("link")).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600);
        close(&sockets);
        assert!(fs::symlink_metadata(at("link")).is_err());
        fs::remove_dir_all(folder).unwrap();
    }
}
