//! systemd's interfaces, as stock tools and those who know no other PID 1 use them.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ashlar_qemu_tests::promise::{Promises, eventually};
use ashlar_qemu_tests::vm::Vm;

/// What has to hold here and on Debian with systemd.
const CHECKS: &str = include_str!("systemd/checks.txt");
/// What all commands find. A minute is long enough for the slowest of machines.
const PREAMBLE: &str = "export SYSTEMD_PAGER=cat SYSTEMD_COLORS=0 HOME=/root
soon() { local end=$((SECONDS + 60)); until eval \"$1\" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return; sleep 0.1; done; }
";
/// Between what one check prints and the next.
const MARK: &str = "-=-=-";

/// One check.
#[derive(Debug, Default)]
struct Check {
    about: String,
    command: String,
    code: i32,
    has: Vec<String>,
    lacks: Vec<String>,
}

#[test]
fn stock_tools_cannot_tell_the_difference() -> Result<()> {
    let checks = parse(CHECKS)?;
    ensure!(checks.len() > 100, "only {} checks were read", checks.len());
    let mut promises = Promises::new();
    let mut vm = Vm::builder("systemd").memory(1024).boot()?;
    let script = script(&checks);
    let ran = vm.ssh()?.run("os shell -- tee /run/checks", script.as_bytes())?;
    ensure!(ran.code == 0, "{ran:?}");
    let said = vm.root("bash /run/checks")?;
    let answers: Vec<&str> = said.split(MARK).collect();
    for (index, check) in checks.iter().enumerate() {
        let answer = answers.get(index).copied().unwrap_or_default();
        promises.check(&check.about, || hold(check, answer));
    }
    promises.finish();
    vm.finish();
    Ok(())
}

#[test]
fn systemctl_takes_the_machine_down() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("systemctl").memory(768).boot()?;
    promises.check("systemctl reboot goes by logind and starts the machine again", || {
        // The connection may end before the answer.
        let _ = vm.try_root("systemctl reboot");
        // Who is connected would wait for a machine that has forgotten him, which takes him more than half a minute here.
        let late = vm.qmp()?.reset()?.map_or(Duration::ZERO, |reset| reset.elapsed().unwrap_or_default());
        ensure!(late < vm.patience(1), "the connection ended {late:?} after the machine was reset");
        vm.wait_reset()?;
        vm.wait_ready()?;
        vm.connect()?;
        ensure!(vm.status()?.state == "running", "{:?}", vm.status()?);
        Ok(())
    });
    promises.check("systemctl poweroff --force goes by PID 1 alone", || {
        let _ = vm.try_root("systemctl poweroff --force");
        vm.wait_off()
    });
    promises.finish();
    vm.finish();
    Ok(())
}

/// All commands, each with its exit code and a mark behind what it prints.
fn script(checks: &[Check]) -> String {
    let mut script = PREAMBLE.to_owned();
    for check in checks {
        script += &format!("({}) 2>&1 </dev/null\necho \"code $?\"\necho {MARK}\n", check.command);
    }
    script
}

fn hold(check: &Check, answer: &str) -> Result<()> {
    let (printed, code) = answer.trim_end().rsplit_once("code ").context("it was not reached")?;
    let code: i32 = code.trim().parse().with_context(|| format!("no exit code: {code}"))?;
    ensure!(code == check.code, "`{}` ended with {code}, not {}: {printed}", check.command, check.code);
    for text in &check.has {
        ensure!(printed.contains(text.as_str()), "`{}` does not print {text:?}: {printed}", check.command);
    }
    for text in &check.lacks {
        ensure!(!printed.contains(text.as_str()), "`{}` prints {text:?}: {printed}", check.command);
    }
    Ok(())
}

fn parse(text: &str) -> Result<Vec<Check>> {
    let mut checks: Vec<Check> = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let last = checks.last_mut();
        match (line.split_once(' '), last) {
            (Some(("$", command)), Some(check)) => check.command = command.to_owned(),
            (Some(("=", code)), Some(check)) => check.code = code.parse().context("a code")?,
            (Some((">", text)), Some(check)) => check.has.push(text.to_owned()),
            (Some(("!", text)), Some(check)) => check.lacks.push(text.to_owned()),
            (Some(("$" | "=" | ">" | "!", _)), None) => bail!("line {}: it belongs to no check", number + 1),
            _ => checks.push(Check { about: line.to_owned(), ..Check::default() }),
        }
    }
    match checks.iter().find(|check| check.command.is_empty()) {
        Some(check) => bail!("`{}` has no command", check.about),
        None => Ok(checks),
    }
}

#[test]
fn the_facade_may_go_at_any_time() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("facade").memory(768).boot()?;
    let before = vm.units()?;
    promises.check("killed in the middle of a thousand calls it costs no unit", || {
        let line = "for n in 1 2 3 4 5 6 7 8; do (for i in $(seq 125); do systemctl is-active dbus.service; done \
                    >/dev/null 2>&1) & done; for i in 1 2 3; do sleep 1; kill -9 $(pgrep -x bus); done; wait; echo over";
        let said = vm.root(line)?;
        ensure!(said.contains("over"), "{said}");
        let after = vm.units()?;
        for unit in before.iter().filter(|unit| unit.active == "active" && unit.name != "ashlar-dbus.service") {
            let now = after.iter().find(|other| other.name == unit.name).context("a unit is gone")?;
            ensure!(now.active == "active" && now.main_pid == unit.main_pid, "{} was {unit:?} and is {now:?}", unit.name);
        }
        Ok(())
    });
    promises.check("and is back within a second", || {
        let patience = vm.patience(1).as_secs();
        let ask = format!("timeout {patience} systemctl is-active ashlar-dbus.service");
        ensure!(vm.root(&format!("kill -9 $(pgrep -x bus); sleep 1; {ask}"))?.contains("active"), "it is not");
        Ok(())
    });
    promises.check("it comes back to the bus when that was restarted", || {
        vm.root("systemctl restart dbus.service")?;
        eventually(vm.patience(20), || {
            let said = vm.try_root("SYSTEMCTL_FORCE_BUS=1 systemctl is-active dbus.service")?;
            ensure!(said.code == 0, "{said:?}");
            Ok(())
        })
    });
    promises.check("PID 1 executes itself anew below it", || {
        let said =
            vm.root("systemctl daemon-reexec; systemctl is-active ssh.service; systemctl restart systemd-timesyncd")?;
        ensure!(said.contains("active"), "{said}");
        Ok(())
    });
    promises.check("noise on the private socket is hung up on, and harms nobody", || {
        let line = "for i in $(seq 50); do curl -s -m 5 --unix-socket /run/systemd/private http://x/ & done; wait; \
                    systemctl is-active dbus.service";
        ensure!(vm.root(line)?.contains("active"), "it does harm");
        Ok(())
    });
    promises.check("who is not in group os may look, and change nothing", || {
        let said = vm.try_root("runuser -u daemon -- systemctl is-active dbus.service; runuser -u daemon -- systemctl stop dbus.service 2>&1")?;
        ensure!(said.stdout.contains("active") && said.stdout.contains("Access denied"), "{said:?}");
        ensure!(said.code == 4, "{said:?}");
        Ok(())
    });
    promises.check("a person of group os may, from the console", || {
        let said = vm.run("systemctl restart systemd-timesyncd && systemctl is-active systemd-timesyncd")?;
        ensure!(said.contains("active"), "{said}");
        Ok(())
    });
    promises.check("a name whose unit cannot be started is refused at once", || {
        let line = "busctl call org.freedesktop.locale1 /org/freedesktop/locale1 org.freedesktop.DBus.Peer Ping";
        let said = vm.try_root(&format!("timeout 10 {line}"))?;
        ensure!(said.code == 1, "{said:?}");
        Ok(())
    });
    promises.check("the bus starts who is called", || {
        let said = vm.run("systemctl is-active systemd-hostnamed; hostnamectl --json=short")?;
        ensure!(said.contains("Hostname"), "{said}");
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}
