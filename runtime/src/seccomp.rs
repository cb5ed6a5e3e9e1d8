//! `linux.seccomp` as a filter for the kernel.
//!
//! Calls are numbers, and most rules treat long runs of them alike. So the filter is a binary search over ranges of
//! numbers; only calls with conditions on arguments have a chain of tests behind them. Calls of another architecture
//! than the machine's own end the process, those of x32 do not exist.

mod assembler;

use std::collections::{BTreeMap, BTreeSet};

use ashlar_sys::seccomp::{self, Instruction};

use crate::error::{Failure, InStep, Step};
use crate::spec::{Seccomp, SyscallArgument, SyscallRule};
use assembler::{Condition, Leaf, Test};

const SUBJECT: &str = "linux.seccomp";

/// Puts this process under the filter.
pub(crate) fn install(json: &str) -> Result<(), Failure> {
    let written: Seccomp =
        serde_json::from_str(json).map_err(|error| Failure::because(Step::Filter, SUBJECT, error.to_string()))?;
    let filter = compile(&written)?;
    let flags = written.flags.iter().try_fold(0, |bits, name| Ok::<u32, Failure>(bits | flag(name)?))?;
    seccomp::install(&filter, flags).step(Step::Filter, SUBJECT)
}

fn refuse(reason: String) -> Failure {
    Failure::because(Step::Filter, SUBJECT, reason)
}

fn flag(name: &str) -> Result<u32, Failure> {
    Ok(match name {
        "SECCOMP_FILTER_FLAG_TSYNC" => 1,
        "SECCOMP_FILTER_FLAG_LOG" => 2,
        "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => 4,
        other => return Err(refuse(format!("unknown flag {other}"))),
    })
}

const KILL_PROCESS: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
const NOT_PERMITTED: u32 = 1;

/// What a filter returns for an action.
fn action(name: &str, errno: Option<u32>) -> Result<u32, Failure> {
    let data = errno.unwrap_or(NOT_PERMITTED) & 0xffff;
    Ok(match name {
        "SCMP_ACT_ALLOW" => 0x7fff_0000,
        "SCMP_ACT_ERRNO" => ERRNO | data,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => 0,
        "SCMP_ACT_KILL_PROCESS" => KILL_PROCESS,
        "SCMP_ACT_TRAP" => 0x0003_0000,
        "SCMP_ACT_TRACE" => 0x7ff0_0000 | data,
        "SCMP_ACT_LOG" => 0x7ffc_0000,
        other => return Err(refuse(format!("unsupported action {other}"))),
    })
}

/// The filter of a profile.
fn compile(written: &Seccomp) -> Result<Vec<Instruction>, Failure> {
    let default = action(&written.default_action, written.default_errno_ret)?;
    let mut calls: BTreeMap<u32, Leaf> = BTreeMap::new();
    for rule in &written.syscalls {
        let result = action(&rule.action, rule.errno_ret)?;
        let chains = conditions(rule)?;
        for number in rule.names.iter().filter_map(|name| seccomp::number(name)) {
            let leaf = calls.entry(number).or_insert_with(|| Leaf::new(default));
            chains.iter().for_each(|tests| leaf.add(tests, result));
        }
    }
    let filter = assembler::assemble(seccomp::ARCHITECTURE, &ranges(calls, default));
    match filter.len() {
        0..=seccomp::LENGTH_LIMIT => Ok(filter),
        length => Err(refuse(format!("it has {length} instructions, more than {}", seccomp::LENGTH_LIMIT))),
    }
}

/// Conditions of a rule, as alternatives. All must hold; several on one argument are alternatives.
fn conditions(rule: &SyscallRule) -> Result<Vec<Vec<Test>>, Failure> {
    let tests = rule.args.iter().map(test).collect::<Result<Vec<_>, _>>()?;
    let indices: BTreeSet<u8> = tests.iter().map(|test| test.index).collect();
    let repeated = indices.len() < tests.len();
    Ok(if repeated { tests.into_iter().map(|test| vec![test]).collect() } else { vec![tests] })
}

fn test(argument: &SyscallArgument) -> Result<Test, Failure> {
    let condition = match argument.op.as_str() {
        "SCMP_CMP_EQ" => Condition::Equal,
        "SCMP_CMP_NE" => Condition::Unequal,
        "SCMP_CMP_LT" => Condition::Less,
        "SCMP_CMP_LE" => Condition::LessOrEqual,
        "SCMP_CMP_GT" => Condition::Greater,
        "SCMP_CMP_GE" => Condition::GreaterOrEqual,
        "SCMP_CMP_MASKED_EQ" => Condition::MaskedEqual(argument.value),
        other => return Err(refuse(format!("unknown comparison {other}"))),
    };
    if argument.index > 5 {
        return Err(refuse(format!("argument {} does not exist: a call has six", argument.index)));
    }
    let masked = matches!(condition, Condition::MaskedEqual(_));
    let value = if masked { argument.value_two } else { argument.value };
    Ok(Test { index: argument.index, condition, value })
}

/// All numbers from 0 on, as ranges by their first one. x32's have bit 30 set.
fn ranges(calls: BTreeMap<u32, Leaf>, default: u32) -> Vec<(u32, Leaf)> {
    const X32: u32 = 0x4000_0000;
    const NOT_IMPLEMENTED: u32 = 38;
    let mut ranges: Vec<(u32, Leaf)> = vec![(0, Leaf::new(default))];
    let mut add = |number, leaf: Leaf| match ranges.last_mut() {
        Some(last) if last.0 == number => last.1 = leaf,
        Some(last) if last.1 == leaf => {}
        _ => ranges.push((number, leaf)),
    };
    let mut next = 0;
    for (number, leaf) in calls {
        if number != next {
            add(next, Leaf::new(default));
        }
        add(number, leaf);
        next = number + 1;
    }
    add(next, Leaf::new(default));
    if cfg!(target_arch = "x86_64") {
        add(X32, Leaf::new(ERRNO | NOT_IMPLEMENTED));
    }
    ranges
}

#[cfg(test)]
mod tests;
