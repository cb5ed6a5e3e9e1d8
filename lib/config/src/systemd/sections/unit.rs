//! `[Unit]` (systemd.unit(5)).

use super::{Draft, Taken, put, put_span};
use crate::systemd::value;
use crate::systemd::words::split;
use crate::unit::{Condition, is_unit_name};

pub fn take(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    if let Some(kind) = key.strip_prefix("Condition").or_else(|| key.strip_prefix("Assert")) {
        return condition(draft, kind, key.starts_with("Assert"), text);
    }
    match key {
        "Description" => draft.unit.description = draft.expand(text)?,
        "Documentation" => {
            let mut list = std::mem::take(&mut draft.unit.documentation);
            let added = draft.add(&mut list, text);
            draft.unit.documentation = list;
            added?;
        }
        "SourcePath" => draft.unit.source.made_from = draft.path(text)?,
        "RequiresMountsFor" | "WantsMountsFor" => {
            let paths = draft.words(text)?;
            draft.mounts_for.extend(paths);
        }
        "DefaultDependencies" => return put(&mut draft.default_dependencies, value::boolean(text)),
        "RefuseManualStart" => return put(&mut draft.unit.refuse.start, value::boolean(text)),
        "RefuseManualStop" => return put(&mut draft.unit.refuse.stop, value::boolean(text)),
        "AllowIsolate" => return put(&mut draft.unit.refuse.isolate, value::boolean(text).map(Some)),
        "StopWhenUnneeded" => return put(&mut draft.unit.stop_when_unneeded, value::boolean(text)),
        "IgnoreOnIsolate" => return put(&mut draft.unit.ignore_on_isolate, value::boolean(text).map(Some)),
        "OnFailureJobMode" | "OnSuccessJobMode" => {
            if !JOB_MODES.contains(&text) {
                return Err(format!("`{text}` is not one of its words"));
            }
            draft.unit.follow_modes[usize::from(key == "OnSuccessJobMode")] = text.to_owned();
        }
        "JobTimeoutSec" => return put_span(&mut draft.unit.job_timeout, text),
        "SuccessAction" | "FailureAction" | "StartLimitAction" | "JobTimeoutAction" => return action(draft, key, text),
        "CollectMode" => draft.unit.collect_failed = text == "inactive-or-failed",
        "StartLimitIntervalSec" | "StartLimitInterval" => {
            return put(&mut draft.service.supervision.start_limit_interval, value::span(text));
        }
        "StartLimitBurst" => return put(&mut draft.service.supervision.start_limit_burst, value::number(text)),
        other => return depend(draft, other, text),
    }
    Ok(Taken::Yes)
}

/// What may become of jobs in the way.
const JOB_MODES: [&str; 7] =
    ["fail", "replace", "replace-irreversibly", "isolate", "flush", "ignore-dependencies", "ignore-requirements"];
/// Ends of the machine, and how much is taken care of on the way there.
const ENDS: [&str; 6] = ["reboot", "poweroff", "halt", "kexec", "soft-reboot", "exit"];
const URGENCIES: [&str; 3] = ["", "-force", "-immediate"];

pub fn action(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    let known = ENDS.iter().any(|end| text.strip_prefix(end).is_some_and(|urgency| URGENCIES.contains(&urgency)));
    if !known && text != "none" {
        return Err(format!("`{text}` is no end of this machine"));
    }
    let place = match key {
        "SuccessAction" => &mut draft.unit.success_action,
        "FailureAction" => &mut draft.unit.failure_action,
        "JobTimeoutAction" => &mut draft.unit.job_timeout_action,
        _ => &mut draft.unit.start_limit_action,
    };
    *place = if text == "none" { String::new() } else { text.to_owned() };
    Ok(Taken::Yes)
}

fn depend(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    let names = draft.words(text)?;
    let dependencies = &mut draft.unit.dependencies;
    let list = match key {
        "Requires" | "RequiresOverridable" => &mut dependencies.requires,
        "Requisite" | "RequisiteOverridable" => &mut dependencies.requisite,
        "Wants" => &mut dependencies.wants,
        "Upholds" => &mut dependencies.upholds,
        "BindsTo" | "BindTo" => &mut dependencies.binds_to,
        "PartOf" => &mut dependencies.part_of,
        "Conflicts" => &mut dependencies.conflicts,
        "After" => &mut dependencies.after,
        "Before" => &mut dependencies.before,
        "OnFailure" => &mut dependencies.on_failure,
        "OnSuccess" => &mut dependencies.on_success,
        "PropagatesReloadTo" => &mut dependencies.propagates_reload_to,
        "PropagatesStopTo" => &mut dependencies.propagates_stop_to,
        "ReloadPropagatedFrom" => &mut dependencies.reload_propagated_from,
        "StopPropagatedFrom" => &mut dependencies.stop_propagated_from,
        _ => return Ok(Taken::Unknown),
    };
    let (good, bad): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| is_unit_name(name));
    list.extend(good);
    match bad.first() {
        Some(name) => Err(format!("`{name}` is no unit's name")),
        None => Ok(Taken::Yes),
    }
}

/// Conditions that PID 1 looks at; the rest would hold, or not, without anybody looking.
const CONDITIONS: [&str; 26] = [
    "ACPower",
    "Architecture",
    "CPUs",
    "Capability",
    "ControlGroupController",
    "DirectoryNotEmpty",
    "Environment",
    "FileIsExecutable",
    "FileNotEmpty",
    "FirstBoot",
    "Group",
    "Host",
    "KernelCommandLine",
    "KernelModuleLoaded",
    "KernelVersion",
    "Memory",
    "NeedsUpdate",
    "PathExists",
    "PathExistsGlob",
    "PathIsDirectory",
    "PathIsMountPoint",
    "PathIsReadWrite",
    "PathIsSymbolicLink",
    "Security",
    "User",
    "Virtualization",
];

fn condition(draft: &mut Draft<'_>, kind: &str, assert: bool, text: &str) -> Result<Taken, String> {
    if text.is_empty() {
        let list = if assert { &mut draft.unit.asserts } else { &mut draft.unit.conditions };
        list.clear();
        return Ok(Taken::Yes);
    }
    if !CONDITIONS.contains(&kind) {
        return Ok(Taken::Unknown);
    }
    let (trigger, rest) = text.strip_prefix('|').map_or((false, text), |rest| (true, rest.trim_start()));
    let (negate, rest) = rest.strip_prefix('!').map_or((false, rest), |rest| (true, rest.trim_start()));
    let mut parameter = draft.expand(rest)?;
    if kind.starts_with("Path") || kind.starts_with("File") || kind.starts_with("Dir") {
        parameter = split(&parameter)?.concat();
        if !parameter.starts_with('/') {
            return Err(format!("`{parameter}` is no absolute path"));
        }
    }
    let condition = Condition { kind: kind.to_owned(), trigger, negate, parameter };
    let list = if assert { &mut draft.unit.asserts } else { &mut draft.unit.conditions };
    list.push(condition);
    Ok(Taken::Yes)
}
