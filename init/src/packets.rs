//! Whom a unit may talk to, as a program for the kernel (systemd.resource-control(5), IPAddressAllow=).
//!
//! The kernel shows each packet that comes in or goes out; the program looks at the other side's address and answers 1 or
//! 0. What one is allowed counts, whatever else denies it; then what is denied; the rest may pass. What is no IP may, too.

use std::fs::File;
use std::io;
use std::net::IpAddr;

use ashlar_config::unit::Prefix;
use ashlar_sys::bpf::code::{AND, EXIT, JUMP_IF_EQUAL, JUMP_UNLESS_EQUAL, LOAD_WORD};
use ashlar_sys::bpf::{self, Hook, Instruction};

use crate::cgroup;

/// More would be too far to jump over.
const MOST: usize = 1024;

/// Ranges of addresses: those of a unit, and of the slices that it is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    pub allowed: Vec<Prefix>,
    pub denied: Vec<Prefix>,
}

/// Puts a group under the rules.
pub fn restrict(group: &str, lists: &Lists) -> io::Result<()> {
    if lists.allowed.len() + lists.denied.len() > MOST {
        return Err(io::Error::other(format!("more than {MOST} ranges of addresses")));
    }
    let directory = File::open(cgroup::path(group))?;
    for hook in [Hook::Ingress, Hook::Egress] {
        let program = bpf::load(hook, &program(lists, hook == Hook::Ingress))?;
        bpf::attach(&directory, hook, &program)?;
    }
    Ok(())
}

// Registers: 0 the answer, 1 to 5 arguments, then 1 scratch and 2 to 5 the address; 6 the packet; 10 the stack.
const MOVE: u8 = 0xb7;
const COPY: u8 = 0xbf;
const COPY_WORD: u8 = 0xbc;
const ADD: u8 = 0x07;
const CALL: u8 = 0x85;
/// bpf_skb_load_bytes(packet, offset, to, length).
const LOAD_BYTES: u32 = 26;
/// Offset of the protocol in struct __sk_buff.
const PROTOCOL: i16 = 16;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

fn answer(value: u32) -> [Instruction; 2] {
    [Instruction::new(MOVE, 0, 0, value), Instruction::new(EXIT, 0, 0, 0)]
}

/// `incoming`: the other side is the source.
fn program(lists: &Lists, incoming: bool) -> Vec<Instruction> {
    let mut program = vec![Instruction::new(COPY, 0x16, 0, 0), Instruction::new(LOAD_WORD, 0x67, PROTOCOL, 0)];
    // Where the other side's address is, and how long it is.
    let kinds = [(IPV4, if incoming { 12 } else { 16 }, 4), (IPV6, if incoming { 8 } else { 24 }, 16)];
    for (protocol, offset, length) in kinds {
        let body = decide(lists, offset, length);
        program.push(Instruction::new(JUMP_UNLESS_EQUAL, 7, body.len() as i16, u32::from(protocol.to_be())));
        program.extend(body);
    }
    program.extend(answer(1));
    program
}

/// Of one kind of address: loads it, and goes through the lists.
fn decide(lists: &Lists, offset: u32, length: u32) -> Vec<Instruction> {
    const STACK: u32 = -16_i32 as u32;
    let mut body = vec![
        Instruction::new(COPY, 0x61, 0, 0),
        Instruction::new(MOVE, 2, 0, offset),
        Instruction::new(COPY, 0xa3, 0, 0),
        Instruction::new(ADD, 3, 0, STACK),
        Instruction::new(MOVE, 4, 0, length),
        Instruction::new(CALL, 0, 0, LOAD_BYTES),
        // A packet that is too short for its address goes nowhere.
        Instruction::new(JUMP_IF_EQUAL, 0, 2, 0),
    ];
    body.extend(answer(0));
    let words = length as u8 / 4;
    body.extend((0..words).map(|word| Instruction::new(LOAD_WORD, 0xa2 + word, i16::from(word) * 4 - 16, 0)));
    let rules = lists.allowed.iter().map(|prefix| (prefix, 1)).chain(lists.denied.iter().map(|prefix| (prefix, 0)));
    for (prefix, verdict) in rules.filter(|(prefix, _)| prefix.address.is_ipv4() == (words == 1)) {
        body.extend(one(prefix, verdict));
        if prefix.bits == 0 {
            // The kernel takes no program with something behind its end.
            return body;
        }
    }
    body.extend(answer(1));
    body
}

/// One range: tests that jump behind it, then the answer.
fn one(prefix: &Prefix, verdict: u32) -> Vec<Instruction> {
    let octets = match prefix.address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let mut code = Vec::new();
    for (place, word) in octets.chunks_exact(4).enumerate() {
        let bits = u32::from(prefix.bits).saturating_sub(32 * place as u32).min(32);
        if bits == 0 {
            break;
        }
        let mask = u32::MAX << (32 - bits);
        let value = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        code.push(Instruction::new(COPY_WORD, (place as u8 + 2) << 4 | 1, 0, 0));
        code.push(Instruction::new(AND, 1, 0, mask.to_be()));
        code.push(Instruction::new(JUMP_UNLESS_EQUAL, 1, 0, value));
    }
    let length = code.len();
    for (place, test) in code.iter_mut().enumerate().filter(|(_, test)| test.code == JUMP_UNLESS_EQUAL) {
        test.offset = (length - place + 1) as i16;
    }
    code.extend(answer(verdict));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers for a packet, by its own instructions.
    fn run(program: &[Instruction], packet: &[u8], protocol: u16) -> u32 {
        let mut registers = [0u32; 11];
        let mut stack = [0u8; 16];
        let mut place = 0;
        loop {
            let Instruction { code, registers: which, offset, immediate } = program[place];
            let (to, from) = (usize::from(which & 15), usize::from(which >> 4));
            place += 1;
            match code {
                LOAD_WORD if from == 10 => {
                    let at = (offset + 16) as usize;
                    registers[to] = u32::from_ne_bytes(stack[at..at + 4].try_into().unwrap());
                }
                LOAD_WORD => registers[to] = u32::from(protocol.to_be()),
                MOVE => registers[to] = immediate as u32,
                COPY | COPY_WORD => registers[to] = registers[from],
                ADD => {}
                AND => registers[to] &= immediate as u32,
                CALL => {
                    let (at, length) = (registers[2] as usize, registers[4] as usize);
                    registers[0] = match packet.get(at..at + length) {
                        Some(bytes) => {
                            stack[..length].copy_from_slice(bytes);
                            0
                        }
                        None => u32::MAX,
                    };
                }
                JUMP_UNLESS_EQUAL if registers[to] != immediate as u32 => place += offset as usize,
                JUMP_IF_EQUAL if registers[to] == immediate as u32 => place += offset as usize,
                EXIT => return registers[0],
                _ => {}
            }
        }
    }

    fn packet(source: IpAddr, destination: IpAddr) -> (Vec<u8>, u16) {
        match (source, destination) {
            (IpAddr::V4(one), IpAddr::V4(two)) => ([[0; 12].as_slice(), &one.octets(), &two.octets()].concat(), IPV4),
            (IpAddr::V6(one), IpAddr::V6(two)) => ([[0; 8].as_slice(), &one.octets(), &two.octets()].concat(), IPV6),
            _ => unreachable!(),
        }
    }

    #[test]
    fn who_may_be_talked_to() {
        let ranges = |words: &str| -> Vec<Prefix> {
            words.split_whitespace().flat_map(|word| Prefix::named(word).unwrap()).collect()
        };
        let check = |allowed: &str, denied: &str, other: &str, expect: bool| {
            let lists = Lists { allowed: ranges(allowed), denied: ranges(denied) };
            let other: IpAddr = other.parse().unwrap();
            let own: IpAddr = if other.is_ipv4() { "203.0.113.1" } else { "2001:db8::1" }.parse().unwrap();
            for (incoming, (bytes, protocol)) in [(true, packet(other, own)), (false, packet(own, other))] {
                let got = run(&program(&lists, incoming), &bytes, protocol) == 1;
                assert_eq!(got, expect, "{allowed} / {denied}: {other} {incoming}");
            }
        };
        check("", "", "10.0.0.1", true);
        check("", "any", "10.0.0.1", false);
        check("", "any", "2001:db8::2", false);
        check("localhost", "any", "127.0.0.1", true);
        check("localhost", "any", "::1", true);
        check("localhost", "any", "::2", false);
        check("10.1.0.0/16 10.2.3.4", "any", "10.1.255.1", true);
        check("10.1.0.0/16 10.2.3.4", "any", "10.2.3.4", true);
        check("10.1.0.0/16 10.2.3.4", "any", "10.2.3.5", false);
        check("", "10.0.0.0/9", "10.127.0.1", false);
        check("", "10.0.0.0/9", "10.128.0.1", true);
        check("2001:db8:8000::/33", "any", "2001:db8:ffff::1", true);
        check("2001:db8:8000::/33", "any", "2001:db8:7fff::1", false);
        let denied = Lists { allowed: Vec::new(), denied: ranges("any") };
        assert_eq!(run(&program(&denied, true), &[0; 4], IPV4), 0, "a packet that is too short");
        assert_eq!(run(&program(&denied, true), &[0; 4], 0x0806), 1, "what is no IP");
    }

    /// The kernel's own judgement, where there is leave to ask it.
    #[test]
    fn the_kernel_takes_the_programs() {
        let every = ["localhost", "link-local", "multicast", "10.1.0.0/17", "2001:db8::/47"];
        let ranges: Vec<Prefix> = every.iter().flat_map(|word| Prefix::named(word).unwrap()).collect();
        let any = Prefix::named("any").unwrap();
        let long = ranges.iter().copied().cycle().take(MOST / 2).chain(any.clone()).collect();
        for lists in
            [Lists::default(), Lists { allowed: any, denied: ranges.clone() }, Lists { allowed: ranges, denied: long }]
        {
            for hook in [Hook::Ingress, Hook::Egress] {
                match bpf::load(hook, &program(&lists, hook == Hook::Ingress)) {
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                    other => drop(other.unwrap()),
                }
            }
        }
    }
}
