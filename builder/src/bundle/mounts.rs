//! What a container sees besides its root: file systems of its own, then what it shares with the host.

use ashlar_config::unit::{Mount, Namespace, Seal, UserNamespace};
use serde_json::{Value, json};

/// A mount, in OCI's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path in the container.
    pub destination: String,
    /// Path on the host, or the file system's name.
    pub source: String,
    /// File system, or `bind`.
    pub kind: String,
    /// Options.
    pub options: Vec<String>,
}

/// Ids that shifted mounts are shifted by.
#[derive(Clone, Copy, Debug)]
pub struct Shift {
    /// First id on the host.
    pub first: u32,
    /// How many.
    pub size: u32,
}

impl Shift {
    /// As OCI's mappings.
    pub fn json(self) -> Value {
        json!([{"containerID": 0, "hostID": self.first, "size": self.size}])
    }
}

/// All mounts of a unit, in their order. A mount that the unit names itself stands in for ours at the same place and
/// for all that would lie below it.
pub fn of(seal: &Seal) -> Vec<Entry> {
    let own: Vec<Entry> = seal.mounts.iter().map(of_unit).collect();
    let folders: Vec<Entry> = folders(seal).collect();
    let is_replaced = |entry: &Entry| {
        let below = |other: &Entry| format!("{}/", entry.destination).starts_with(&format!("{}/", other.destination));
        own.iter().any(below) || folders.iter().any(|folder| folder.destination == entry.destination)
    };
    let mut entries: Vec<Entry> = file_systems(seal);
    entries.retain(|entry| !is_replaced(entry));
    // The unit's own file systems where ours would have been, so that shared things can lie on top of them.
    let (early, late): (Vec<Entry>, Vec<Entry>) = own.iter().cloned().partition(|entry| is_top(&entry.destination));
    entries.extend(early);
    entries.extend(shared().into_iter().filter(|entry| !is_replaced(entry)));
    entries.extend(folders);
    entries.extend(late);
    entries
}

fn is_top(destination: &str) -> bool {
    ["/proc", "/dev", "/sys", "/run", "/tmp"].contains(&destination)
}

fn entry(destination: &str, source: &str, kind: &str, options: &str) -> Entry {
    let options = options.split(',').map(str::to_owned).collect();
    Entry { destination: destination.into(), source: source.into(), kind: kind.into(), options }
}

fn file_systems(seal: &Seal) -> Vec<Entry> {
    let groups = if seal.delegate { "nosuid,noexec,nodev,relatime,rw" } else { "nosuid,noexec,nodev,relatime,ro" };
    let mut entries = vec![
        entry("/proc", "proc", "proc", "nosuid,noexec,nodev"),
        entry("/dev", "tmpfs", "tmpfs", "nosuid,noexec,mode=755,size=4m"),
        entry("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
        entry("/dev/shm", "tmpfs", "tmpfs", "nosuid,noexec,nodev,mode=1777,size=64m"),
        entry("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
        entry("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
        entry("/sys/fs/cgroup", "cgroup", "cgroup", groups),
        entry("/run", "tmpfs", "tmpfs", "nosuid,nodev,mode=755"),
        entry("/tmp", "tmpfs", "tmpfs", "nosuid,nodev,mode=1777"),
    ];
    if seal.host_namespaces.contains(&Namespace::Ipc) && seal.user_namespace == UserNamespace::Host {
        entries.retain(|entry| entry.destination != "/dev/mqueue");
    }
    entries
}

/// What every container sees of the host.
fn shared() -> Vec<Entry> {
    vec![
        entry("/run/ashlar/etc", "/run/ashlar/etc", "bind", "bind,ro,nosuid,nodev,noexec"),
        entry("/run/systemd/notify", "/run/systemd/notify", "bind", "bind,ro,nosuid,nodev,noexec,x-optional"),
        entry("/run/systemd/journal", "/run/systemd/journal", "bind", "bind,ro,nosuid,nodev,noexec,x-optional"),
    ]
}

/// Its state and runtime folders. State on the disk has the container's own ids.
fn folders(seal: &Seal) -> impl Iterator<Item = Entry> {
    let shifted = seal.user_namespace == UserNamespace::Private;
    let state = seal.state_directory.iter().map(move |name| {
        let path = format!("/var/lib/{name}");
        entry(&path, &path, "bind", if shifted { "bind,rw,nosuid,nodev,idmap" } else { "bind,rw,nosuid,nodev" })
    });
    let runtime = seal.runtime_directory.iter().map(|name| {
        let path = format!("/run/{name}");
        entry(&path, &path, "bind", "bind,rw,nosuid,nodev")
    });
    state.chain(runtime)
}

fn of_unit(mount: &Mount) -> Entry {
    let destination = mount.target.clone().unwrap_or_else(|| mount.source.clone());
    let kind = mount.kind.clone().unwrap_or_else(|| "bind".into());
    let mut options = mount.options.clone();
    let has = |options: &[String], names: &[&str]| options.iter().any(|option| names.contains(&option.as_str()));
    if kind == "bind" && !has(&options, &["bind", "rbind"]) {
        options.insert(0, "bind".into());
    }
    let defaults: [(&str, &[&str]); 2] = [("ro", &["ro", "rw"]), ("nosuid", &["nosuid", "suid"])];
    for (default, names) in defaults {
        if !has(&options, names) {
            options.push(default.into());
        }
    }
    Entry { destination, source: mount.source.clone(), kind, options }
}

impl Entry {
    /// Whether its ids are shifted.
    fn is_shifted(&self) -> bool {
        self.options.iter().any(|option| option == "idmap" || option == "ridmap")
    }

    /// As OCI's mount.
    pub fn json(&self, shift: Option<Shift>) -> Value {
        let Entry { destination, source, kind, options } = self;
        let mut mount = json!({"destination": destination, "source": source, "type": kind, "options": options});
        if let Some(shift) = shift.filter(|_| self.is_shifted()) {
            mount["uidMappings"] = shift.json();
            mount["gidMappings"] = shift.json();
        }
        mount
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destinations(seal: &str) -> Vec<String> {
        let text = format!("description='x'\n{seal}");
        let unit = ashlar_config::unit::UnitFile::parse("u", &text).unwrap();
        of(&unit.seal).into_iter().map(|entry| format!("{} {}", entry.destination, entry.kind)).collect()
    }

    #[test]
    fn a_units_own_mounts_stand_in_for_ours() {
        let check = |seal: &str, there: &[&str], gone: &[&str]| {
            let list = destinations(seal);
            assert!(there.iter().all(|entry| list.contains(&(*entry).to_owned())), "{seal}: {list:?}");
            assert!(gone.iter().all(|entry| !list.contains(&(*entry).to_owned())), "{seal}: {list:?}");
        };
        check("", &["/proc proc", "/run tmpfs", "/run/systemd/journal bind"], &[]);
        check(
            "[[mounts]]\nsource='/dev'\noptions=['rw']",
            &["/dev bind", "/proc proc"],
            &["/dev tmpfs", "/dev/pts devpts", "/dev/shm tmpfs"],
        );
        check("runtime-directory=['systemd/journal']", &["/run/systemd/journal bind"], &[]);
        check("[[mounts]]\nsource='/run'", &["/run bind"], &["/run tmpfs", "/run/ashlar/etc bind"]);
        check("[[mounts]]\nsource='/run/dbus'", &["/run/dbus bind", "/run tmpfs"], &[]);
    }

    #[test]
    fn options() {
        let check = |options: &[&str], expect: &[&str]| {
            let options = options.iter().map(|option| (*option).to_owned()).collect();
            let mount = Mount { source: "/x".into(), target: None, kind: None, options };
            assert_eq!(of_unit(&mount).options, expect);
        };
        check(&[], &["bind", "ro", "nosuid"]);
        check(&["rbind", "rw"], &["rbind", "rw", "nosuid"]);
        check(&["rw", "idmap", "suid"], &["bind", "rw", "idmap", "suid"]);
    }
}
