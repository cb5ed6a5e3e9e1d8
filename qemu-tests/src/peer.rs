//! The other end of a machine's network card: a host that hands out an address and answers for names and the time, so
//! that a story needs no traffic beyond this host. Ethernet frames come and go as datagrams on 127.0.0.1.
//!
//! Just as much of ARP, IPv4, UDP, DHCP (RFC 2131), DNS (RFC 1035) and NTP (RFC 5905) as a client needs.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::qemu::Network;
use crate::ssh::free_port;

/// The peer's own address.
pub const ADDRESS: [u8; 4] = [10, 9, 0, 1];
/// The address that it hands out.
pub const GUEST: [u8; 4] = [10, 9, 0, 15];
/// The one name that it knows, and its address.
pub const NAME: &str = "proof.example.com";
/// See [`NAME`].
pub const NAMED: [u8; 4] = [10, 9, 0, 77];
const HARDWARE: [u8; 6] = [0x52, 0x54, 0x00, 0xff, 0x00, 0x01];
const BROADCAST: [u8; 4] = [255; 4];
/// From NTP's epoch, 1900, to Unix's.
const NTP_TO_UNIX: u64 = 2_208_988_800;
const ETHERNET: usize = 14;

/// A peer that answers until it is dropped.
#[derive(Debug)]
pub struct Peer {
    network: Network,
    over: Arc<AtomicBool>,
}

impl Peer {
    /// `time`: what its clock shows now, in seconds since Unix's epoch.
    pub fn start(time: u64) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").context("cannot take a port of 127.0.0.1")?;
        let own_port = free_port()?;
        let network = Network::Peer { peer_port: socket.local_addr()?.port(), own_port };
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let clock = Clock { at_start: time, start: Instant::now() };
        std::thread::spawn(move || {
            let mut frame = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, _)) = socket.recv_from(&mut frame) else { continue };
                if let Some(answer) = answer(&frame[..length], clock) {
                    let _ = socket.send_to(&answer, ("127.0.0.1", own_port));
                }
            }
        });
        Ok(Self { network, over })
    }

    /// The card to plug in.
    pub fn network(&self) -> Network {
        self.network.clone()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone, Copy)]
struct Clock {
    at_start: u64,
    start: Instant,
}

impl Clock {
    /// NTP's 32.32 fixed-point time.
    fn ntp(self) -> u64 {
        let passed = self.start.elapsed();
        let fraction = (u64::from(passed.subsec_nanos()) << 32) / 1_000_000_000;
        (self.at_start + passed.as_secs() + NTP_TO_UNIX) << 32 | fraction
    }
}

/// The frame that answers a frame.
fn answer(frame: &[u8], clock: Clock) -> Option<Vec<u8>> {
    let from: [u8; 6] = frame.get(6..12)?.try_into().ok()?;
    let packet = frame.get(ETHERNET..)?;
    let (kind, payload) = match frame.get(12..14)? {
        [0x08, 0x06] => ([0x08, 0x06], arp(packet, from)?),
        [0x08, 0x00] => ([0x08, 0x00], ipv4(packet, clock)?),
        _ => return None,
    };
    Some([&from[..], &HARDWARE, &kind, &payload].concat())
}

fn arp(packet: &[u8], from: [u8; 6]) -> Option<Vec<u8>> {
    const REQUEST: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
    let asks_us = packet.get(..8)? == REQUEST && packet.get(24..28)? == ADDRESS;
    let sender = packet.get(14..18)?;
    asks_us.then(|| [&[0, 1, 8, 0, 6, 4, 0, 2], &HARDWARE[..], &ADDRESS, &from, sender].concat())
}

fn ipv4(packet: &[u8], clock: Clock) -> Option<Vec<u8>> {
    const UDP: u8 = 17;
    let header = usize::from(packet.first()? & 15) * 4;
    let to_us = packet.get(16..20)? == ADDRESS || packet.get(16..20)? == BROADCAST;
    if *packet.get(9)? != UDP || !to_us {
        return None;
    }
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let datagram = packet.get(header..)?;
    let port = |at: usize| Some(u16::from_be_bytes(datagram.get(at..at + 2)?.try_into().ok()?));
    let (client, service) = (port(0)?, port(2)?);
    let length = usize::from(port(4)?);
    let data = datagram.get(8..length)?;
    let (to, payload) = match service {
        53 => (source, dns(data)?),
        67 => (BROADCAST, dhcp(data)?),
        123 => (source, ntp(data, clock)?),
        _ => return None,
    };
    Some(udp(to, service, client, &payload))
}

fn udp(to: [u8; 4], source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    let mut header = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0].to_vec();
    header[2..4].copy_from_slice(&(20 + length).to_be_bytes());
    header.extend(ADDRESS.iter().chain(&to));
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    // A datagram's own checksum may be left out: zero.
    let ports = [source.to_be_bytes(), destination.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    [&header[..], &ports, payload].concat()
}

fn checksum(header: &[u8]) -> u16 {
    let sum: u32 = header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(folded as u16)
}

fn dhcp(data: &[u8]) -> Option<Vec<u8>> {
    const MAGIC: [u8; 4] = [99, 130, 83, 99];
    if *data.first()? != 1 || data.get(236..240)? != MAGIC {
        return None;
    }
    let reply = match option(data.get(240..)?, 53)? {
        [1] => 2,
        [3] => 5,
        _ => return None,
    };
    let mut answer = data[..240].to_vec();
    answer[0] = 2;
    answer[16..20].copy_from_slice(&GUEST);
    answer[20..24].copy_from_slice(&ADDRESS);
    // No router: the machine shall not send here what is meant for others.
    answer.extend([53, 1, reply, 51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 255, 0]);
    for code in [54, 6, 42] {
        answer.extend([code, 4]);
        answer.extend(ADDRESS);
    }
    answer.push(255);
    answer.resize(answer.len().max(300), 0);
    Some(answer)
}

/// The value of a DHCP option.
fn option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match *options.first()? {
            0 => options = &options[1..],
            255 => return None,
            code => {
                let length = usize::from(*options.get(1)?);
                let value = options.get(2..2 + length)?;
                if code == wanted {
                    return Some(value);
                }
                options = &options[2 + length..];
            }
        }
    }
}

fn dns(query: &[u8]) -> Option<Vec<u8>> {
    const IPV4_ADDRESS: u16 = 1;
    let (name, end) = dns_name(query, 12)?;
    let question = query.get(12..end + 4)?;
    let kind = u16::from_be_bytes(query.get(end..end + 2)?.try_into().ok()?);
    let known = name.eq_ignore_ascii_case(NAME);
    let found = known && kind == IPV4_ADDRESS;
    let code = if known { 0 } else { 3 };
    // Answer, authoritative, recursion as it was asked and available.
    let flags = [0x84 | (query.get(2)? & 1), 0x80 | code];
    let counts = [0, 1, 0, u8::from(found), 0, 0, 0, 0];
    let mut answer = [query.get(..2)?, &flags, &counts, question].concat();
    if found {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(NAMED);
    }
    Some(answer)
}

/// A name without compression, and where it ends.
fn dns_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).into_owned());
        at += length;
    }
}

fn ntp(request: &[u8], clock: Clock) -> Option<Vec<u8>> {
    let sent = request.get(40..48)?;
    let now = clock.ntp().to_be_bytes();
    // No leap, version 4, server; stratum 1, as precise as a computer is, hardly any delay and dispersion.
    let head = [0x24, 1, 6, 0xec, 0, 0, 0, 1, 0, 0, 0, 1];
    Some([&head[..], b"LOCL", &now, sent, &now, &now].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        Clock { at_start: 1_900_000_000, start: Instant::now() }
    }

    #[test]
    fn arp_for_us_is_answered() {
        let request = |target: [u8; 4]| {
            let head = [[0xff; 6], [1; 6]].concat();
            [&head[..], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &[1; 6], &GUEST, &[0; 6], &target].concat()
        };
        let answer = super::answer(&request(ADDRESS), clock()).unwrap();
        assert_eq!(answer[..6], [1; 6]);
        assert_eq!(answer[20..22], [0, 2]);
        assert_eq!(super::answer(&request(GUEST), clock()), None);
    }

    #[test]
    fn names() {
        let query = |name: &str, kind: u8| {
            let mut query = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            for label in name.split('.') {
                query.push(label.len() as u8);
                query.extend(label.bytes());
            }
            query.extend([0, 0, kind, 0, 1]);
            query
        };
        let check = |name: &str, kind: u8, code: u8, answers: u8| {
            let answer = dns(&query(name, kind)).unwrap();
            assert_eq!((answer[3] & 15, answer[7]), (code, answers), "{name} {kind}");
        };
        check(NAME, 1, 0, 1);
        check("PROOF.example.com", 1, 0, 1);
        check(NAME, 28, 0, 0);
        check("other.example.com", 1, 3, 0);
        assert_eq!(dns(&[0; 12]), None);
    }

    #[test]
    fn addresses_are_handed_out() {
        let mut discover = vec![0; 240];
        discover[0] = 1;
        discover[236..240].copy_from_slice(&[99, 130, 83, 99]);
        discover.extend([0, 53, 1, 1, 255]);
        let offer = dhcp(&discover).unwrap();
        assert_eq!(option(&offer[240..], 53), Some(&[2][..]));
        assert_eq!(option(&offer[240..], 42), Some(&ADDRESS[..]));
        assert_eq!(offer[16..20], GUEST);
    }

    #[test]
    fn the_time_is_ours() {
        let answer = ntp(&[0x1b; 48], clock()).unwrap();
        assert_eq!(answer.len(), 48);
        let seconds = u32::from_be_bytes(answer[40..44].try_into().unwrap());
        assert_eq!(u64::from(seconds), 1_900_000_000 + NTP_TO_UNIX);
        assert_eq!(answer[24..32], [0x1b; 8]);
    }

    #[test]
    fn a_header_sums_to_zero() {
        let packet = udp(GUEST, 53, 4000, b"abc");
        assert_eq!(checksum(&packet[..20]), 0);
    }
}
