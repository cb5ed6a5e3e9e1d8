//! Filters are run as the kernel runs them.

use super::*;

const ALLOW: u32 = 0x7fff_0000;

/// What the filter returns for a call.
fn run(filter: &[Instruction], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = vec![number, architecture, 0, 0];
    data.extend(arguments.iter().flat_map(|value| [*value as u32, (*value >> 32) as u32]));
    let (mut place, mut accumulator) = (0, 0);
    loop {
        let Instruction { code, jt, jf, k } = filter[place];
        place += 1;
        let mut jump = |holds: bool| place += usize::from(if holds { jt } else { jf });
        match code {
            0x20 => accumulator = data[k as usize / 4],
            0x05 => place += k as usize,
            0x15 => jump(accumulator == k),
            0x25 => jump(accumulator > k),
            0x35 => jump(accumulator >= k),
            0x54 => accumulator &= k,
            0x06 => return k,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

fn filter(syscalls: &str) -> Vec<Instruction> {
    let json = format!(r#"{{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"syscalls":{syscalls}}}"#);
    compile(&serde_json::from_str(&json).unwrap()).unwrap()
}

fn call(filter: &[Instruction], name: &str, arguments: [u64; 6]) -> u32 {
    run(filter, seccomp::ARCHITECTURE, seccomp::number(name).unwrap(), arguments)
}

#[test]
fn calls() {
    let filter = filter(
        r#"[{"names":["read","write","close","nonsense"],"action":"SCMP_ACT_ALLOW"},
            {"names":["mount"],"action":"SCMP_ACT_KILL_PROCESS"},
            {"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]"#,
    );
    let check = |name, expect| assert_eq!(call(&filter, name, [0; 6]), expect, "{name}");
    check("read", ALLOW);
    check("close", ALLOW);
    check("openat", ERRNO | 1);
    check("mount", KILL_PROCESS);
    check("clone3", ERRNO | 38);
    assert_eq!(run(&filter, 0x4000_0003, 1, [0; 6]), KILL_PROCESS);
    assert_eq!(run(&filter, seccomp::ARCHITECTURE, 5000, [0; 6]), ERRNO | 1);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(run(&filter, seccomp::ARCHITECTURE, 0x4000_0000, [0; 6]), ERRNO | 38);
    }
}

#[test]
fn conditions_on_arguments() {
    let check = |op: &str, value: u64, two: u64, argument: u64, expect: bool| {
        let rule = format!(
            r#"[{{"names":["ioctl"],"action":"SCMP_ACT_ALLOW",
                "args":[{{"index":1,"value":{value},"valueTwo":{two},"op":"SCMP_CMP_{op}"}}]}}]"#
        );
        let got = call(&filter(&rule), "ioctl", [9, argument, 9, 9, 9, 9]) == ALLOW;
        assert_eq!(got, expect, "{argument:#x} {op} {value:#x} {two:#x}");
    };
    let big = 0x1_0000_0005;
    let rows = [
        ("EQ", [false, true, false]),
        ("NE", [true, false, true]),
        ("LT", [true, false, false]),
        ("LE", [true, true, false]),
        ("GT", [false, false, true]),
        ("GE", [false, true, true]),
    ];
    for (op, [less, equal, greater]) in rows {
        for below in [0, 5, 0x1_0000_0004] {
            check(op, big, 0, below, less);
        }
        check(op, big, 0, big, equal);
        for above in [0x1_0000_0006, 0x2_0000_0000] {
            check(op, big, 0, above, greater);
        }
    }
    check("MASKED_EQ", 0xff00, 0x1200, 0x1234, true);
    check("MASKED_EQ", 0xff00, 0x1200, 0x1334, false);
    check("MASKED_EQ", 0x1_0000_0000, 0, 0x1_0000_0000, false);
}

#[test]
fn several_conditions() {
    let both = filter(
        r#"[{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[
            {"index":0,"value":16,"op":"SCMP_CMP_EQ"},{"index":2,"value":9,"op":"SCMP_CMP_NE"}]}]"#,
    );
    let either = filter(
        r#"[{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[
            {"index":0,"value":16,"op":"SCMP_CMP_EQ"},{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]"#,
    );
    let later = filter(
        r#"[{"names":["socket"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":16,"op":"SCMP_CMP_EQ"}]},
            {"names":["socket"],"action":"SCMP_ACT_ALLOW"}]"#,
    );
    let check = |filter: &[Instruction], domain, protocol, expect: u32| {
        assert_eq!(call(filter, "socket", [domain, 0, protocol, 0, 0, 0]), expect, "{domain} {protocol}");
    };
    check(&both, 16, 0, ALLOW);
    check(&both, 16, 9, ERRNO | 1);
    check(&both, 1, 0, ERRNO | 1);
    check(&either, 16, 9, ALLOW);
    check(&either, 1, 9, ALLOW);
    check(&either, 2, 9, ERRNO | 1);
    check(&later, 16, 0, 0);
    check(&later, 2, 0, ALLOW);
}

#[test]
fn runs_of_numbers_are_short() {
    let some = filter(r#"[{"names":["read","write","open","openat","close","mmap"],"action":"SCMP_ACT_ALLOW"}]"#);
    let check = |length: usize, limit: usize| assert!(length <= limit, "{length} instructions, more than {limit}");
    check(some.len(), 24);
    let calls = |step: usize| (0..1000).step_by(step).map(|n| (n, Leaf::new(ALLOW))).collect();
    check(assembler::assemble(&[(0, ranges(calls(1), ERRNO))]).len(), 12);
    // Every other call allowed, which is as bad as it gets: two instructions a call, and long jumps.
    let worst = assembler::assemble(&[(seccomp::ARCHITECTURE, ranges(calls(2), ERRNO))]);
    check(worst.len(), 2200);
    for number in 0..1000 {
        let expect = if number % 2 == 0 { ALLOW } else { ERRNO };
        assert_eq!(run(&worst, seccomp::ARCHITECTURE, number, [0; 6]), expect, "{number}");
    }
}

#[test]
fn refusals() {
    let check = |json: &str, expect: &str| {
        let error = compile(&serde_json::from_str(json).unwrap()).expect_err(json).to_string();
        assert!(error.contains(expect), "{error}");
    };
    check(r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#, "unsupported action SCMP_ACT_MAYBE");
    let rule = |argument: &str| {
        format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
                {{"names":["read"],"action":"SCMP_ACT_KILL","args":[{argument}]}}]}}"#
        )
    };
    check(&rule(r#"{"index":6,"op":"SCMP_CMP_EQ"}"#), "a call has six");
    check(&rule(r#"{"index":0,"op":"SCMP_CMP_XX"}"#), "unknown comparison SCMP_CMP_XX");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn programs_of_32_bits() {
    let profile = |architectures: &str| {
        let json = format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":{architectures},
                "syscalls":[{{"names":["read","socketcall"],"action":"SCMP_ACT_ALLOW"}}]}}"#
        );
        compile(&serde_json::from_str(&json).unwrap()).unwrap()
    };
    let both = profile(r#"["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32"]"#);
    let check = |filter: &[Instruction], architecture, number, expect| {
        assert_eq!(run(filter, architecture, number, [0; 6]), expect, "{architecture:x} {number}");
    };
    check(&both, seccomp::ARCHITECTURE, 0, ALLOW);
    check(&both, seccomp::ARCHITECTURE, 3, ERRNO | 1);
    check(&both, seccomp::X86, 3, ALLOW);
    check(&both, seccomp::X86, 102, ALLOW);
    check(&both, seccomp::X86, 0, ERRNO | 1);
    check(&both, 0xc000_00b7, 0, KILL_PROCESS);
    check(&profile("[]"), seccomp::X86, 3, KILL_PROCESS);
}
