//! The whole unit: its kind's body, and the dependencies that nobody writes (systemd.service(5), "Automatic
//! Dependencies", and its kin).

use super::{Draft, exec, service};
use crate::systemd::specifier::{escape_path, parts, unescape_path};
use crate::unit::{Body, Command, Commands, Exec, Load, Service, ServiceType, Slice, Unit};

impl Draft<'_> {
    /// What all assignments come to.
    pub fn finish(mut self) -> Unit {
        exec::settle(&mut self);
        let kind = crate::systemd::kind_of(&self.unit.name).to_owned();
        let settled = match kind.as_str() {
            "service" => service::settle(&mut self).map(|()| self.service_body()),
            "socket" => self.socket_body(),
            "timer" => self.timer_body(),
            "path" => self.path_body(),
            "mount" => self.mount_body(),
            "slice" => Ok(Body::Slice(Slice { resources: self.limits.clone().finish() })),
            "scope" => {
                let resources = self.limits.clone().finish();
                Ok(Body::Scope(Box::new(crate::unit::Scope { resources, ..self.scope.clone() })))
            }
            "target" => Ok(Body::Target),
            other => Err(format!("Units of kind {other} are not supported.")),
        };
        match settled {
            Ok(body) => self.unit.body = body,
            Err(reason) => self.refuse(Load::BadSetting, reason),
        }
        self.place();
        self.depend(&kind);
        self.unit.source.problems = std::mem::take(&mut self.problems);
        self.unit
    }

    fn stem(&self) -> String {
        self.unit.name.rsplit_once('.').map_or(String::new(), |(stem, _)| stem.to_owned())
    }

    fn service_body(&mut self) -> Body {
        let mut service: Service = self.service.clone();
        let resources = self.limits.clone().finish();
        if self.in_container {
            self.change_container(&mut service);
        } else {
            service.host = Some(Box::new(self.exec.clone()));
        }
        let written = resources.as_object().is_some_and(|resources| !resources.is_empty());
        if written || !self.in_container {
            service.resources = resources;
        }
        Body::Service(Box::new(service))
    }

    /// Of a container of the image only its environment can change among what is in its bundle.
    fn change_container(&mut self, service: &mut Service) {
        let mut said = std::mem::take(&mut self.exec);
        service.environment.extend(std::mem::take(&mut said.environment));
        said.keep_runtime_folders = crate::unit::Keep::No;
        if said != Exec::default() {
            let what = "of a container of the image only commands, environment, limits, times and dependencies can be \
                        changed: the rest of what is said of it does nothing";
            self.problems.push(what.to_owned());
        }
    }

    fn socket_body(&mut self) -> Result<Body, String> {
        let mut draft = std::mem::take(&mut self.socket);
        if draft.listen.is_empty() {
            return Err("Unit has no Listen setting (ListenStream=, ListenDatagram=, ListenFIFO=, ...).".into());
        }
        if !self.in_container {
            for socket in &mut draft.listen {
                let named = std::mem::take(socket);
                *socket = crate::unit::Socket {
                    listen_stream: named.listen_stream,
                    listen_datagram: named.listen_datagram,
                    listen_sequential_packet: named.listen_sequential_packet,
                    listen_netlink: named.listen_netlink,
                    listen_fifo: named.listen_fifo,
                    ..draft.options.clone()
                };
            }
        }
        // Where there are no connections there are none to be taken.
        let connects =
            |socket: &crate::unit::Socket| socket.listen_stream.is_some() || socket.listen_sequential_packet.is_some();
        let accept = (draft.accepts && draft.listen.iter().all(connects)).then_some(draft.accept);
        let service = match draft.service.as_str() {
            named if !named.is_empty() && accept.is_some() => {
                return Err("Explicit service configuration for accepting socket units not supported.".into());
            }
            "" if accept.is_some() => format!("{}@.service", self.stem()),
            "" => format!("{}.service", self.stem()),
            named => named.to_owned(),
        };
        if accept.is_none() {
            self.unit.dependencies.before.push(service.clone());
        }
        Ok(Body::Socket { service, sockets: draft.listen, accept })
    }

    fn timer_body(&mut self) -> Result<Body, String> {
        let timer = std::mem::take(&mut self.timer);
        let spans = [timer.on_boot, timer.on_active, timer.on_unit_active, timer.on_unit_inactive];
        if spans.iter().all(Option::is_none) && timer.on_calendar.is_empty() {
            return Err("Timer unit lacks value setting.".into());
        }
        let service = self.triggered(&self.timer_unit.clone());
        self.unit.dependencies.before.push(service.clone());
        Ok(Body::Timer { service, timer })
    }

    fn path_body(&mut self) -> Result<Body, String> {
        let mut watched = std::mem::take(&mut self.watched);
        if watched.paths.is_empty() {
            return Err("Path unit lacks path setting.".into());
        }
        watched.unit = self.triggered(&watched.unit);
        self.unit.dependencies.before.push(watched.unit.clone());
        Ok(Body::Path(watched))
    }

    fn triggered(&self, named: &str) -> String {
        if named.is_empty() { format!("{}.service", self.stem()) } else { named.to_owned() }
    }

    fn mount_body(&mut self) -> Result<Body, String> {
        let mut mount = std::mem::take(&mut self.mount);
        let named = unescape_path(&self.stem());
        if mount.place.is_empty() {
            mount.place.clone_from(&named);
        }
        if mount.place != named {
            return Err(format!(
                "Where= setting doesn't match unit name: {} is mounted by {}.mount.",
                mount.place,
                escape_path(&mount.place)
            ));
        }
        if mount.what.is_empty() {
            return Err("What= setting is missing.".into());
        }
        if self.unit.description == self.unit.name {
            self.unit.description.clone_from(&mount.place);
        }
        mount.service = self.mounting(&mount);
        Ok(Body::Mount(Box::new(mount)))
    }

    /// mount(8) and umount(8), as a service.
    fn mounting(&mut self, mount: &crate::unit::Mountable) -> Service {
        let command = |words: &[&str]| Command::of(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        let mode = format!("{:o}", mount.directory_mode.unwrap_or(0o755));
        let mut pre = vec![command(&["/usr/bin/mkdir", "-p", "-m", &mode, &mount.place])];
        if mount.what.starts_with("/dev/") {
            // Disks come when they like.
            pre.push(command(&["/usr/bin/udevadm", "wait", "--timeout=90", &mount.what]));
        }
        let mut start = vec!["/usr/bin/mount", &mount.what, &mount.place];
        if !mount.kind.is_empty() {
            start.extend(["-t", &mount.kind]);
        }
        if !mount.options.is_empty() {
            start.extend(["-o", &mount.options]);
        }
        let flags = if mount.lazy { "-lc" } else { "-c" };
        let mut service = std::mem::take(&mut self.service);
        service.service_type = ServiceType::Oneshot;
        service.supervision.remain_after_exit = true;
        if let Some(timeout) = mount.timeout {
            (service.supervision.timeout_start, service.supervision.timeout_stop) = (timeout, timeout);
        }
        service.commands = Commands {
            start_pre: pre,
            start: vec![command(&start)],
            stop: vec![command(&["/usr/bin/umount", flags, &mount.place])],
            ..Commands::default()
        };
        service.resources = self.limits.clone().finish();
        service.host = Some(Box::default());
        service
    }

    /// Its slice. Instances of one template share one of their own.
    fn place(&mut self) {
        if self.in_container || !(self.has_own_processes() || self.is("scope")) {
            return;
        }
        if self.unit.slice.is_empty() {
            let (prefix, instance) = parts(&self.unit.name);
            self.unit.slice = match instance.is_empty() {
                true => "system.slice".to_owned(),
                false => format!("system-{}.slice", prefix.replace('-', r"\x2d")),
            };
        }
        self.unit.dependencies.requires.push(self.unit.slice.clone());
        self.unit.dependencies.after.push(self.unit.slice.clone());
    }

    fn depend(&mut self, kind: &str) {
        for path in std::mem::take(&mut self.mounts_for) {
            for above in ancestors(&path) {
                let mount = format!("{}.mount", escape_path(above));
                self.unit.dependencies.wants.push(mount.clone());
                self.unit.dependencies.after.push(mount);
            }
        }
        let implicit = self.exec.folders.iter().any(|folder| folder.kind != crate::unit::FolderKind::Runtime);
        let dependencies = &mut self.unit.dependencies;
        if implicit {
            dependencies.after.push("local-fs.target".into());
        }
        if !self.default_dependencies {
            return;
        }
        let mut add = |list: fn(&mut crate::unit::Dependencies) -> &mut Vec<String>, names: &[&str]| {
            list(dependencies).extend(names.iter().map(|name| (*name).to_owned()));
        };
        let (requires, after, before): (&[&str], &[&str], &[&str]) = match kind {
            "service" => (&["sysinit.target"], &["sysinit.target", "basic.target"], &[]),
            "socket" => (&["sysinit.target"], &["sysinit.target"], &["sockets.target"]),
            "timer" => (&["sysinit.target"], &["sysinit.target"], &["timers.target"]),
            "path" => (&["sysinit.target"], &["sysinit.target"], &["paths.target"]),
            "mount" => (&[], &["local-fs-pre.target"], &["local-fs.target", "umount.target"]),
            _ => (&[], &[], &[]),
        };
        add(|d| &mut d.requires, requires);
        add(|d| &mut d.after, after);
        add(|d| &mut d.before, before);
        if kind == "mount" {
            add(|d| &mut d.conflicts, &["umount.target"]);
        }
        if kind != "mount" {
            add(|d| &mut d.conflicts, &["shutdown.target"]);
            add(|d| &mut d.before, &["shutdown.target"]);
        }
        let by_calendar = matches!(&self.unit.body, Body::Timer { timer, .. } if !timer.on_calendar.is_empty());
        if by_calendar {
            add(|d| &mut d.after, &["time-set.target", "time-sync.target"]);
        }
        if matches!(&self.unit.body, Body::Service(service) if service.service_type == ServiceType::Dbus) {
            add(|d| &mut d.requires, &["dbus.socket"]);
            add(|d| &mut d.after, &["dbus.socket"]);
        }
    }
}

/// The folders that a path is in, itself included, but for the root.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).chain([path.len()]);
    ends.map(|end| &path[..end]).filter(|path| path.len() > 1)
}
