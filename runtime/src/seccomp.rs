//! `linux.seccomp` as a filter for the kernel.
//!
//! Calls are numbers, and most rules treat long runs of them alike. So the filter is a binary search over ranges of
//! numbers; only calls with conditions on arguments have a chain of tests behind them. There is one search for each
//! architecture that the profile names; calls of others end the process, those of x32 do not exist.

mod assembler;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use ashlar_sys::seccomp::{self, Instruction};
use ashlar_sys::{process, socket};
use serde::Serialize;

use crate::error::{Failure, InStep, Step};
use crate::hooks::State;
use crate::request::Request;
use crate::spec::{Seccomp, SyscallArgument, SyscallRule};
use assembler::{Condition, Leaf, Test};

const SUBJECT: &str = "linux.seccomp";

/// A filter, ready to be put in force.
#[derive(Debug)]
pub(crate) struct Filter {
    instructions: Vec<Instruction>,
    flags: u32,
    /// Who decides about calls that are told, and what that one is told about the process.
    listener: Option<(OwnedFd, Vec<u8>)>,
}

impl Filter {
    /// Compiles the profile for the process `pid` and connects to its listener.
    pub(crate) fn new(json: &str, request: &Request<'_>, pid: u32) -> Result<Self, Failure> {
        let written: Seccomp = serde_json::from_slice(json.as_bytes())
            .map_err(|error| Failure::because(Step::Filter, SUBJECT, error.to_string()))?;
        let instructions = compile(&written)?;
        let flags = written.flags.iter().try_fold(0, |bits, name| Ok::<u32, Failure>(bits | flag(name)?))?;
        Ok(Self { instructions, flags, listener: listener(&written, request, pid)? })
    }

    /// Whether somebody decides about calls.
    pub(crate) fn has_listener(&self) -> bool {
        self.listener.is_some()
    }

    /// Puts this process under it.
    pub(crate) fn install(&self) -> Result<(), Failure> {
        let Some((socket, message)) = &self.listener else {
            return seccomp::install(&self.instructions, self.flags).step(Step::Filter, SUBJECT);
        };
        let told = seccomp::install_with_listener(&self.instructions, self.flags)
            .and_then(|calls| socket::send(socket, message, &[calls.as_raw_fd()]));
        told.map(drop).step(Step::Filter, SUBJECT)
    }
}

/// What whoever decides about calls is told (runtime-linux, container process state).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    oci_version: &'a str,
    fds: [&'a str; 1],
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: State<'a>,
}

fn listener(written: &Seccomp, request: &Request<'_>, pid: u32) -> Result<Option<(OwnedFd, Vec<u8>)>, Failure> {
    let notify = |action: &str| action == NOTIFY;
    if notify(&written.default_action) {
        return Err(refuse(format!("defaultAction cannot be {NOTIFY}: the process could not even begin")));
    }
    let told = |rule: &&SyscallRule| notify(&rule.action);
    let Some(path) = written.listener_path.as_ref().filter(|path| !path.is_empty()) else {
        return match written.syscalls.iter().any(|rule| told(&rule)) || written.listener_metadata.is_some() {
            true => Err(refuse(format!("{NOTIFY} and listenerMetadata need a listenerPath"))),
            false => Ok(None),
        };
    };
    if !written.syscalls.iter().any(|rule| told(&rule)) {
        return Ok(None);
    }
    // The descriptor has to get to the listener before there is anybody to decide.
    for call in ["sendmsg", "write"] {
        if written.syscalls.iter().filter(told).any(|rule| rule.names.iter().any(|name| name == call)) {
            return Err(refuse(format!("{call} cannot be {NOTIFY}: the listener is told by it")));
        }
    }
    let socket = UnixStream::connect(path).step(Step::Filter, path)?;
    let socket = process::above(&socket, request.passed().len()).step(Step::Filter, path)?;
    let bundle = request.bundle;
    let (status, main) = request.join.map_or(("creating", pid), |main| ("running", main));
    let message = Told {
        oci_version: &bundle.spec.oci_version,
        fds: ["seccompFd"],
        pid,
        metadata: written.listener_metadata.as_deref(),
        state: State::of(bundle, request.id, status, main),
    };
    let message = serde_json::to_vec(&message).map_err(|error| refuse(error.to_string()))?;
    Ok(Some((socket, message)))
}

fn refuse(reason: String) -> Failure {
    Failure::because(Step::Filter, SUBJECT, reason)
}

fn flag(name: &str) -> Result<u32, Failure> {
    let found = FLAGS.iter().find(|(known, _)| *known == name);
    found.map(|(_, bit)| *bit).ok_or_else(|| refuse(format!("unknown flag {name}")))
}

/// The number of a call by its name.
type Lookup = fn(&str) -> Option<u32>;

/// Architectures whose calls can be told apart, the machine's own first.
#[cfg(target_arch = "x86_64")]
pub(crate) const ARCHITECTURES: [(&str, u32, Lookup); 2] = [
    ("SCMP_ARCH_X86_64", seccomp::ARCHITECTURE, seccomp::number),
    ("SCMP_ARCH_X86", seccomp::X86, seccomp::number_on_x86),
];
/// Architectures whose calls can be told apart.
#[cfg(target_arch = "aarch64")]
pub(crate) const ARCHITECTURES: [(&str, u32, Lookup); 1] =
    [("SCMP_ARCH_AARCH64", seccomp::ARCHITECTURE, seccomp::number)];

/// Flags of filters, by their bits.
pub(crate) const FLAGS: [(&str, u32); 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", 1),
    ("SECCOMP_FILTER_FLAG_LOG", 2),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", 4),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 32),
];
const NOTIFY: &str = "SCMP_ACT_NOTIFY";
const KILL_PROCESS: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
const TRACE: u32 = 0x7ff0_0000;
const NOT_PERMITTED: u32 = 1;
/// What a filter returns for an action.
pub(crate) const ACTIONS: [(&str, u32); 9] = [
    ("SCMP_ACT_ALLOW", 0x7fff_0000),
    ("SCMP_ACT_ERRNO", ERRNO),
    ("SCMP_ACT_KILL", 0),
    ("SCMP_ACT_KILL_PROCESS", KILL_PROCESS),
    ("SCMP_ACT_KILL_THREAD", 0),
    ("SCMP_ACT_LOG", 0x7ffc_0000),
    (NOTIFY, 0x7fc0_0000),
    ("SCMP_ACT_TRACE", TRACE),
    ("SCMP_ACT_TRAP", 0x0003_0000),
];

fn action(name: &str, errno: Option<u32>) -> Result<u32, Failure> {
    let found = ACTIONS.iter().find(|(known, _)| *known == name);
    let value = found.map(|(_, value)| *value).ok_or_else(|| refuse(format!("unsupported action {name}")))?;
    // Only these carry a number along.
    let data = if matches!(value, ERRNO | TRACE) { errno.unwrap_or(NOT_PERMITTED) & 0xffff } else { 0 };
    Ok(value | data)
}

/// The filter of a profile: for the machine's own architecture, and for others that it names and the machine has.
fn compile(written: &Seccomp) -> Result<Vec<Instruction>, Failure> {
    let named = |(name, ..): &&(&str, u32, Lookup)| written.architectures.iter().any(|written| written == name);
    let sections = ARCHITECTURES.iter().enumerate().filter(|(place, row)| *place == 0 || named(row));
    let sections = sections.map(|(_, (_, architecture, number))| Ok((*architecture, section(written, *number)?)));
    let filter = assembler::assemble(&sections.collect::<Result<Vec<_>, Failure>>()?);
    match filter.len() {
        0..=seccomp::LENGTH_LIMIT => Ok(filter),
        length => Err(refuse(format!("it has {length} instructions, more than {}", seccomp::LENGTH_LIMIT))),
    }
}

fn section(written: &Seccomp, number: Lookup) -> Result<Vec<(u32, Leaf)>, Failure> {
    let default = action(&written.default_action, written.default_errno_ret)?;
    let mut calls: BTreeMap<u32, Leaf> = BTreeMap::new();
    for rule in &written.syscalls {
        let result = action(&rule.action, rule.errno_ret)?;
        let chains = conditions(rule)?;
        for number in rule.names.iter().filter_map(|name| number(name)) {
            let leaf = calls.entry(number).or_insert_with(|| Leaf::new(default));
            chains.iter().for_each(|tests| leaf.add(tests, result));
        }
    }
    Ok(ranges(calls, default))
}

/// Conditions of a rule, as alternatives. All must hold; several on one argument are alternatives.
fn conditions(rule: &SyscallRule) -> Result<Vec<Vec<Test>>, Failure> {
    let tests = rule.args.iter().map(test).collect::<Result<Vec<_>, _>>()?;
    let indices: BTreeSet<u8> = tests.iter().map(|test| test.index).collect();
    let repeated = indices.len() < tests.len();
    Ok(if repeated { tests.into_iter().map(|test| vec![test]).collect() } else { vec![tests] })
}

/// Names of comparisons.
pub(crate) const OPERATORS: [&str; 7] =
    ["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"];

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
