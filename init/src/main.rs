//! PID 1 of Ashlar.
//!
//! `sequence` prepares the machine, `machine` runs it, `core` decides. See each module's own head.
//!
//! It is one thread. It links no D-Bus, async runtime, TLS or HTTP code and has no `unsafe` of its own.

mod accounts;
mod builtin;
mod cgroup;
mod container;
mod control;
mod core;
mod event;
mod facts;
mod identity;
mod log;
mod machine;
mod notify;
mod ports;
mod power_key;
mod sequence;
mod snapshot;
mod store;
mod survival;
mod watchdog;

use facts::Facts;
use log::Log;
use machine::{Inherited, Machine};

fn main() {
    let mut log = Log::open();
    let inherited = survival::inherited().and_then(|fd| match Inherited::read(fd) {
        Ok(inherited) => Some(inherited),
        Err(error) => {
            log.say(log::ERROR, None, &format!("cannot read the state that was left: {error}; starting anew"));
            None
        }
    });
    let first = inherited.is_none();
    if first {
        sequence::prepare(&mut log);
    }
    let units = sequence::load_units(&mut log);
    match Machine::new(units, Facts::read(), inherited) {
        Ok(mut machine) => {
            if first {
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
