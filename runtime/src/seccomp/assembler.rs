//! From ranges of numbers to instructions (classic BPF over struct seccomp_data).

use ashlar_sys::seccomp::Instruction;

/// A comparison of an argument with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// After masking.
    MaskedEqual(u64),
}

/// A condition on one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Test {
    pub index: u8,
    pub condition: Condition,
    pub value: u64,
}

/// What is done with a call: the first chain of tests that all hold decides, else `otherwise`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    chains: Vec<(Vec<Test>, u32)>,
    otherwise: u32,
    decided: bool,
}

impl Leaf {
    pub(super) fn new(otherwise: u32) -> Self {
        Self { chains: Vec::new(), otherwise, decided: false }
    }

    /// Adds a rule behind the ones that are there; one without tests is the last that counts.
    pub(super) fn add(&mut self, tests: &[Test], result: u32) {
        if self.decided {
            return;
        }
        if tests.is_empty() {
            (self.otherwise, self.decided) = (result, true);
        } else {
            self.chains.push((tests.to_vec(), result));
        }
    }
}

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
const KILL_PROCESS: u32 = 0x8000_0000;

const fn instruction(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

/// The whole filter: a section for each architecture, whose `ranges` begin at 0 and are sorted. Calls of others end the
/// process.
pub(super) fn assemble(sections: &[(u32, Vec<(u32, Leaf)>)]) -> Vec<Instruction> {
    let mut filter = vec![instruction(LOAD, ARCHITECTURE)];
    for (architecture, ranges) in sections {
        let mut section = vec![instruction(LOAD, NUMBER)];
        section.extend(search(ranges));
        filter.push(Instruction { code: JUMP_EQUAL, jt: 1, jf: 0, k: *architecture });
        filter.push(instruction(JUMP, section.len() as u32));
        filter.extend(section);
    }
    filter.push(instruction(RETURN, KILL_PROCESS));
    filter
}

/// Halves the ranges until one is left. Its code returns, so nothing has to jump over it.
fn search(ranges: &[(u32, Leaf)]) -> Vec<Instruction> {
    if let [(_, leaf)] = ranges {
        return decide(leaf);
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let below = search(low);
    let mut code = vec![Instruction { code: JUMP_GREATER_OR_EQUAL, jt: 0, jf: 0, k: high[0].0 }];
    match u8::try_from(below.len()) {
        Ok(length) => code[0].jt = length,
        // Conditional jumps reach 255 instructions only.
        Err(_) => {
            code[0].jf = 1;
            code.push(instruction(JUMP, below.len() as u32));
        }
    }
    code.extend(below);
    code.extend(search(high));
    code
}

fn decide(leaf: &Leaf) -> Vec<Instruction> {
    let mut code = Vec::new();
    for (tests, result) in &leaf.chains {
        code.extend(chain(tests, *result));
    }
    code.push(instruction(RETURN, leaf.otherwise));
    code
}

/// Where a test goes: on to the next instruction behind it, or to the end of the chain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Next,
    /// Behind this test's own instructions.
    Holds,
    Fails,
}

/// All tests, then the result. A test that fails jumps behind it.
fn chain(tests: &[Test], result: u32) -> Vec<Instruction> {
    let parts: Vec<Vec<(Instruction, Way, Way)>> = tests.iter().map(one).collect();
    let total: usize = parts.iter().map(Vec::len).sum();
    let mut code = Vec::with_capacity(total + 1);
    let mut end_of_test = 0;
    for part in parts {
        end_of_test += part.len();
        for (mut instruction, yes, no) in part {
            let behind = code.len() + 1;
            let distance = |way| match way {
                Way::Next => 0,
                Way::Holds => (end_of_test - behind) as u8,
                // Six tests of eight instructions at most: a byte is enough.
                Way::Fails => (total + 1 - behind) as u8,
            };
            (instruction.jt, instruction.jf) = (distance(yes), distance(no));
            code.push(instruction);
        }
    }
    code.push(instruction(RETURN, result));
    code
}

/// A test: the argument's halves, the high one first; each with where to go if it is true or false.
fn one(test: &Test) -> Vec<(Instruction, Way, Way)> {
    use Way::{Fails, Holds, Next};
    let (low, high) = (test.value as u32, (test.value >> 32) as u32);
    let at = ARGUMENTS + 8 * u32::from(test.index);
    let load_low = (instruction(LOAD, at), Next, Next);
    let load_high = (instruction(LOAD, at + 4), Next, Next);
    let equal = |k, yes, no| (instruction(JUMP_EQUAL, k), yes, no);
    let greater = |k, yes, no| (instruction(JUMP_GREATER, k), yes, no);
    let at_least = |k, yes, no| (instruction(JUMP_GREATER_OR_EQUAL, k), yes, no);
    let and = |k| (instruction(AND, k), Next, Next);
    match test.condition {
        Condition::Equal => vec![load_high, equal(high, Next, Fails), load_low, equal(low, Next, Fails)],
        Condition::Unequal => vec![load_high, equal(high, Next, Holds), load_low, equal(low, Fails, Next)],
        Condition::Greater => {
            vec![load_high, greater(high, Holds, Next), equal(high, Next, Fails), load_low, greater(low, Next, Fails)]
        }
        Condition::GreaterOrEqual => {
            vec![load_high, greater(high, Holds, Next), equal(high, Next, Fails), load_low, at_least(low, Next, Fails)]
        }
        Condition::Less => {
            vec![load_high, greater(high, Fails, Next), equal(high, Next, Holds), load_low, at_least(low, Fails, Next)]
        }
        Condition::LessOrEqual => {
            vec![load_high, greater(high, Fails, Next), equal(high, Next, Holds), load_low, greater(low, Fails, Next)]
        }
        Condition::MaskedEqual(mask) => vec![
            load_high,
            and((mask >> 32) as u32),
            equal(high, Next, Fails),
            load_low,
            and(mask as u32),
            equal(low, Next, Fails),
        ],
    }
}
