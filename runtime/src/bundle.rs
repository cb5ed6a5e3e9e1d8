//! A bundle: a directory with config.json and, usually, the root file system.

use std::path::{Path, PathBuf};

use ashlar_sys::namespace::Kind;

use crate::error::Error;
use crate::spec::{NamespaceKind, Process, Spec};

/// Largest config.json.
const SIZE_LIMIT: u64 = 4 << 20;

/// A bundle, read and checked.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Where it is; absolute.
    pub directory: PathBuf,
    /// What config.json says.
    pub spec: Spec,
}

impl Bundle {
    /// Reads the bundle in `directory`, which must be absolute.
    pub fn load(directory: &Path) -> Result<Self, Error> {
        Self::read(directory, &directory.join("config.json"))
    }

    /// Reads a configuration that lies elsewhere; its relative paths are below `directory`.
    pub fn read(directory: &Path, path: &Path) -> Result<Self, Error> {
        let read = || {
            let size = std::fs::metadata(path)?.len();
            if size > SIZE_LIMIT {
                return Err(std::io::Error::other(format!("it has {size} bytes, more than {SIZE_LIMIT}")));
            }
            std::fs::read(path)
        };
        let bytes = read().map_err(|error| Error::Read { path: path.to_owned(), error })?;
        Self::parse(directory, path, &bytes)
    }

    /// The same with the configuration's text; `path` is what it is called in errors.
    pub fn parse(directory: &Path, path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let spec = serde_json::from_slice(bytes).map_err(|error| error.to_string());
        let spec = spec.and_then(|spec: Spec| check(&spec).map(|()| spec));
        let spec = spec.map_err(|reason| Error::Config { path: path.to_owned(), reason })?;
        Ok(Self { directory: directory.to_owned(), spec })
    }

    /// A bundle that is nowhere but in memory. Its relative paths are below `directory`. Without a `root` it has its
    /// maker's files, as `mounts` changes them.
    pub fn of(directory: &Path, spec: Spec) -> Result<Self, Error> {
        check(&spec).map_err(|reason| Error::Config { path: directory.to_owned(), reason })?;
        Ok(Self { directory: directory.to_owned(), spec })
    }

    /// Whether the container has a namespace that is not its maker's.
    pub fn owns(&self, kind: NamespaceKind) -> bool {
        self.spec.linux.namespaces.iter().any(|namespace| namespace.kind == kind)
    }

    /// Whether one is made for it.
    pub(crate) fn makes(&self, kind: NamespaceKind) -> bool {
        self.spec.linux.namespaces.iter().any(|namespace| namespace.kind == kind && namespace.path.is_none())
    }

    /// The process that the bundle describes.
    pub(crate) fn process(&self) -> &Process {
        static NONE: std::sync::LazyLock<Process> = std::sync::LazyLock::new(Process::default);
        self.spec.process.as_ref().unwrap_or(&NONE)
    }

    /// Whether hooks run on the host before the container's files are laid out.
    pub(crate) fn has_runtime_hooks(&self) -> bool {
        !self.spec.hooks.prestart.is_empty() || !self.spec.hooks.create_runtime.is_empty()
    }

    /// The root file system's directory.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.join(self.spec.root.as_ref().map_or("rootfs", |root| root.path.as_str()))
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.spec.annotations.get(key).map(String::as_str)
    }
}

/// The kernel's word for a kind of namespace.
pub(crate) fn kind(kind: NamespaceKind) -> Kind {
    match kind {
        NamespaceKind::Pid => Kind::Pid,
        NamespaceKind::Network => Kind::Network,
        NamespaceKind::Mount => Kind::Mount,
        NamespaceKind::Ipc => Kind::Ipc,
        NamespaceKind::Uts => Kind::Uts,
        NamespaceKind::User => Kind::User,
        NamespaceKind::Cgroup => Kind::Cgroup,
        NamespaceKind::Time => Kind::Time,
    }
}

/// Contradictions that no single value shows.
fn check(spec: &Spec) -> Result<(), String> {
    if !spec.oci_version.starts_with("1.") {
        return Err(format!("ociVersion is `{}`: this runtime knows 1.x", spec.oci_version));
    }
    let namespaces = &spec.linux.namespaces;
    for (place, namespace) in namespaces.iter().enumerate() {
        let name = format!("{:?}", namespace.kind).to_lowercase();
        if namespaces[..place].iter().any(|other| other.kind == namespace.kind) {
            return Err(format!("linux.namespaces has `{name}` twice"));
        }
    }
    let own = |kind| namespaces.iter().any(|namespace| namespace.kind == kind);
    let users = namespaces.iter().find(|namespace| namespace.kind == NamespaceKind::User);
    let mapped = !spec.linux.uid_mappings.is_empty();
    // One that is there already has its mapping.
    if users.is_none_or(|namespace| namespace.path.is_none()) && users.is_some() != mapped {
        return Err("linux.uidMappings and a user namespace belong together".into());
    }
    if (spec.hostname.is_some() || spec.domainname.is_some()) && !own(NamespaceKind::Uts) {
        return Err("hostname and domainname need a uts namespace".into());
    }
    if let Some(process) = &spec.process {
        if process.args.is_empty() {
            return Err("process.args is empty".into());
        }
        if !process.cwd.starts_with('/') {
            return Err(format!("process.cwd is `{}`: it must be absolute", process.cwd));
        }
    }
    if spec.linux.intel_rdt.is_some() {
        return Err("linux.intelRdt: this runtime does not control caches".into());
    }
    if !spec.linux.net_devices.is_empty() {
        return Err("linux.netDevices: this runtime does not move network devices".into());
    }
    match spec.mounts.iter().find(|mount| !mount.destination.starts_with('/')) {
        Some(mount) => Err(format!("mounts: destination `{}` must be absolute", mount.destination)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions() {
        let row = |json: &str, expect: &str| {
            let text = format!(r#"{{"ociVersion":"1.2.0",{json}}}"#);
            let got = check(&serde_json::from_str(&text).unwrap()).err().unwrap_or_default();
            assert_eq!(got, expect, "{json}");
        };
        row(r#""linux":{}"#, "");
        row(r#""process":{"args":["a"],"cwd":"/"}"#, "");
        row(r#""process":{"args":[],"cwd":"/"}"#, "process.args is empty");
        row(r#""process":{"args":["a"],"cwd":"x"}"#, "process.cwd is `x`: it must be absolute");
        row(r#""hostname":"x""#, "hostname and domainname need a uts namespace");
        row(r#""mounts":[{"destination":"x"}]"#, "mounts: destination `x` must be absolute");
        let both = "linux.uidMappings and a user namespace belong together";
        row(r#""linux":{"namespaces":[{"type":"user"}]}"#, both);
        row(r#""linux":{"uidMappings":[{"size":1}]}"#, both);
        let twice = r#""linux":{"namespaces":[{"type":"ipc"},{"type":"ipc"}]}"#;
        row(twice, "linux.namespaces has `ipc` twice");
        row(r#""linux":{"namespaces":[{"type":"user","path":"/proc/1/ns/user"}]}"#, "");
        assert!(check(&Spec::default()).unwrap_err().starts_with("ociVersion is ``"));
    }
}
