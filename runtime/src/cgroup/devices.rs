//! Rules about devices as a program for the kernel.
//!
//! The kernel asks with a type, numbers and the access that is wanted; the program answers 1 or 0. The last rule that
//! fits holds, so the program goes through them from the end, and what every container may do stands there.
//!
//! The kernel follows every branch of a program that is loaded, which takes it longer than all else about a group: rules of
//! one type stand behind one test of it, and both numbers are one to be compared.

use std::io;
use std::path::Path;

use ashlar_sys::bpf::code::{AND, EXIT, JUMP_IF_EQUAL, JUMP_UNLESS_EQUAL, LOAD_WORD};
use ashlar_sys::bpf::{self, Hook, Instruction};
use ashlar_sys::credentials;

use crate::error::{Failure, InStep, Step};
use crate::spec::DeviceRule;

/// Puts the group under the rules. Without any rule nothing is restricted.
pub(crate) fn restrict(group: &Path, rules: &[DeviceRule]) -> Result<(), Failure> {
    if rules.is_empty() {
        return Ok(());
    }
    let subject = group.display().to_string();
    let directory = std::fs::File::open(group).step(Step::Devices, &subject)?;
    match bpf::load(Hook::Device, &program(rules)?) {
        // Who is not the host's root cannot make nodes of devices, and opens no more of them than without a container.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !credentials::is_root_of_the_host() => Ok(()),
        program => {
            bpf::attach(&directory, Hook::Device, &program.step(Step::Devices, &subject)?).step(Step::Devices, &subject)
        }
    }
}

const READ: u32 = 2;
const WRITE: u32 = 4;
const MAKE: u32 = 1;
const ALL: u32 = READ | WRITE | MAKE;

/// A rule as the kernel sees it: `None` stands for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    allow: bool,
    kind: Option<u32>,
    major: Option<u32>,
    minor: Option<u32>,
    access: u32,
}

const BLOCK: u32 = 1;
const CHARACTER: u32 = 2;

const fn always(kind: u32, major: Option<u32>, minor: Option<u32>, access: u32) -> Rule {
    Rule { allow: true, kind: Some(kind), major, minor, access }
}

/// What every container may do (config-linux.md, default devices): make nodes, and use the harmless ones.
const ALWAYS: [Rule; 10] = [
    always(BLOCK, None, None, MAKE),
    always(CHARACTER, None, None, MAKE),
    always(CHARACTER, Some(1), Some(3), ALL),
    always(CHARACTER, Some(1), Some(5), ALL),
    always(CHARACTER, Some(1), Some(7), ALL),
    always(CHARACTER, Some(1), Some(8), ALL),
    always(CHARACTER, Some(1), Some(9), ALL),
    always(CHARACTER, Some(5), Some(0), ALL),
    always(CHARACTER, Some(5), Some(2), ALL),
    always(CHARACTER, Some(136), None, ALL),
];

impl Rule {
    fn of(written: &DeviceRule) -> Result<Self, Failure> {
        let wrong = |what: &str| Failure::because(Step::Devices, "the container", format!("{what} in a device rule"));
        let kind = match written.kind.as_deref() {
            None | Some("" | "a") => None,
            Some("c" | "u") => Some(CHARACTER),
            Some("b") => Some(BLOCK),
            Some(other) => return Err(wrong(&format!("unknown type `{other}`"))),
        };
        let number = |value: Option<i64>| match value {
            None | Some(-1) => Ok(None),
            Some(value) => u32::try_from(value).map(Some).map_err(|_| wrong(&format!("impossible number {value}"))),
        };
        let access = written.access.as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
        let access = access.chars().try_fold(0, |bits, letter| match letter {
            'r' => Ok(bits | READ),
            'w' => Ok(bits | WRITE),
            'm' => Ok(bits | MAKE),
            other => Err(wrong(&format!("unknown access `{other}`"))),
        })?;
        Ok(Self { allow: written.allow, kind, major: number(written.major)?, minor: number(written.minor)?, access })
    }

    fn fits_all(&self) -> bool {
        self.kind.is_none() && self.major.is_none() && self.minor.is_none() && self.access == ALL
    }
}

// Registers: 0 the answer, 1 the question, 2 type, 3 access, 4 major, 5 minor, 6 scratch, 7 both numbers.
const MOVE: u8 = 0xb4;
const COPY: u8 = 0xbc;
const SHIFT_LEFT: u8 = 0x64;
const SHIFT_RIGHT: u8 = 0x74;
const OR: u8 = 0x4c;
/// Of the kernel's own number of a device.
const MINOR_BITS: u32 = 20;

fn program(rules: &[DeviceRule]) -> Result<Vec<Instruction>, Failure> {
    let rules = rules.iter().map(Rule::of).collect::<Result<Vec<_>, _>>()?;
    // struct bpf_cgroup_dev_ctx: access << 16 | type, major, minor.
    let mut program = vec![
        Instruction::new(LOAD_WORD, 0x12, 0, 0),
        Instruction::new(AND, 2, 0, 0xffff),
        Instruction::new(LOAD_WORD, 0x13, 0, 0),
        Instruction::new(SHIFT_RIGHT, 3, 0, 16),
        Instruction::new(LOAD_WORD, 0x14, 4, 0),
        Instruction::new(LOAD_WORD, 0x15, 8, 0),
        Instruction::new(COPY, 0x47, 0, 0),
        Instruction::new(SHIFT_LEFT, 7, 0, MINOR_BITS),
        Instruction::new(OR, 0x57, 0, 0),
    ];
    let from_the_end: Vec<&Rule> = rules.iter().chain(&ALWAYS).rev().collect();
    let decides = from_the_end.iter().position(|rule| rule.fits_all());
    let asked = &from_the_end[..decides.map_or(from_the_end.len(), |place| place + 1)];
    for group in asked.chunk_by(|one, next| one.kind == next.kind) {
        let answers: Vec<Instruction> = group.iter().flat_map(|rule| one(rule)).collect();
        let kind = group[0].kind.map(|kind| Instruction::new(JUMP_UNLESS_EQUAL, 2, answers.len() as i16, kind));
        program.extend(kind.into_iter().chain(answers));
    }
    if decides.is_none() {
        program.extend([Instruction::new(MOVE, 0, 0, 0), Instruction::new(EXIT, 0, 0, 0)]);
    }
    Ok(program)
}

/// One rule but for its type: tests that jump behind it, then the answer.
fn one(rule: &Rule) -> Vec<Instruction> {
    let test = |register, value| Instruction::new(JUMP_UNLESS_EQUAL, register, 0, value);
    let mut tests: Vec<Instruction> = match (rule.major, rule.minor) {
        (Some(major), Some(minor)) if major < 1 << (32 - MINOR_BITS) && minor < 1 << MINOR_BITS => {
            vec![test(7, major << MINOR_BITS | minor)]
        }
        (major, minor) => {
            [(4, major), (5, minor)].into_iter().filter_map(|(at, value)| Some(test(at, value?))).collect()
        }
    };
    if rule.access != ALL {
        // Allowed if all that is wanted is in the rule; forbidden if any of it is.
        let mask = if rule.allow { ALL & !rule.access } else { rule.access };
        let jump = if rule.allow { JUMP_UNLESS_EQUAL } else { JUMP_IF_EQUAL };
        tests.extend([
            Instruction::new(COPY, 0x36, 0, 0),
            Instruction::new(AND, 6, 0, mask),
            Instruction::new(jump, 6, 0, 0),
        ]);
    }
    let length = tests.len();
    for (place, test) in tests.iter_mut().enumerate() {
        if test.code == JUMP_UNLESS_EQUAL || test.code == JUMP_IF_EQUAL {
            test.offset = (length - place + 1) as i16;
        }
    }
    tests.extend([Instruction::new(MOVE, 0, 0, u32::from(rule.allow)), Instruction::new(EXIT, 0, 0, 0)]);
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers, by its own instructions.
    fn run(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> u32 {
        let question = [access << 16 | kind, major, minor];
        let mut registers = [0u32; 10];
        let mut place = 0;
        loop {
            let Instruction { code, registers: which, offset, immediate } = program[place];
            let (to, from) = (usize::from(which & 15), usize::from(which >> 4));
            place += 1;
            match code {
                LOAD_WORD => registers[to] = question[offset as usize / 4],
                MOVE => registers[to] = immediate as u32,
                COPY => registers[to] = registers[from],
                AND => registers[to] &= immediate as u32,
                SHIFT_LEFT => registers[to] <<= immediate,
                SHIFT_RIGHT => registers[to] >>= immediate,
                OR => registers[to] |= registers[from],
                JUMP_UNLESS_EQUAL if registers[to] != immediate as u32 => place += offset as usize,
                JUMP_IF_EQUAL if registers[to] == immediate as u32 => place += offset as usize,
                EXIT => return registers[0],
                _ => {}
            }
        }
    }

    #[test]
    fn answers() {
        let check = |rules: &str, kind, access, numbers: (u32, u32), expect| {
            let rules: Vec<DeviceRule> = serde_json::from_str(rules).unwrap();
            let program = program(&rules).unwrap();
            assert_eq!(run(&program, kind, access, numbers.0, numbers.1) == 1, expect, "{rules:?} {numbers:?}");
        };
        let deny = r#"[{"allow":false,"access":"rwm"}]"#;
        check(deny, CHARACTER, READ | WRITE, (1, 3), true);
        check(deny, CHARACTER, READ, (1, 11), false);
        check(deny, CHARACTER, MAKE, (1, 11), true);
        check(deny, BLOCK, MAKE | READ, (8, 0), false);
        check(deny, CHARACTER, READ | WRITE, (136, 7), true);
        let some = r#"[{"allow":false},{"allow":true,"type":"c","major":1,"minor":11,"access":"r"}]"#;
        check(some, CHARACTER, READ, (1, 11), true);
        check(some, CHARACTER, READ | WRITE, (1, 11), false);
        check(some, BLOCK, READ, (1, 11), false);
        let all = r#"[{"allow":true},{"allow":false,"type":"b","major":8,"access":"w"}]"#;
        check(all, BLOCK, READ, (8, 1), true);
        check(all, BLOCK, READ | WRITE, (8, 1), false);
        check(all, BLOCK, READ | WRITE, (9, 1), true);
        // Numbers that no device has are no others' either.
        let huge = r#"[{"allow":true},{"allow":false,"type":"c","major":4097,"minor":11}]"#;
        check(huge, CHARACTER, READ, (1, 11), true);
        check(huge, CHARACTER, READ, (4097, 11), false);
        let mixed = r#"[{"allow":false},{"allow":true,"type":"b","major":8},{"allow":true,"type":"c","minor":11}]"#;
        check(mixed, BLOCK, ALL, (8, 3), true);
        check(mixed, CHARACTER, ALL, (9, 11), true);
        check(mixed, BLOCK, READ, (9, 11), false);
        check(mixed, CHARACTER, READ, (8, 3), false);
    }

    #[test]
    fn refusals() {
        let check = |rule: &str| assert!(program(&[serde_json::from_str(rule).unwrap()]).is_err(), "{rule}");
        check(r#"{"type":"x"}"#);
        check(r#"{"access":"q"}"#);
        check(r#"{"major":-7}"#);
    }
}
