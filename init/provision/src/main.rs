//! The machine's configuration, read once per boot and written out as what the services read.
//!
//! Untrusted text is parsed here and not in PID 1. A flat list of steps; one that fails, or a part of the configuration
//! that is wrong, is a problem that is said, and the others are done: the machine stays reachable with what was right.
//!
//! | from | to |
//! |---|---|
//! | users | /run/ashlar/etc/{passwd,group}, ssh/authorized_keys/NAME, /var/home/NAME |
//! | console | /run/ashlar/etc/autologin |
//! | hostname | /run/ashlar/etc/{hostname,hosts} |
//! | timezone | /run/ashlar/etc/localtime |
//! | network | /run/systemd/network/*.network |
//! | time-servers | /run/systemd/timesyncd.conf.d/ashlar.conf |
//! | modules | loaded at once |
//! | sysctl | /run/ashlar/sysctl.conf, which PID 1 applies |
//! | the boot entry's name | /run/ashlar/trial: whether this version is on trial |
//! | update | /run/ashlar/{update,share,checks}.json, what systemd-resolved announces |
//! | what was wrong | /run/ashlar/problems, the console, the kernel's log |
//!
//! Everything is derived from the image's base files each time, so that a second run leaves nothing of the first.

mod accounts;
mod clock;
mod homes;
mod kernel;
mod names;
mod network;
mod people;
mod report;
mod source;
mod trial;
mod update;
mod write;

use std::process::ExitCode;

use anyhow::Result;
use ashlar_config::machine::Machine;

use report::Report;

/// The words for a step, and the step.
type Step = (&'static str, fn(&Machine, &mut Report) -> Result<()>);

const STEPS: [Step; 7] = [
    ("set the host name", names::set),
    ("make the users", people::make),
    ("describe the network", network::describe),
    ("set the time zone and servers", clock::set),
    // A module may bring the parameters that are set next.
    ("say where updates come from", update::set),
    ("load the kernel modules", kernel::load_modules),
    ("set the kernel parameters", kernel::set_parameters),
];

fn main() -> ExitCode {
    let mut report = Report::default();
    let machine = source::read(&mut report);
    let mut failed = false;
    for (words, step) in STEPS {
        if let Err(error) = step(&machine, &mut report) {
            failed = true;
            report.failure(words, &error);
        }
    }
    report.publish();
    // A mistake in the configuration is its author's: the program has done its work.
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
