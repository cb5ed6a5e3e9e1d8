//! The end of the machine: everything stops in reverse order, then what is left is killed, unmounted, and the kernel is
//! told. The phases are a list; each one says its line on the console.

use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ashlar_control::message::{Refusal, Shutdown};
use ashlar_sys::power::{self, Power};
use ashlar_sys::{child, clock, filesystem, signal};

use super::Machine;
use crate::core::Urgency;
use crate::facts;
use crate::log;
use crate::mount_table::{self, Mount};

/// What a process that no unit owns gets between SIGTERM and SIGKILL.
const PATIENCE: Duration = Duration::from_secs(2);
const KEXEC_LOADED: &str = "/sys/kernel/kexec_loaded";
const REBOOT_PARAMETER: &str = "/run/systemd/reboot-param";
/// Mounts that the kernel takes down by itself, and that are still needed until the end.
const KEPT: [&str; 5] = ["/", "/proc", "/sys", "/dev", "/run"];

/// One step of the end, with its line on the console.
type Phase = (&'static str, fn(&mut Machine));

/// What follows once every unit is down.
const PHASES: [Phase; 3] =
    [("ending what is left", end_processes), ("unmounting", unmount_all), ("writing to disk", |_| power::sync())];

impl Machine {
    /// Begins to go down.
    pub(super) fn go_down(&mut self, how: Shutdown, who: &str) {
        match self.queue_down(how) {
            Ok(_) => self.begin_down(how, who),
            Err(refusal) => self.log.say(log::ERROR, None, &format!("cannot go down: {refusal}")),
        }
    }

    /// Queues the way down; its job. One that the kernel would refuse is refused while everything still runs.
    pub(super) fn queue_down(&mut self, how: Shutdown) -> Result<u32, Refusal> {
        let is_loaded = || fs::read_to_string(KEXEC_LOADED).is_ok_and(|text| text.trim() == "1");
        if how == Shutdown::Kexec && !is_loaded() {
            return Err(Refusal::Failed { reason: "no kernel is loaded to go on with: reboot instead".to_owned() });
        }
        self.core.go_down(how)
    }

    pub(super) fn begin_down(&mut self, how: Shutdown, who: &str) {
        self.going_down = Some(how);
        self.save_machine();
        let line = format!("{} asked for by {who}: stopping units", word(how));
        log::console(&line);
        self.log.say(log::NOTICE, None, &line);
        self.end_sessions();
    }

    /// A unit asks for the end.
    pub(super) fn end_for(&mut self, how: Shutdown, urgency: Urgency, unit: &str) {
        match urgency {
            Urgency::No if self.going_down.is_some() => {}
            Urgency::No => self.go_down(how, unit),
            Urgency::Force => self.power(how),
            Urgency::Immediate => {
                log::console(&format!("{} at once, asked for by {unit}", word(how)));
                self.hand_over(how);
            }
        }
    }

    /// All units are down: the point of no return.
    pub(super) fn power(&mut self, how: Shutdown) {
        for (line, phase) in PHASES {
            log::console(&format!("{}: {line}", word(how)));
            phase(self);
        }
        self.hand_over(how);
    }

    fn hand_over(&mut self, how: Shutdown) -> ! {
        if how == Shutdown::SoftReboot {
            log::console("soft reboot: beginning anew");
            let error = begin_anew(self.watchdog.hand_over());
            log::console(&format!("cannot begin anew: {error}; rebooting instead"));
        }
        log::console(&format!("{}: handing over to the kernel", word(how)));
        if how == Shutdown::Halt {
            self.watchdog.disarm();
        }
        let kind = match how {
            Shutdown::Poweroff => Power::Off,
            Shutdown::Halt => Power::Halt,
            Shutdown::Kexec => Power::Kexec,
            Shutdown::Reboot | Shutdown::SoftReboot => Power::Restart,
        };
        if how == Shutdown::Reboot
            && let Ok(parameter) = fs::read_to_string(REBOOT_PARAMETER)
        {
            let error = power::restart_with(parameter.trim());
            log::console(&format!("cannot reboot with {}: {error}", parameter.trim()));
        }
        let error = power::power(kind);
        log::console(&format!("cannot {}: {error}; rebooting instead", word(how)));
        let error = power::power(Power::Restart);
        log::console(&format!("cannot reboot: {error}"));
        loop {
            std::thread::sleep(PATIENCE);
        }
    }
}

fn word(how: Shutdown) -> &'static str {
    match how {
        Shutdown::Poweroff => "power off",
        Shutdown::Reboot => "reboot",
        Shutdown::Halt => "halt",
        Shutdown::Kexec => "kexec",
        Shutdown::SoftReboot => "soft reboot",
    }
}

/// Executes PID 1 as init/boot did: it knows nothing of what ran, and no descriptor is left to it but the watchdog's.
fn begin_anew(watchdog: Option<RawFd>) -> io::Error {
    let text = match fs::read_to_string(facts::BOOT) {
        Ok(text) => facts::after_soft_reboot(&text, clock::monotonic(), watchdog).map_err(io::Error::from),
        Err(error) => Err(error),
    };
    if let Err(error) = text.and_then(|text| fs::write(facts::BOOT, text)) {
        return error;
    }
    match fs::read_link("/proc/self/exe") {
        Ok(program) => Command::new(program).exec(),
        Err(error) => error,
    }
}

fn end_processes(machine: &mut Machine) {
    const SIGTERM: i32 = 15;
    const SIGKILL: i32 = 9;
    for (number, patience) in [(SIGTERM, PATIENCE), (SIGKILL, PATIENCE)] {
        signal::send_all(number);
        let until = Instant::now() + patience;
        while reap_all() && Instant::now() < until {
            machine.watchdog.pet(ashlar_sys::clock::monotonic());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Reaps who has ended; whether anybody is left.
fn reap_all() -> bool {
    while let Ok(Some(ended)) = child::peek() {
        child::reap(ended.pid);
    }
    user_processes() > 0
}

/// Processes with a program; kernel threads have none.
fn user_processes() -> usize {
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != 1 && fs::read_link(format!("/proc/{pid}/exe")).is_ok()).count()
}

/// Unmounts from the innermost outwards, again as long as it helps, lazily at last; what cannot go is made read-only.
fn unmount_all(machine: &mut Machine) {
    for lazy in [false, false, true] {
        for target in mounted() {
            if let Err(error) = filesystem::unmount(&target, lazy)
                && lazy
            {
                machine.log.say(log::ERROR, None, &format!("cannot unmount {}: {error}", target.display()));
                let flags = filesystem::REMOUNT | filesystem::READ_ONLY;
                let _ = filesystem::mount("", &target, "", flags, "");
            }
        }
        power::sync();
    }
}

/// What is mounted and can go, the latest first.
fn mounted() -> Vec<PathBuf> {
    let mut targets = targets_of(&mount_table::read().unwrap_or_default());
    targets.reverse();
    targets
}

fn targets_of(mounts: &[Mount]) -> Vec<PathBuf> {
    let kept = |target: &PathBuf| {
        let below = |root: &str| root != "/" && target.starts_with(root) && root != "/run";
        KEPT.iter().any(|root| target == Path::new(root) || below(root))
    };
    mounts.iter().map(|mount| mount.target.clone()).filter(|target| !kept(target)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unmounted() {
        let expect = ["/var", "/var/a b", "/run/ashlar/m"].map(PathBuf::from);
        assert_eq!(targets_of(&mount_table::tests::mounts()), expect);
    }
}
