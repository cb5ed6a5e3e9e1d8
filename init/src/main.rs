//! PID 1 of Ashlar.
//!
//! `sequence` prepares the machine, `machine` runs it, `core` decides. See each module's own head.
//!
//! It is one thread. It links no D-Bus, async runtime, TLS or HTTP code and has no `unsafe` of its own.

mod accounts;
mod builtin;
mod cgroup;
mod condition;
mod container;
mod control;
mod core;
mod credentials;
mod devices;
mod event;
mod exec;
mod facts;
mod identity;
mod leftovers;
mod log;
mod machine;
mod mount_table;
mod notify;
mod packets;
mod ports;
mod power_key;
mod sequence;
mod small_file;
mod snapshot;
mod store;
mod survival;
mod switch_root;
mod unit_files;
mod watchdog;

use facts::Facts;
use log::Log;
use machine::{Inherited, Machine};
use survival::Legacy;

fn main() {
    let legacy = Legacy::from_arguments(std::env::args());
    // First of all: until here a fault is the end of the machine.
    let protected = survival::protect_start(legacy);
    let mut log = Log::open();
    if let Err(error) = protected {
        log.say(log::ERROR, None, &format!("cannot catch faults: {error}"));
    }
    let inherited = legacy.map(|legacy| Inherited::of(legacy, &mut log));
    let first = inherited.is_none();
    let boot = inherited.as_ref().is_none_or(Inherited::is_lost);
    if first {
        sequence::prepare(&mut log);
    }
    let units = sequence::load_units(&mut log);
    match Machine::new(units, Facts::read(), inherited) {
        Ok(mut machine) => {
            if boot {
                machine.boot();
            }
            machine.run()
        }
        Err(error) => {
            log.say(log::ERROR, None, &format!("cannot run: {error}"));
            log::console(&format!("PID 1 cannot run: {error}"));
            // The end of PID 1 is the end of the machine: leave the decision to whoever reads the line.
            loop {
                std::thread::park();
            }
        }
    }
}
