//! Where a mount comes from.

use std::path::{Path, PathBuf};

use super::Options;
use crate::spec::{Mount, NamespaceKind};

/// Where a mount comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A file or directory of the host's.
    Host {
        /// Absolute.
        path: PathBuf,
        /// With all that is mounted below.
        recursive: bool,
    },
    /// A file system of this type.
    New(String),
}

/// File systems that show a namespace: only who owns that may mount them, everybody else gets the host's. Where the host
/// has them.
const VIEWS: [(&str, NamespaceKind, &str); 4] = [
    ("proc", NamespaceKind::Pid, "/proc"),
    ("sysfs", NamespaceKind::Network, "/sys"),
    ("mqueue", NamespaceKind::Ipc, "/dev/mqueue"),
    ("cgroup2", NamespaceKind::Cgroup, "/sys/fs/cgroup"),
];

/// Where the host has a file system that shows a namespace.
pub(crate) fn host_view(kind: &str) -> Option<&'static Path> {
    VIEWS.iter().find(|(view, ..)| *view == kind).map(|(.., path)| Path::new(*path))
}

/// Decides. `own` says which namespaces are the container's own.
pub(crate) fn origin(mount: &Mount, options: &Options, bundle: &Path, own: impl Fn(NamespaceKind) -> bool) -> Origin {
    let kind = mount.kind.as_deref().filter(|kind| !kind.is_empty() && *kind != "none");
    match kind {
        Some(kind) if kind != "bind" && !options.bind => {
            let kind = if kind == "cgroup" { "cgroup2" } else { kind };
            let foreign = |namespace| own(NamespaceKind::User) && !own(namespace);
            match VIEWS.iter().find(|(view, namespace, _)| *view == kind && foreign(*namespace)) {
                Some((.., path)) => Origin::Host { path: (*path).into(), recursive: true },
                None => Origin::New(kind.to_owned()),
            }
        }
        _ => {
            let source = mount.source.as_deref().unwrap_or(&mount.destination);
            Origin::Host { path: bundle.join(source), recursive: options.recursive }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        let check = |kind: &str, source: &str, options: &str, own: &[NamespaceKind], expect: Origin| {
            let mount = Mount {
                destination: "/x".into(),
                kind: Some(kind.into()).filter(|kind: &String| !kind.is_empty()),
                source: Some(source.into()),
                ..Mount::default()
            };
            let options = Options::parse(&[options.to_owned()]);
            let got = origin(&mount, &options, Path::new("/b"), |kind| own.contains(&kind));
            assert_eq!(got, expect, "{kind} {source}");
        };
        let host = |path: &str, recursive| Origin::Host { path: path.into(), recursive };
        use NamespaceKind::{Network, Pid, User};
        check("bind", "/y", "ro", &[], host("/y", false));
        check("", "y", "rbind", &[], host("/b/y", true));
        check("none", "/y", "rbind", &[], host("/y", true));
        check("tmpfs", "tmpfs", "rw", &[User], Origin::New("tmpfs".into()));
        check("proc", "proc", "rw", &[User, Pid], Origin::New("proc".into()));
        check("proc", "proc", "rw", &[User], host("/proc", true));
        check("sysfs", "sysfs", "ro", &[User, Pid], host("/sys", true));
        check("sysfs", "sysfs", "ro", &[User, Network], Origin::New("sysfs".into()));
        check("sysfs", "sysfs", "ro", &[], Origin::New("sysfs".into()));
        check("cgroup", "cgroup", "ro", &[], Origin::New("cgroup2".into()));
    }
}
