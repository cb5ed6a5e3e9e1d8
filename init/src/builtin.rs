//! Units that no image has to bring: the targets, and our own two programs that run once, on the host.
//!
//! Whatever does not need /var starts beside the state program; what stands after `local-fs.target` waits for it.

use ashlar_config::quantity::Span;
use ashlar_config::unit::{
    Body, Command, Commands, Condition, Dependencies, Service, ServiceType, Slice, Supervision, Unit,
};

use crate::unit_files::GENERATED;

/// Makes and mounts /var.
pub const STATE: &str = "ashlar-state.service";
/// Reads the machine's configuration.
pub const PROVISION: &str = "ashlar-provision.service";
/// Writes the verdict about a version on trial down: a unit of the image's, like the updater itself.
pub const COMMIT: &str = "ashlar-commit.service";
/// The unit whose container people work in: of the image's, too.
pub const CONSOLE: &str = "console.service";
/// Ends the count of boots that never became ready.
pub const READY: &str = "ashlar-ready.service";
/// Runs the programs that write unit files.
pub const GENERATORS: &str = "ashlar-generators.service";
/// PID 1 itself.
pub const OWN: &str = "init.scope";
/// What booting means.
pub const DEFAULT: &str = "multi-user.target";

/// Name, description, what it requires, what it comes after.
type Target = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const TARGETS: [Target; 27] = [
    ("local-fs-pre.target", "Before local file systems", &[], &[STATE]),
    ("local-fs.target", "Local file systems", &[], &[STATE]),
    ("sysinit.target", "The machine is set up", &[], &[]),
    ("sockets.target", "Sockets", &[], &[]),
    ("timers.target", "Timers", &[], &[]),
    ("paths.target", "Paths", &[], &[]),
    ("slices.target", "Slices", &[], &[]),
    ("basic.target", "Basic system", &BASIC, &[]),
    ("network-pre.target", "Before the network", &[], &[]),
    ("network.target", "Network", &[], &["network-pre.target"]),
    ("network-online.target", "Network is online", &[], &["network.target"]),
    ("nss-lookup.target", "Names can be looked up", &[], &[]),
    ("nss-user-lookup.target", "Users can be looked up", &[], &[]),
    ("time-set.target", "The clock is set", &[], &[]),
    ("time-sync.target", "The clock is synchronized", &[], &["time-set.target"]),
    ("remote-fs-pre.target", "Before remote file systems", &[], &[]),
    ("remote-fs.target", "Remote file systems", &[], &[]),
    ("getty.target", "Login prompts", &[], &[]),
    ("multi-user.target", "All services", &["basic.target"], &[]),
    ("graphical.target", "Graphical interface", &["multi-user.target"], &[]),
    ("shutdown.target", "Everything stops", &[], &[]),
    ("umount.target", "All file systems are taken away", &[], &[]),
    ("reboot.target", "Reboot", &["shutdown.target"], &["shutdown.target"]),
    ("poweroff.target", "Power off", &["shutdown.target"], &["shutdown.target"]),
    ("halt.target", "Halt", &["shutdown.target"], &["shutdown.target"]),
    ("kexec.target", "Reboot by kexec", &["shutdown.target"], &["shutdown.target"]),
    ("soft-reboot.target", "Reboot of all but the kernel", &["shutdown.target"], &["shutdown.target"]),
];

/// What services stand on.
const BASIC: [&str; 5] = ["sysinit.target", "sockets.target", "timers.target", "paths.target", "slices.target"];

/// Groups that are there from the first moment on.
const SLICES: [(&str, &str); 4] = [
    ("-.slice", "Root slice"),
    ("system.slice", "System services"),
    ("user.slice", "Users and sessions"),
    ("machine.slice", "Machines and containers"),
];

/// Whether a unit is there as long as the machine runs.
pub fn is_perpetual(name: &str) -> bool {
    name == OWN || SLICES.iter().any(|(slice, _)| *slice == name)
}

/// Targets that are the way down.
const DOWN: [&str; 7] = [
    "shutdown.target",
    "umount.target",
    "reboot.target",
    "poweroff.target",
    "halt.target",
    "kexec.target",
    "soft-reboot.target",
];

/// All of them.
pub fn units() -> Vec<Unit> {
    let mut units: Vec<Unit> = TARGETS.iter().map(target).collect();
    let (state, provision) = ("/usr/lib/ashlar/state", "/usr/lib/ashlar/provision");
    units.push(program(STATE, "State partition and /var", (state, ""), &[], &["local-fs.target", "sysinit.target"]));
    units.push(program(PROVISION, "Machine configuration", (provision, ""), &[STATE], &["sysinit.target"]));
    units.push(program(READY, "Record of boots", (state, "ready"), &[], &[]));
    units.push(generators(&[]));
    units.extend(SLICES.iter().map(|(name, description)| {
        let body = Body::Slice(Slice::default());
        Unit { slice: String::new(), ..unit(name, description, Dependencies::default(), Vec::new(), body) }
    }));
    let own = unit(OWN, "System and service manager", Dependencies::default(), Vec::new(), Body::Scope(Box::default()));
    units.push(Unit { slice: "-.slice".to_owned(), ..own });
    units
}

/// The programs that write unit files, one after the other: each gets three folders (systemd.generator(7)).
pub fn generators(programs: &[String]) -> Unit {
    let folders = GENERATED.map(str::to_owned);
    let empty = |folder: &String| {
        let words = ["/bin/sh", "-c", "rm -rf \"$1\" && mkdir -p \"$1\"", "sh", folder.as_str()];
        Command { verbatim: true, ..Command::of(&words.map(str::to_owned)) }
    };
    // Without a program only what others left is swept up.
    let nothing = programs.is_empty().then(|| Command::of(&["/bin/true".to_owned()]));
    let run = |program: &String| {
        let words: Vec<String> = [program.clone()].into_iter().chain(folders.clone()).collect();
        Command { ignore_failure: true, ..Command::of(&words) }
    };
    let service = Service {
        service_type: ServiceType::Oneshot,
        commands: Commands {
            start_pre: folders.iter().map(empty).collect(),
            start: programs.iter().map(run).chain(nothing).collect(),
            ..Commands::default()
        },
        host: Some(Box::default()),
        supervision: Supervision { start_limit_burst: 0, ..Supervision::default() },
        ..Service::default()
    };
    unit(GENERATORS, "Unit file generators", Dependencies::default(), Vec::new(), Body::Service(Box::new(service)))
}

/// Where the file of a unit of the image would be.
pub fn path_of(name: &str) -> String {
    let own = TARGETS.iter().any(|(target, ..)| *target == name) || name == "default.target";
    if own { format!("{}/{name}", crate::unit_files::VENDORS) } else { format!("/usr/lib/ashlar/units/{name}.json") }
}

/// A slice by its name, for units in it: its own parent is in its name.
pub fn slice(name: &str) -> Unit {
    let description = format!("Slice {name}");
    unit(name, &description, Dependencies::default(), Vec::new(), Body::Slice(Slice::default()))
}

/// What every unit of the image gets besides what it says: state folders are on /var.
pub fn with_defaults(mut unit: Unit) -> Unit {
    let needs_state = matches!(&unit.body, Body::Service(service) if !service.state_directory.is_empty());
    if needs_state {
        unit.dependencies.after.push(STATE.to_owned());
    }
    unit
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn target((name, description, requires, after): &Target) -> Unit {
    let mut dependencies = Dependencies { requires: names(requires), after: names(after), ..Dependencies::default() };
    if !DOWN.contains(name) {
        dependencies.conflicts = names(&["shutdown.target"]);
        dependencies.before = names(&["shutdown.target"]);
    }
    let aliases = if *name == DEFAULT { names(&["default.target"]) } else { Vec::new() };
    unit(name, description, dependencies, aliases, Body::Target)
}

/// A program of ours and its arguments.
fn program(
    name: &str,
    description: &str,
    (command, arguments): (&str, &str),
    after: &[&str],
    wanted_by: &[&str],
) -> Unit {
    let words = [command].into_iter().chain(arguments.split_whitespace());
    let service = Service {
        service_type: ServiceType::Oneshot,
        commands: Commands {
            start: vec![Command::of(&words.map(str::to_owned).collect::<Vec<_>>())],
            ..Commands::default()
        },
        host: Some(Box::default()),
        supervision: Supervision {
            remain_after_exit: true,
            // A file system check of a large disk takes its time; a machine without /var is of no use.
            timeout_start: Span::seconds(3600),
            ..Supervision::default()
        },
        ..Service::default()
    };
    let dependencies = Dependencies { after: names(after), ..Dependencies::default() };
    let mut unit = unit(name, description, dependencies, Vec::new(), Body::Service(Box::new(service)));
    unit.wanted_by = names(wanted_by);
    unit.conditions = vec![Condition::path_exists(command)];
    unit
}

fn unit(name: &str, description: &str, dependencies: Dependencies, aliases: Vec<String>, body: Body) -> Unit {
    let (name, description) = (name.to_owned(), description.to_owned());
    Unit { name, description, aliases, dependencies, slice: "system.slice".to_owned(), body, ..Unit::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Action, Core};
    use ashlar_control::message::{JobKind, JobMode};

    #[test]
    fn the_default_target_pulls_in_the_rest_in_order() {
        let (mut core, complaints) = Core::new(units(), 1);
        assert_eq!(complaints, [""; 0]);
        core.enqueue("default.target", JobKind::Start, JobMode::Replace).unwrap();
        // The programs are not on this machine: their condition does not hold, and all goes on without them.
        let mut ended = Vec::new();
        loop {
            let actions = core.take_actions();
            if actions.is_empty() {
                break;
            }
            for action in actions {
                match action {
                    Action::Check { unit } => core.condition(unit, false, true),
                    Action::JobRemoved { job, .. } => ended.push(core.graph.name(job.unit).to_owned()),
                    _ => {}
                }
            }
        }
        let before = |one: &str, two: &str| {
            let place =
                |name: &str| ended.iter().position(|e| e == name).unwrap_or_else(|| panic!("{name}: {ended:?}"));
            assert!(place(one) < place(two), "{one} {two}: {ended:?}");
        };
        before(STATE, PROVISION);
        before(PROVISION, "sysinit.target");
        before("sysinit.target", "basic.target");
        before("basic.target", DEFAULT);
    }
}
