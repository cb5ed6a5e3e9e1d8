//! Figures as rows of a table, and the document around it.

use std::fmt::Write as _;
use std::fs;

use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::{probe, tool};

/// One figure.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured.
    pub what: &'static str,
    /// How much.
    pub value: f64,
    /// In what.
    pub unit: &'static str,
    /// What it is compared with: a name and its value in the same unit.
    pub reference: Option<(&'static str, f64)>,
    /// The most that it may be: of the unit, or as a ratio to the reference if there is one.
    pub at_most: Option<f64>,
}

impl Row {
    /// A figure with no comparison.
    pub fn new(what: &'static str, value: f64, unit: &'static str) -> Self {
        Self { what, value, unit, reference: None, at_most: None }
    }

    /// With a budget in its own unit, or as a ratio if it has a reference.
    pub fn at_most(mut self, most: f64) -> Self {
        self.at_most = Some(most);
        self
    }

    /// Compared with another figure of the same run.
    pub fn against(mut self, name: &'static str, value: f64) -> Self {
        self.reference = Some((name, value));
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.reference.filter(|(_, value)| *value > 0.0).map(|(_, value)| self.value / value)
    }

    fn line(&self) -> String {
        let Self { what, value, unit, .. } = self;
        let reference = self.reference.map_or(String::new(), |(name, value)| format!("{name}: {}", short(value)));
        let ratio = self.ratio().map_or(String::new(), |ratio| format!("{ratio:.2}"));
        let judged = self.ratio().unwrap_or(*value);
        let most = self.at_most.map_or(String::new(), |most| match self.ratio() {
            Some(_) => format!("{most} ×"),
            None => format!("{} {unit}", short(most)),
        });
        let verdict = match self.at_most {
            None => "",
            Some(most) if judged <= most => "yes",
            Some(_) => "**no**",
        };
        format!("| {what} | {} {unit} | {reference} | {ratio} | {most} | {verdict} |\n", short(*value))
    }
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// The document.
pub fn document(rows: &[Row]) -> String {
    let mut text = String::from(HEAD);
    let _ = writeln!(text, "Machine: {}.\n", machine());
    text += "| what | measured | in the same run | ratio | at most | met |\n|---|---|---|---|---|---|\n";
    rows.iter().for_each(|row| text += &row.line());
    text += FOOT;
    text
}

const HEAD: &str = "# Benchmarks

Written by `cargo xtask bench`. Times depend on the machine and are published as ratios to a floor measured in the same run:
the same firmware, systemd-boot and kernel, whose initramfs holds one static program that prints a line. CPU time is
QEMU's, both threads and emulation included.

";

const FOOT: &str = "
Boot figures are of a second boot (the state file system exists), the best of three; the build's are of a warm package cache
and nothing else. \"User space\" is the CPU time to ready less the floor's.

What stands in the way of the boot's budget, in the order of what it costs: udevd and the looking at all devices, journald,
the kernel threads that verify and unpack the root, then networkd, resolved and PID 1. For an SSH banner sshd executes itself
again. A changed unit costs laying out the root and hashing the disk anew.

Of PID 1's program 0.75 MB are glibc, linked statically, and 0.13 MB print backtraces, which the standard library always
brings. The rest, 1.9 MB, is PID 1 itself; reading and writing JSON is a quarter of that.

Starting the thousandth unit costs more than the first because PID 1 is copied for each start, with the descriptors that
services have left with it: journald leaves one for every running service that it listens to. The same thousand units with
`output = \"null\"` cost the same from the first to the last. A copy that shares them until it has thrown away what it
does not need copies none of them, but PID 1 would have to wait for that at every start, the first ones included.

An update makes a digest of each block as it is read back from the disk; under emulation the processor has no
instructions for that.

Not measured yet: Debian with the same daemons as built by mkosi, in the same run, and so the budgets that are held against
it (user space, memory in use, CPU time of a build); the root without engine and kernel modules; the build against the sum
of its steps.
";

/// What the figures were taken on, without its name.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']).trim();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_default();
    let qemu = tool::output(tool::command(Arch::host().qemu()).arg("--version"));
    let qemu = qemu.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let version = qemu.split_whitespace().nth(3).unwrap_or_default();
    let accelerator = probe::accelerator(Arch::host()).name();
    format!("{cores} cores of {model}, {} GiB, QEMU {version} under {accelerator}", kib >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |row: Row, expect: &str| assert_eq!(row.line().trim(), expect);
        check(Row::new("a", 1.0, "MB"), "| a | 1.00 MB |  |  |  |  |");
        check(Row::new("a", 12.0, "MB").at_most(11.0), "| a | 12.0 MB |  |  | 11.0 MB | **no** |");
        check(
            Row::new("a", 9.0, "s").against("floor", 6.0).at_most(1.5),
            "| a | 9.00 s | floor: 6.00 | 1.50 | 1.5 × | yes |",
        );
    }
}
