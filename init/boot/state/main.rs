//! The state partition and /var: run once per boot, before everything that keeps something.
//!
//! The partition is made on the first boot in what is left of the disk, and grows when the disk has grown. It has three
//! states, and its label in the partition table tells them apart; the primary table is the only commit point:
//!
//! | label | means | what is done |
//! |---|---|---|
//! | none | the first boot has not come so far | an entry `state-new` is added |
//! | `state-new` | its file system was perhaps begun, and never used | the file system is made (again), then the entry renamed |
//! | `state` | the file system was complete once, and belongs to its owner | it is checked and mounted, and never made anew |
//!
//! So a cut at any point is answered by the next boot, and no damage, however bad, lets a file system be lost silently.
//! Where /var cannot be had, it is a tmpfs: the machine stays reachable, and says what is wrong.
//!
//! `state forget` gives a file system up that cannot be repaired: the entry becomes `state-new` again.
//!
//! What a unit calls versioned goes back when its version does: see [`versions`].
//!
//! `state ready`: PID 1 says that the machine is ready, which ends the count of boots that never were.
//!
//! Only the disk that the machine was booted from is ever written to: boot.json names it.

mod disk;
mod error;
mod ext4;
mod plan;
mod problem;
mod programs;
mod ready;
mod table;
mod var;
mod versions;

use std::process::ExitCode;

use disk::Disk;
use error::Error;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("forget") => return forget(),
        Some("ready") => return ready(),
        _ => {}
    }
    let Err(error) = run() else { return ExitCode::SUCCESS };
    problem::report(&format!("{error}; until then /var is in memory and forgotten at the next boot"));
    if let Err(error) = var::mount_tmpfs().and_then(|()| var::make_folders()) {
        problem::report(&error.to_string());
    }
    ExitCode::FAILURE
}

fn run() -> Result<(), Error> {
    let mut disk = Disk::of_this_boot()?;
    let (plan, device) = disk.lay_out()?;
    match var::mounted() {
        None => {
            if plan.is_new {
                programs::make(&device)?;
                disk.commit(&plan)?;
            } else {
                programs::check(&device)?;
            }
            var::mount(&device)?;
        }
        Some(other) if other == device => {}
        // Services have begun to write there.
        Some(other) => return Err(Error::Occupied { device, other }),
    }
    // A file system that is smaller than it could be is no reason to do without it.
    if let Err(error) = programs::grow(&device) {
        problem::report(&error.to_string());
    }
    var::make_folders()?;
    // What cannot be changed for a version is no reason to do without all the rest.
    let settled = versions::settle(var::path(), &disk.version, versions::folders_of_this_image);
    settled.unwrap_or_else(|error| problem::report(&error.to_string()));
    Ok(())
}

fn ready() -> ExitCode {
    match ready::note() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot note that this boot became ready: {error}");
            ExitCode::FAILURE
        }
    }
}

fn forget() -> ExitCode {
    match Disk::of_this_boot().and_then(|mut disk| disk.forget()) {
        Ok(()) => {
            println!("the next boot makes a new file system for /var");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
