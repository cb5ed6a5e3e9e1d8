//! config.json of a bundle, as far as it concerns Linux (OCI runtime specification 1.2, config.md, config-linux.md).
//!
//! Shapes only. Unknown keys are left alone, as the specification wants; what values mean is decided where they are
//! used.

mod linux;
mod process;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use linux::*;
pub use process::*;

/// Annotation: the root file system is mounted with ids shifted by `linux.uidMappings`.
pub const ROOTFS_IDMAP: &str = "io.ashlar.rootfs.idmap";
/// Annotation, value `tmpfs`: a writable overlay lies over the root file system.
pub const ROOTFS_OVERLAY: &str = "io.ashlar.rootfs.overlay";

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// Version of the specification.
    pub oci_version: String,
    /// What runs. A container can be made without, but not started.
    pub process: Option<Process>,
    /// Its root file system.
    pub root: Option<Root>,
    /// Host name of a UTS namespace of its own.
    pub hostname: Option<String>,
    /// Domain name of a UTS namespace of its own.
    pub domainname: Option<String>,
    /// In order.
    pub mounts: Vec<Mount>,
    /// Programs that run beside it.
    pub hooks: Hooks,
    /// Free text by key.
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    pub linux: Linux,
}

/// A container's root file system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Root {
    /// Absolute, or below the bundle.
    pub path: String,
    /// Nothing may be written to it.
    pub readonly: bool,
}

/// One mount.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mount {
    /// Where, as the container sees it.
    pub destination: String,
    /// File system type; `bind` or none for one of the host's.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What: a path of the host if bound, absolute or below the bundle.
    pub source: Option<String>,
    /// As for mount(8).
    pub options: Vec<String>,
    /// Mapping of its own, for shifted ids.
    pub uid_mappings: Vec<IdMapping>,
    /// See `uid_mappings`.
    pub gid_mappings: Vec<IdMapping>,
}

/// A range of ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IdMapping {
    /// First id inside, or on the disk.
    #[serde(rename = "containerID")]
    pub container: u32,
    /// First id outside.
    #[serde(rename = "hostID")]
    pub host: u32,
    /// How many.
    pub size: u32,
}

/// Programs to run at points of a container's life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hooks {
    /// On the host, before `create_runtime`; deprecated.
    pub prestart: Vec<Hook>,
    /// On the host, when the namespaces are there and the root is not.
    pub create_runtime: Vec<Hook>,
    /// In the namespaces, with the host's files.
    pub create_container: Vec<Hook>,
    /// In the container, before its process.
    pub start_container: Vec<Hook>,
    /// On the host, once the process runs.
    pub poststart: Vec<Hook>,
    /// On the host, once the container is gone.
    pub poststop: Vec<Hook>,
}

/// One program. It reads the container's state on its standard input.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// Absolute.
    pub path: String,
    /// With its own name first.
    pub args: Vec<String>,
    /// `KEY=value`; `None`: those of whoever runs it, which in the container are its process's.
    pub env: Option<Vec<String>>,
    /// Seconds.
    pub timeout: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        let check = |text: &str, expect: Spec| {
            assert_eq!(serde_json::from_str::<Spec>(text).unwrap(), expect, "{text}");
        };
        check("{}", Spec::default());
        check(
            r#"{"ociVersion":"1.2.0","vm":{"x":1},"root":{"path":"rootfs","readonly":true},"annotations":{"a":"b"}}"#,
            Spec {
                oci_version: "1.2.0".into(),
                root: Some(Root { path: "rootfs".into(), readonly: true }),
                annotations: [("a".to_owned(), "b".to_owned())].into(),
                ..Spec::default()
            },
        );
        check(
            r#"{"mounts":[{"destination":"/x","source":"/y","options":["rbind"],
                "uidMappings":[{"containerID":0,"hostID":5,"size":9}]}]}"#,
            Spec {
                mounts: vec![Mount {
                    destination: "/x".into(),
                    source: Some("/y".into()),
                    options: vec!["rbind".into()],
                    uid_mappings: vec![IdMapping { container: 0, host: 5, size: 9 }],
                    ..Mount::default()
                }],
                ..Spec::default()
            },
        );
        assert!(serde_json::from_str::<Spec>(r#"{"mounts":{}}"#).is_err());
    }
}
