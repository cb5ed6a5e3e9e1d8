//! The first program: from the initramfs to the verified root and its PID 1.
//!
//! One flat list of steps, each with the words for it. A step that fails is said in one sentence, on every console and
//! in the kernel's log; then the machine restarts, which the boot loader counts as a failed try, so that it takes the
//! other slot in the end. With `ashlar.debug` on the kernel command line the machine stops there instead, its watchdog
//! switched off, for as long as somebody wants to look at it.
//!
//! From the kernel command line: `roothash=` (64 hexadecimal digits) names the root, `ashlar.version=` the version that it is;
//! `ashlar.debug` is as above. Nothing else is read, and no file outside the initramfs decides anything.

mod command_line;
mod console;
mod count;
mod error;
mod facts;
mod handover;
mod loader;
mod module_info;
mod modules;
mod mounts;
mod search;
mod slot;
mod verity;
mod watchdog;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use ashlar_sys::power::{self, Power};
use ashlar_sys::{clock, descriptor};

use command_line::CommandLine;
use error::Error;
use facts::Facts;
use modules::Modules;
use slot::Slot;

/// Time to read the sentence.
const BEFORE_RESTART: Duration = Duration::from_secs(5);

/// What the steps have found out so far.
#[derive(Default)]
struct Boot {
    started: u64,
    command_line: CommandLine,
    watchdog: Option<File>,
    modules: Modules,
    slot: Option<Slot>,
}

/// The words for a step, and the step.
type Step = (&'static str, fn(&mut Boot) -> Result<(), Error>);

const STEPS: [Step; 9] = [
    ("mount the kernel's file systems", |_| mounts::mount_all()),
    ("read the kernel command line", Boot::read_command_line),
    // One whose driver is in the kernel is armed now, another one behind the modules.
    ("arm the watchdog", Boot::arm_watchdog),
    ("load the kernel modules", Boot::load_modules),
    ("find the root", Boot::find_root),
    ("count this boot", Boot::count),
    ("open and mount the root", Boot::mount_root),
    ("tell PID 1 of this boot", Boot::write_facts),
    ("start PID 1", Boot::start),
];

fn main() {
    let mut boot = Boot { started: clock::monotonic(), ..Boot::default() };
    for (words, step) in STEPS {
        if let Err(error) = step(&mut boot) {
            boot.fail(words, &error);
        }
    }
}

impl Boot {
    fn read_command_line(&mut self) -> Result<(), Error> {
        let path = "/proc/cmdline";
        self.command_line = CommandLine::parse(&fs::read_to_string(path).map_err(Error::at(path))?);
        Ok(())
    }

    fn arm_watchdog(&mut self) -> Result<(), Error> {
        if self.watchdog.is_none() {
            self.watchdog = watchdog::arm();
        }
        Ok(())
    }

    fn load_modules(&mut self) -> Result<(), Error> {
        self.modules = Modules::read()?;
        self.modules.load(false)?;
        self.arm_watchdog()
    }

    fn find_root(&mut self) -> Result<(), Error> {
        let wanted = self.command_line.root_hash()?;
        self.slot = Some(search::find(wanted, loader::partition(), || self.modules.load(true))?);
        Ok(())
    }

    /// Before anything of the root is read: it may be what keeps the machine from starting.
    fn count(&mut self) -> Result<(), Error> {
        if let Some((esp, _)) = self.slot.as_ref().and_then(|slot| slot.esp.as_ref()) {
            count::begin(esp, &self.command_line.version);
        }
        Ok(())
    }

    fn mount_root(&mut self) -> Result<(), Error> {
        let Some(slot) = &self.slot else { return Ok(()) };
        handover::mount_root(&verity::open(slot)?)
    }

    fn write_facts(&mut self) -> Result<(), Error> {
        let Some(slot) = &self.slot else { return Ok(()) };
        let facts = Facts {
            slot: slot.name.clone(),
            root_hash: slot.root_hash.to_string(),
            version: self.command_line.version.clone(),
            boot_usec: self.started,
            watchdog_fd: self.watchdog.as_ref().map(AsRawFd::as_raw_fd),
            disk: slot.disk.clone(),
            esp: slot.esp.as_ref().map(|(path, _)| path.clone()),
        };
        console::note(&format!("root {} is slot {} of {}", facts.root_hash, facts.slot, facts.disk));
        facts.write()
    }

    fn start(&mut self) -> Result<(), Error> {
        if let Some(device) = &mut self.watchdog {
            watchdog::pet(device);
            descriptor::keep_on_exec(device).map_err(Error::at("/dev/watchdog"))?;
        }
        let never = handover::switch()?;
        match never {}
    }

    /// Says what has failed, and ends the machine or stays.
    fn fail(&mut self, words: &str, error: &Error) -> ! {
        let debug = self.command_line.debug;
        let then = if debug {
            "stopped here, as ashlar.debug asks for".to_owned()
        } else {
            format!("restarting in {} s, a failed try for the boot loader", BEFORE_RESTART.as_secs())
        };
        let version = self.command_line.version.clone();
        let name = if version.is_empty() { "ashlar".to_owned() } else { format!("ashlar {version}") };
        console::alarm(&format!("{name} cannot {words}: {error}; {then}"));
        if debug {
            if let Some(device) = self.watchdog.take() {
                watchdog::disarm(device);
            }
            loop {
                thread::park();
            }
        }
        if self.slot.is_none()
            && let Some(esp) = search::esp(loader::partition())
        {
            count::begin(&esp, &version);
        }
        thread::sleep(BEFORE_RESTART);
        let refused = power::power(Power::Restart);
        panic!("cannot restart: {refused}");
    }
}
