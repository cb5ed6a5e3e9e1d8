//! Sockets as a service manager needs them: listening ones of every family, credentials, and descriptors in flight.
//!
//! What a unit's socket looks like is decided by the caller; accepted streams are the standard library's types.

use std::ffi::CString;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Most descriptors that one message carries (SCM_MAX_FD).
pub const DESCRIPTOR_LIMIT: usize = 253;

/// How a socket transports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes in a connection.
    Stream,
    /// Messages without one.
    Datagram,
    /// Messages in a connection.
    SequentialPacket,
}

impl Kind {
    fn number(self) -> i32 {
        match self {
            Self::Stream => libc::SOCK_STREAM,
            Self::Datagram => libc::SOCK_DGRAM,
            Self::SequentialPacket => libc::SOCK_SEQPACKET,
        }
    }
}

/// A boolean or numeric socket option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Receive the sender's process, user and group with each message.
    PassCredentials,
    /// Receive the sender's security label.
    PassSecurity,
    /// Receive the time of arrival.
    Timestamp,
    /// Size of the receive buffer, beyond the system's limit.
    ReceiveBuffer(usize),
    /// Size of the send buffer, beyond the system's limit.
    SendBuffer(usize),
    /// Probes on connections that are silent.
    KeepAlive,
    /// Seconds of silence until the first of them.
    KeepAliveTime(u32),
    /// Seconds between them.
    KeepAliveInterval(u32),
    /// How many of them are not answered by a connection that is gone.
    KeepAliveProbes(u32),
    /// Small writes go out at once.
    NoDelay,
    /// Seconds that a connection without data is not told of.
    DeferAccept(u32),
    /// Of its packets in queues.
    Priority(u32),
    /// A number that rules of the network see.
    Mark(u32),
    /// It may send to all.
    Broadcast,
    /// Several sockets may have its address and share what comes.
    ReusePort,
    /// An IPv6 socket takes no IPv4.
    Ipv6Only(bool),
    /// Its address need not be there (IPv4; IPv6).
    FreeBind(bool),
    /// Its address need not be the machine's (IPv4; IPv6).
    Transparent(bool),
    /// Receive where each packet was sent to (IPv4; IPv6).
    PacketInfo(bool),
}

fn new(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers, returns a new descriptor or -1.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, protocol) };
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(crate::result(fd)?) })
}

fn set_number(fd: &impl AsFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the value is an i32 and `size` its size.
    crate::result(unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, name, (&raw const value).cast(), size) })?;
    Ok(())
}

/// Sets one option.
pub fn set(fd: &impl AsFd, setting: Setting) -> io::Result<()> {
    let number = |size: usize| i32::try_from(size).unwrap_or(i32::MAX);
    let (level, name, value) = match setting {
        Setting::PassCredentials => (libc::SOL_SOCKET, libc::SO_PASSCRED, 1),
        Setting::PassSecurity => (libc::SOL_SOCKET, libc::SO_PASSSEC, 1),
        Setting::Timestamp => (libc::SOL_SOCKET, libc::SO_TIMESTAMP, 1),
        Setting::ReceiveBuffer(size) => (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, number(size)),
        Setting::SendBuffer(size) => (libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, number(size)),
        Setting::KeepAlive => (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        Setting::KeepAliveTime(seconds) => (libc::SOL_TCP, libc::TCP_KEEPIDLE, number(seconds as usize)),
        Setting::KeepAliveInterval(seconds) => (libc::SOL_TCP, libc::TCP_KEEPINTVL, number(seconds as usize)),
        Setting::KeepAliveProbes(count) => (libc::SOL_TCP, libc::TCP_KEEPCNT, number(count as usize)),
        Setting::NoDelay => (libc::SOL_TCP, libc::TCP_NODELAY, 1),
        Setting::DeferAccept(seconds) => (libc::SOL_TCP, libc::TCP_DEFER_ACCEPT, number(seconds as usize)),
        Setting::Priority(priority) => (libc::SOL_SOCKET, libc::SO_PRIORITY, number(priority as usize)),
        Setting::Mark(mark) => (libc::SOL_SOCKET, libc::SO_MARK, mark.cast_signed()),
        Setting::Broadcast => (libc::SOL_SOCKET, libc::SO_BROADCAST, 1),
        Setting::ReusePort => (libc::SOL_SOCKET, libc::SO_REUSEPORT, 1),
        Setting::Ipv6Only(only) => (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, i32::from(only)),
        Setting::FreeBind(false) => (libc::SOL_IP, libc::IP_FREEBIND, 1),
        Setting::FreeBind(true) => (libc::SOL_IPV6, libc::IPV6_FREEBIND, 1),
        Setting::Transparent(false) => (libc::SOL_IP, libc::IP_TRANSPARENT, 1),
        Setting::Transparent(true) => (libc::SOL_IPV6, libc::IPV6_TRANSPARENT, 1),
        Setting::PacketInfo(false) => (libc::SOL_IP, libc::IP_PKTINFO, 1),
        Setting::PacketInfo(true) => (libc::SOL_IPV6, libc::IPV6_RECVPKTINFO, 1),
    };
    set_number(fd, level, name, value)
}

fn unix_address(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    // SAFETY: plain integers and bytes: zero is a valid value.
    let mut address: libc::sockaddr_un = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    // One byte stays for the NUL at the end; a leading `@` stands for the abstract name space's NUL.
    if bytes.is_empty() || bytes.len() >= address.sun_path.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a socket's path has 1 to 107 bytes"));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let is_abstract = bytes[0] == b'@';
    if is_abstract {
        address.sun_path[0] = 0;
    }
    let length = std::mem::offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + usize::from(!is_abstract);
    Ok((address, length as libc::socklen_t))
}

fn bind<T>(fd: &OwnedFd, address: &T, length: libc::socklen_t) -> io::Result<()> {
    // SAFETY: `address` is a socket address of at least `length` bytes: each caller passes its own type's size.
    crate::result(unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(address).cast(), length) })?;
    Ok(())
}

/// As many may wait as the kernel lets.
pub const BACKLOG: u32 = 4096;

fn listen(fd: &OwnedFd, kind: Kind, backlog: u32) -> io::Result<()> {
    if kind != Kind::Datagram {
        // SAFETY: takes numbers; the kernel caps the queue at net.core.somaxconn.
        crate::result(unsafe { libc::listen(fd.as_raw_fd(), i32::try_from(backlog).unwrap_or(i32::MAX)) })?;
    }
    Ok(())
}

/// Opens a unix socket at `path` (or `@name` in the abstract name space) and listens. The path must be free.
pub fn listen_unix(path: &Path, kind: Kind, backlog: u32) -> io::Result<OwnedFd> {
    let fd = new(libc::AF_UNIX, kind.number(), 0)?;
    let (address, length) = unix_address(path)?;
    bind(&fd, &address, length)?;
    listen(&fd, kind, backlog)?;
    Ok(fd)
}

/// Opens an Internet socket and listens. `[::]` takes IPv4 connections, too, unless `early` says otherwise: settings that
/// have to be made before it has its address.
pub fn listen_inet(address: SocketAddr, kind: Kind, backlog: u32, early: &[Setting]) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let fd = new(family, kind.number(), 0)?;
    set_number(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if address.is_ipv6() {
        set(&fd, Setting::Ipv6Only(false))?;
        // An address that the network has not got yet must not fail the boot.
        set(&fd, Setting::FreeBind(true))?;
    }
    early.iter().try_for_each(|setting| set(&fd, *setting))?;
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: plain integers: zero is a valid value.
            let mut raw: libc::sockaddr_in = unsafe { MaybeUninit::zeroed().assume_init() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            bind(&fd, &raw, size_of::<libc::sockaddr_in>() as libc::socklen_t)?;
        }
        SocketAddr::V6(v6) => {
            // SAFETY: plain integers: zero is a valid value.
            let mut raw: libc::sockaddr_in6 = unsafe { MaybeUninit::zeroed().assume_init() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_scope_id = v6.scope_id();
            bind(&fd, &raw, size_of::<libc::sockaddr_in6>() as libc::socklen_t)?;
        }
    }
    listen(&fd, kind, backlog)?;
    Ok(fd)
}

/// Opens a netlink socket of a protocol and joins the groups of a bit mask.
pub fn listen_netlink(protocol: i32, groups: u32) -> io::Result<OwnedFd> {
    let fd = new(libc::AF_NETLINK, libc::SOCK_RAW, protocol)?;
    // SAFETY: plain integers: zero is a valid value.
    let mut address: libc::sockaddr_nl = unsafe { MaybeUninit::zeroed().assume_init() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = groups;
    bind(&fd, &address, size_of::<libc::sockaddr_nl>() as libc::socklen_t)?;
    Ok(fd)
}

/// Makes a named pipe and opens it for reading and writing, so that it never reports an end.
pub fn fifo(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is NUL-terminated.
    match crate::result(unsafe { libc::mkfifo(name.as_ptr(), mode) }) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    Ok(std::fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?.into())
}

/// Connects to a unix stream socket. Never waits: a full queue is an error.
pub fn connect_unix(path: &Path, kind: Kind) -> io::Result<OwnedFd> {
    let fd = new(libc::AF_UNIX, kind.number(), 0)?;
    let (address, length) = unix_address(path)?;
    // SAFETY: the address is valid for `length` bytes.
    crate::result(unsafe { libc::connect(fd.as_raw_fd(), (&raw const address).cast(), length) })?;
    Ok(fd)
}

/// Takes a waiting connection; `None` when there is none.
pub fn accept(listener: &impl AsFd) -> io::Result<Option<OwnedFd>> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let (none, none_length) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the peer's address is not asked for.
    let fd = unsafe { libc::accept4(listener.as_fd().as_raw_fd(), none, none_length, flags) };
    match crate::result(fd) {
        // SAFETY: the descriptor is new and owned by nobody else.
        Ok(fd) => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Who is at the other end, as the kernel says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Process; 0 if it is outside our process namespace.
    pub pid: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Who connected (SO_PEERCRED).
pub fn peer(fd: &impl AsFd) -> io::Result<Credentials> {
    let mut raw = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: `raw` is `size` bytes long and writable.
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut raw).cast(), &raw mut size) };
    crate::result(result)?;
    Ok(Credentials { pid: raw.pid as u32, uid: raw.uid, gid: raw.gid })
}

/// The connector's supplementary groups (SO_PEERGROUPS), at most 256.
pub fn peer_groups(fd: &impl AsFd) -> io::Result<Vec<u32>> {
    const SO_PEERGROUPS: i32 = 59;
    let mut groups = vec![0u32; 256];
    let mut size = (groups.len() * size_of::<u32>()) as libc::socklen_t;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the buffer is `size` bytes long and writable.
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, SO_PEERGROUPS, groups.as_mut_ptr().cast(), &raw mut size) };
    crate::result(result)?;
    groups.truncate(size as usize / size_of::<u32>());
    Ok(groups)
}

/// One received message.
#[derive(Debug, Default)]
pub struct Message {
    /// Bytes written to the caller's buffer.
    pub length: usize,
    /// The message, or its descriptors, did not fit.
    pub truncated: bool,
    /// Who sent it; needs [`Setting::PassCredentials`].
    pub sender: Option<Credentials>,
    /// Descriptors that came with it, closed on exec.
    pub descriptors: Vec<OwnedFd>,
}

/// Room for SCM_RIGHTS with every descriptor, and SCM_CREDENTIALS, security label and time beside it.
const CONTROL: usize = 2048;

/// Aligned as cmsghdr wants it.
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Receives one message without waiting; `None` when there is none. A closed connection is a message of length 0.
pub fn receive(fd: &impl AsFd, buffer: &mut [u8]) -> io::Result<Option<Message>> {
    let mut control = Control([0; CONTROL]);
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: plain integers and pointers: zero is a valid value.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: every pointer in `header` is to a local or to `buffer`, with its length.
    let count = unsafe { libc::recvmsg(fd.as_fd().as_raw_fd(), &raw mut header, flags) };
    let Ok(length) = usize::try_from(count) else {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
    };
    let truncated = header.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
    let mut message = Message { length, truncated, ..Message::default() };
    // SAFETY: the kernel filled `header`; the CMSG macros walk its control buffer within msg_controllen.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(&raw const header);
        while let Some(part) = next.as_ref() {
            read_part(part, &mut message);
            next = libc::CMSG_NXTHDR(&raw const header, next);
        }
    }
    Ok(Some(message))
}

/// # Safety
/// `part` must stand in a control buffer that recvmsg filled.
unsafe fn read_part(part: &libc::cmsghdr, message: &mut Message) {
    // SAFETY: the data of a control message follows its header; lengths are the kernel's.
    unsafe {
        let data = libc::CMSG_DATA(part);
        match (part.cmsg_level, part.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                let raw = data.cast::<libc::ucred>().read_unaligned();
                message.sender = Some(Credentials { pid: raw.pid as u32, uid: raw.uid, gid: raw.gid });
            }
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                #[allow(clippy::unnecessary_cast, reason = "musl's is shorter")]
                let bytes = part.cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                for index in 0..bytes / size_of::<RawFd>() {
                    // Each descriptor is new in this process, so nobody else owns it.
                    let fd = data.cast::<RawFd>().add(index).read_unaligned();
                    message.descriptors.push(OwnedFd::from_raw_fd(fd));
                }
            }
            _ => {}
        }
    }
}

/// Sends bytes, and descriptors beside them, without waiting and without SIGPIPE.
pub fn send(fd: &impl AsFd, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<usize> {
    if descriptors.len() > DESCRIPTOR_LIMIT {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut control = Control([0; CONTROL]);
    let mut vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: plain integers and pointers: zero is a valid value.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    let size = size_of_val(descriptors) as u32;
    if !descriptors.is_empty() {
        header.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: CMSG_SPACE is arithmetic; DESCRIPTOR_LIMIT descriptors fit into CONTROL bytes, so the first
        // header and its data lie inside the buffer.
        unsafe {
            header.msg_controllen = libc::CMSG_SPACE(size) as _;
            let part = libc::CMSG_FIRSTHDR(&raw const header);
            (*part).cmsg_level = libc::SOL_SOCKET;
            (*part).cmsg_type = libc::SCM_RIGHTS;
            (*part).cmsg_len = libc::CMSG_LEN(size) as _;
            std::ptr::copy_nonoverlapping(descriptors.as_ptr().cast::<u8>(), libc::CMSG_DATA(part), size as usize);
        }
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: every pointer in `header` is to a local or an argument, with its length.
    let count = unsafe { libc::sendmsg(fd.as_fd().as_raw_fd(), &raw const header, flags) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_and_credentials_arrive() {
        let (left, right) = UnixStream::pair().unwrap();
        set(&right, Setting::PassCredentials).unwrap();
        assert_eq!(send(&left, b"hello", &[left.as_raw_fd(), right.as_raw_fd()]).unwrap(), 5);
        let mut buffer = [0; 16];
        let message = receive(&right, &mut buffer).unwrap().unwrap();
        assert_eq!(&buffer[..message.length], b"hello");
        assert_eq!(message.descriptors.len(), 2);
        assert_eq!(message.sender.unwrap().pid, std::process::id());
        assert_eq!(peer(&right).unwrap().pid, std::process::id());
        assert!(receive(&right, &mut buffer).unwrap().is_none());
    }

    #[test]
    fn listens() {
        let path = std::env::temp_dir().join(format!("ashlar-socket-{}", std::process::id()));
        for kind in [Kind::Stream, Kind::Datagram, Kind::SequentialPacket] {
            let listener = listen_unix(&path, kind, BACKLOG).unwrap();
            let _client = connect_unix(&path, kind).unwrap();
            if kind != Kind::Datagram {
                assert!(accept(&listener).unwrap().is_some());
                assert!(accept(&listener).unwrap().is_none());
            }
            std::fs::remove_file(&path).unwrap();
        }
        let early = [Setting::ReusePort, Setting::FreeBind(false)];
        let inet = listen_inet("127.0.0.1:0".parse().unwrap(), Kind::Stream, 5, &early).unwrap();
        for setting in [
            Setting::KeepAlive,
            Setting::KeepAliveTime(60),
            Setting::KeepAliveInterval(5),
            Setting::KeepAliveProbes(3),
            Setting::NoDelay,
            Setting::DeferAccept(1),
            Setting::Priority(1),
            Setting::PacketInfo(false),
        ] {
            set(&inet, setting).unwrap();
        }
        listen_inet("[::1]:0".parse().unwrap(), Kind::Datagram, 0, &[Setting::Ipv6Only(true)]).unwrap();
        assert!(listen_unix(Path::new(&"x".repeat(108)), Kind::Stream, BACKLOG).is_err());
    }
}
