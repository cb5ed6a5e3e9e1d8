//! What can be done to units and jobs, from whichever interface it is asked for.

use std::os::fd::AsFd;

use ashlar_config::systemd::is_template;
use ashlar_config::unit::is_unit_name;
use ashlar_control::message::{BindMount, JobKind, JobMode, Method as Ask, Reply, StoredDescriptor, Whom};
use zbus::Variant;

use crate::cgroup::{Group, command_line};
use crate::fault::{self, Fault};
use crate::interface::{Caller, object};
use crate::limits;
use crate::path;
use crate::wire::Body;
use crate::world::World;

/// Asks for something that has no answer but that it was done.
pub fn done(world: &mut World, ask: &Ask) -> Result<Body, Fault> {
    world.act(ask, &[])?;
    Ok(Body::empty())
}

/// A name that a unit could have.
pub fn valid(name: &str) -> Result<(), Fault> {
    if !is_unit_name(name) {
        return Err(Fault::invalid(format!("Unit name {name} is not valid.")));
    }
    Ok(())
}

/// A name of a unit that can be loaded: a template is none.
pub fn loadable(name: &str) -> Result<(), Fault> {
    valid(name)?;
    match is_template(name) {
        true => Err(Fault::invalid(format!("Unit name {name} is missing the instance name."))),
        false => Ok(()),
    }
}

/// A job's mode by its word.
pub fn mode_of(word: &str) -> Result<JobMode, Fault> {
    // A start by a trigger is a start, as far as it is one.
    let word = if word == "triggering" { "replace" } else { word };
    let mode = serde_json::from_value(serde_json::Value::from(word));
    mode.map_err(|_| Fault::invalid(format!("Job mode {word} invalid")))
}

/// A job's kind by its word.
pub fn kind_of(word: &str) -> Result<JobKind, Fault> {
    let kind = serde_json::from_value(serde_json::Value::from(word));
    kind.map_err(|_| Fault::invalid(format!("Job type {word} invalid")))
}

/// Queues a job and answers with its path.
pub fn enqueue(world: &mut World, name: &str, job: JobKind, mode: JobMode) -> Result<Body, Fault> {
    let ask = asked(name, job, mode)?;
    job_reply(world.act(&ask, &[])?)
}

/// The call that queues a job.
pub fn asked(name: &str, job: JobKind, mode: JobMode) -> Result<Ask, Fault> {
    let isolates = mode == JobMode::Isolate;
    if isolates && !name.ends_with(".target") {
        let text = format!("Operation refused, unit {name} may not be isolated.");
        return Err(Fault::new("org.freedesktop.systemd1.NoIsolation", text));
    }
    Ok(Ask::Enqueue { unit: name.to_owned(), job, mode, wait: false })
}

/// The path of a job that was queued.
pub fn job_reply(reply: Reply) -> Result<Body, Fault> {
    match reply {
        Reply::Job { job, .. } => Ok(Body::of(&(object(path::job(job.id)),))),
        other => Err(Fault::new(fault::FAILED, format!("PID 1 answers strangely: {other:?}"))),
    }
}

/// The process of a descriptor that stands for one.
pub fn pid_of(fd: &impl AsFd) -> Result<u32, Fault> {
    use std::os::fd::AsRawFd;
    let number = fd.as_fd().as_raw_fd();
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<i64>().ok());
    let pid = pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0);
    pid.ok_or_else(|| Fault::invalid("the descriptor stands for no process that is there"))
}

/// Processes of a unit's control group.
pub fn processes(world: &mut World, name: &str) -> Result<Body, Fault> {
    valid(name)?;
    let unit = world.unit(name).ok_or_else(|| Fault::not_loaded(name))?;
    let found = Group::new(&unit.control_group).processes();
    let rows: Vec<(String, u32, String)> =
        found.into_iter().map(|(group, pid)| (group, pid, command_line(pid))).collect();
    Ok(Body::of(&(rows,)))
}

/// File descriptors that a service left with PID 1.
pub fn store(world: &mut World, name: &str) -> Result<Body, Fault> {
    valid(name)?;
    let unit = world.unit(name).ok_or_else(|| Fault::not_loaded(name))?.name.clone();
    let (most, descriptors) = match world.ask(&Ask::GetStore { name: unit })? {
        Reply::Store { most, descriptors } => (most, descriptors),
        other => return Err(Fault::new(fault::FAILED, format!("PID 1 answers strangely: {other:?}"))),
    };
    if most == 0 && descriptors.is_empty() {
        return Err(Fault::new(fault::STORE_DISABLED, format!("File descriptor store not enabled for {name}.")));
    }
    let row = |one: StoredDescriptor| {
        let (device, special) = (one.device, one.special);
        (one.name, one.mode, device.0, device.1, one.inode, special.0, special.1, one.path, one.flags)
    };
    Ok(Body::of(&(descriptors.into_iter().map(row).collect::<Vec<_>>(),)))
}

/// Sends a signal to some of a unit's processes.
pub fn kill(world: &mut World, name: &str, whom: &str, signal: i32) -> Result<Body, Fault> {
    let whom = match whom.strip_suffix("-fail").unwrap_or(whom) {
        "" | "all" | "cgroup" => Whom::All,
        "main" => Whom::Main,
        "control" => Whom::Control,
        other => return Err(Fault::invalid(format!("Invalid who argument: {other}"))),
    };
    let unit = world.unit(name).ok_or_else(|| Fault::not_loaded(name))?.name.clone();
    done(world, &Ask::Kill { unit, signal, whom })
}

/// Forgets that a unit failed; every one without a name.
pub fn reset_failed(world: &mut World, name: &str) -> Result<Body, Fault> {
    if !name.is_empty() && world.unit(name).is_none() {
        return Err(Fault::not_loaded(name));
    }
    done(world, &Ask::ResetFailed { unit: name.to_owned() })
}

/// Keeps a unit for a caller, until it lets go or is gone.
pub fn hold(world: &mut World, caller: &Caller, name: &str, held: bool) -> Result<Body, Fault> {
    let unit = world.unit(name).ok_or_else(|| Fault::not_loaded(name))?.name.clone();
    let holds = world.holds.entry(caller.peer.clone()).or_default();
    match (held, holds.iter().position(|one| *one == unit)) {
        (true, _) => holds.push(unit.clone()),
        (false, Some(at)) => drop(holds.remove(at)),
        (false, None) => {
            return Err(Fault::new(fault::NOT_REFERENCED, "Unit has not been referenced yet."));
        }
    }
    done(world, &Ask::Hold { unit, held })
}

/// Stops a unit in its tracks, or lets it go on.
pub fn freeze(world: &mut World, name: &str, frozen: bool) -> Result<Body, Fault> {
    let unit = world.unit(name).ok_or_else(|| Fault::not_loaded(name))?;
    if unit.active != "active" {
        return Err(Fault::new(fault::UNIT_INACTIVE, "Unit is not active"));
    }
    let unit = unit.name.clone();
    done(world, &Ask::Freeze { unit, frozen })
}

/// Shows a running service something of the machine's.
pub fn bind(world: &mut World, name: &str, mut mount: BindMount) -> Result<Body, Fault> {
    let unit = world.unit(name).ok_or_else(|| Fault::not_loaded(name))?.name.clone();
    if mount.target.is_empty() {
        mount.target.clone_from(&mount.source);
    }
    done(world, &Ask::Bind { unit, mount })
}

/// Images are for who may mount them.
pub fn no_images() -> Fault {
    Fault::new(fault::NOT_SUPPORTED, "Mount the image, and bind the folder.")
}

/// Removes what a unit has left.
pub fn clean(world: &mut World, name: &str, what: Vec<String>) -> Result<Body, Fault> {
    valid(name)?;
    done(world, &Ask::Clean { unit: name.to_owned(), what })
}

/// Leaves a scope's processes alone.
pub fn abandon(world: &mut World, name: &str) -> Result<Body, Fault> {
    let unit = world.unit(name).ok_or_else(|| Fault::not_loaded(name))?;
    if unit.active != "active" {
        return Err(Fault::new(fault::SCOPE_NOT_RUNNING, format!("Scope {name} is not running, cannot abandon.")));
    }
    let unit = unit.name.clone();
    done(world, &Ask::Abandon { unit })
}

/// Moves processes into a unit.
pub fn attach(world: &mut World, name: &str, subgroup: &str, processes: Vec<u32>) -> Result<Body, Fault> {
    let unit = world.unit(name).ok_or_else(|| Fault::not_loaded(name))?.name.clone();
    done(world, &Ask::Attach { unit, subgroup: subgroup.to_owned(), processes })
}

/// Changes limits.
pub fn set_properties(
    world: &mut World,
    name: &str,
    runtime: bool,
    properties: &[(String, Variant<'_>)],
) -> Result<Body, Fault> {
    let unit = world.unit(name).ok_or_else(|| Fault::not_loaded(name))?.name.clone();
    let (resources, settings) = (limits::resources(properties)?, limits::settings(properties)?);
    let answer = done(world, &Ask::SetResources { unit: unit.clone(), resources, settings, runtime });
    world.forget_settings(&unit);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        assert_eq!(mode_of("replace"), Ok(JobMode::Replace));
        assert_eq!(mode_of("replace-irreversibly"), Ok(JobMode::ReplaceIrreversibly));
        assert_eq!(mode_of("x").unwrap_err().text, "Job mode x invalid");
    }
}
