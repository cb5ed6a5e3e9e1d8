//! From one written file to the units that it describes.

use super::exec::Command;
use super::file::{Dependencies, ServiceType, UnitFile};
use super::resolved::{Body, Commands, Condition, Service, Unit};
use super::seal::UserNamespace;
use crate::Error;
use crate::systemd::calendar::Calendar;

/// What the builder knows and the file does not.
#[derive(Debug, Clone, Copy)]
pub struct Placement<'a> {
    /// Directory of the OCI bundle in the image.
    pub bundle: &'a str,
    /// First host id of a private user namespace.
    pub first_id: u32,
    /// The unit's user and group, looked up in the container's own files.
    pub owner: (u32, u32),
}

/// Makes the service, and the socket and timer beside it, with systemd's default dependencies.
///
/// `name` is the folder's name, without suffix; `file` is named in errors.
pub fn resolve(file: &str, name: &str, written: &UnitFile, placement: Placement<'_>) -> Result<Vec<Unit>, Error> {
    check(file, written)?;
    let service_name = format!("{name}.service");
    let mut units = Vec::new();
    let mut service = unit(service_name.clone(), written);
    service.aliases.clone_from(&written.aliases);
    service.dependencies = with_defaults(&written.dependencies, &["sysinit.target"]);
    service.wanted_by = match (&written.wanted_by, written.sockets.is_empty() && written.timer.is_none()) {
        (Some(targets), _) => targets.clone(),
        (None, true) => vec!["multi-user.target".into()],
        // A socket or a timer starts it; an eager one is pulled in by its socket.
        (None, false) => Vec::new(),
    };
    if !written.sockets.is_empty() {
        let mut socket = unit(format!("{name}.socket"), written);
        socket.dependencies.before.push(service_name.clone());
        socket.wanted_by = vec!["sockets.target".into()];
        service.dependencies.after.push(socket.name.clone());
        service.dependencies.wants.push(socket.name.clone());
        if written.sockets.iter().any(|socket| socket.eager) && written.wanted_by.is_none() {
            service.wanted_by.push("multi-user.target".into());
        }
        socket.body = Body::Socket { service: service_name.clone(), sockets: written.sockets.clone(), accept: None };
        units.push(socket);
    }
    if let Some(timer) = &written.timer {
        let mut unit = unit(format!("{name}.timer"), written);
        unit.dependencies = with_defaults(&Dependencies::default(), &["sysinit.target"]);
        unit.wanted_by = vec!["timers.target".into()];
        unit.body = Body::Timer { service: service_name, timer: timer.clone() };
        units.push(unit);
    }
    service.gate = written.gate;
    service.conditions = written.condition_path_exists.iter().map(|path| Condition::path_exists(path)).collect();
    service.body = Body::Service(Box::new(body(written, placement)));
    units.push(service);
    Ok(units)
}

fn unit(name: String, written: &UnitFile) -> Unit {
    Unit {
        name,
        description: written.description.clone(),
        documentation: written.documentation.clone(),
        slice: "system.slice".into(),
        ..Unit::default()
    }
}

/// Everything goes down with the machine; and, unless it says that it stands before a target itself,
/// nothing starts before the machine is set up.
fn with_defaults(written: &Dependencies, after: &[&str]) -> Dependencies {
    let mut dependencies = written.clone();
    let early = written.before.iter().any(|name| name == "sysinit.target");
    if !early {
        dependencies.after.extend(after.iter().map(|name| (*name).into()));
    }
    dependencies.conflicts.push("shutdown.target".into());
    dependencies.before.push("shutdown.target".into());
    dependencies
}

fn body(written: &UnitFile, placement: Placement<'_>) -> Service {
    let private = written.seal.user_namespace == UserNamespace::Private;
    Service {
        service_type: written.service_type,
        bundle: placement.bundle.into(),
        commands: Commands {
            start_pre: written.start_pre.iter().map(|words| Command::of(words)).collect(),
            reload: written.reload.iter().map(|words| Command::of(words)).collect(),
            ..Commands::default()
        },
        tty: written.tty.clone(),
        output: written.output,
        supervision: written.supervision.clone(),
        health: written.health.clone(),
        first_id: private.then_some(placement.first_id),
        uid: placement.owner.0,
        gid: placement.owner.1,
        state_directory: written.seal.state_directory.clone(),
        state_versioned: written.seal.state_versioned,
        runtime_directory: written.seal.runtime_directory.clone(),
        runtime_directory_preserve: written.seal.runtime_directory_preserve,
        delegate: written.seal.delegate,
        delegate_subgroup: written.seal.delegate_subgroup.clone(),
        login: written.seal.login,
        manages: written.seal.manages,
        ..Service::default()
    }
}

/// Mistakes that one key alone does not show.
fn check(file: &str, written: &UnitFile) -> Result<(), Error> {
    let refuse = |message: String| Err(Error::whole(file, message));
    if written.command.is_empty() {
        return refuse("`command` is missing: name the program to run".into());
    }
    if !written.command[0].starts_with('/') {
        return refuse(format!("`command` starts with `{}`: write the program's absolute path", written.command[0]));
    }
    let folders = &written.seal.state_directory;
    if written.seal.state_versioned && (folders.is_empty() || folders.iter().any(|name| name.contains('/'))) {
        return refuse("`state-versioned` needs a `state-directory`, and one without folders above it".into());
    }
    let host_root = written.seal.user_namespace == UserNamespace::Host && written.user == "root";
    if host_root && written.seal.host_root.is_none() {
        return refuse("`user-namespace = \"host\"` with root needs `host-root = \"why\"`, or another `user`".into());
    }
    if !host_root && written.seal.host_root.is_some() {
        return refuse("`host-root` is set, but the unit is not the host's root: drop it".into());
    }
    if written.seal.user_namespace == UserNamespace::Identity && written.user == "root" {
        return refuse("`user-namespace = \"identity\"` needs a `user` that is not root".into());
    }
    if matches!(written.service_type, ServiceType::Forking | ServiceType::Dbus) {
        return refuse("`type` forking and dbus are for unit files of a machine: use notify or exec".into());
    }
    for text in written.timer.iter().flat_map(|timer| &timer.on_calendar) {
        Calendar::parse(text).map_err(|reason| Error::whole(file, format!("`on-calendar`: {reason}")))?;
    }
    for socket in &written.sockets {
        let kinds = [
            &socket.listen_stream,
            &socket.listen_datagram,
            &socket.listen_sequential_packet,
            &socket.listen_netlink,
            &socket.listen_fifo,
        ];
        if kinds.iter().filter(|kind| kind.is_some()).count() != 1 {
            return refuse("each of `sockets` needs exactly one `listen-…` key".into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACEMENT: Placement<'_> = Placement { bundle: "/b", first_id: 65536, owner: (0, 0) };

    fn units(text: &str) -> Result<Vec<Unit>, Error> {
        resolve("u", "web", &UnitFile::parse("u", text).unwrap(), PLACEMENT)
    }

    #[test]
    fn names() {
        let check = |text: &str, expect: &[&str]| {
            let names: Vec<String> = units(text).unwrap().into_iter().map(|unit| unit.name).collect();
            assert_eq!(names, expect, "{text}");
        };
        check("description='x'\ncommand=['/a']", &["web.service"]);
        check("description='x'\ncommand=['/a']\n[[sockets]]\nlisten-stream='80'", &["web.socket", "web.service"]);
        check("description='x'\ncommand=['/a']\n[timer]\non-boot='1s'", &["web.timer", "web.service"]);
    }

    #[test]
    fn refusals() {
        let check = |text: &str, expect: &str| {
            let error = units(&format!("description='x'\n{text}")).expect_err(text).to_string();
            assert!(error.contains(expect), "{text}: {error}");
        };
        check("", "`command` is missing");
        check("command=['a']", "absolute path");
        check("command=['/a']\nuser-namespace='host'", "host-root");
        check("command=['/a']\nhost-root='y'", "drop it");
        check("command=['/a']\nuser-namespace='identity'", "not root");
        check("command=['/a']\n[[sockets]]\nname='x'", "exactly one");
        check("command=['/a']\ntype='dbus'", "use notify or exec");
        check("command=['/a']\n[timer]\non-calendar=['noon']", "`on-calendar`: `noon` is no calendar expression");
    }

    #[test]
    fn an_early_unit_does_not_wait_for_sysinit() {
        let units = units("description='x'\ncommand=['/a']\nbefore=['sysinit.target']").unwrap();
        assert!(units[0].dependencies.after.is_empty());
    }
}
