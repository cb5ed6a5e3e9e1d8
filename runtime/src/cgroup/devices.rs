//! Rules about devices as a program for the kernel.
//!
//! The kernel asks with a type, numbers and the access that is wanted; the program answers 1 or 0. The last rule that
//! fits holds, so the program goes through them from the end, and what every container may do stands there.

use std::path::Path;

use ashlar_sys::bpf::code::{AND, EXIT, JUMP_IF_EQUAL, JUMP_UNLESS_EQUAL, LOAD_WORD};
use ashlar_sys::bpf::{self, Hook, Instruction};

use crate::error::{Failure, InStep, Step};
use crate::spec::DeviceRule;

/// Puts the group under the rules. Without any rule nothing is restricted.
pub(crate) fn restrict(group: &Path, rules: &[DeviceRule]) -> Result<(), Failure> {
    if rules.is_empty() {
        return Ok(());
    }
    let subject = group.display().to_string();
    let directory = std::fs::File::open(group).step(Step::Devices, &subject)?;
    let program = bpf::load(Hook::Device, &program(rules)?).step(Step::Devices, &subject)?;
    bpf::attach(&directory, Hook::Device, &program).step(Step::Devices, &subject)
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
    always(CHARACTER, None, None, MAKE),
    always(BLOCK, None, None, MAKE),
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

// Registers: 0 the answer, 1 the question, 2 type, 3 access, 4 major, 5 minor, 6 scratch.
const MOVE: u8 = 0xb4;
const COPY: u8 = 0xbc;
const SHIFT_RIGHT: u8 = 0x74;

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
    ];
    let mut decided = false;
    for rule in rules.iter().chain(&ALWAYS).rev() {
        decided = rule.fits_all();
        program.extend(one(rule));
        if decided {
            break;
        }
    }
    if !decided {
        program.extend([Instruction::new(MOVE, 0, 0, 0), Instruction::new(EXIT, 0, 0, 0)]);
    }
    Ok(program)
}

/// One rule: tests that jump behind it, then the answer.
fn one(rule: &Rule) -> Vec<Instruction> {
    let mut tests = Vec::new();
    let values = [(2, rule.kind), (4, rule.major), (5, rule.minor)];
    tests.extend(
        values.into_iter().filter_map(|(register, v)| v.map(|v| Instruction::new(JUMP_UNLESS_EQUAL, register, 0, v))),
    );
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
                SHIFT_RIGHT => registers[to] >>= immediate,
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
    }

    #[test]
    fn refusals() {
        let check = |rule: &str| assert!(program(&[serde_json::from_str(rule).unwrap()]).is_err(), "{rule}");
        check(r#"{"type":"x"}"#);
        check(r#"{"access":"q"}"#);
        check(r#"{"major":-7}"#);
    }
}
