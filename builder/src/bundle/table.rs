//! What each unit may do, in one row: for `ashlar inspect`, for reviewers, for auditors.

use ashlar_config::unit::{Namespace, UserNamespace};
use serde::{Deserialize, Serialize};

use crate::sources::UnitSource;

/// One unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub unit: String,
    /// `private, from FIRST`, `identity` or `host`.
    pub user_namespace: String,
    /// Capabilities.
    pub capabilities: Vec<String>,
    /// Devices and access.
    pub devices: Vec<String>,
    /// Namespaces shared with the host, besides the user namespace.
    pub host_namespaces: Vec<String>,
    /// Why it is the host's root, if it is.
    pub host_root: Option<String>,
}

impl Row {
    /// A unit's row.
    pub fn of(unit: &UnitSource, first_id: Option<u32>) -> Self {
        let seal = &unit.written.seal;
        let user_namespace = match seal.user_namespace {
            UserNamespace::Private => format!("private, from {}", first_id.unwrap_or(0)),
            UserNamespace::Identity => "identity".to_owned(),
            UserNamespace::Host => "host".to_owned(),
        };
        let name = |namespace: &Namespace| match namespace {
            Namespace::Pid => "pid",
            Namespace::Net => "net",
            Namespace::Ipc => "ipc",
            Namespace::Uts => "uts",
            Namespace::Cgroup => "cgroup",
            Namespace::Mount => "mount",
        };
        Self {
            unit: unit.name.clone(),
            user_namespace,
            capabilities: seal.capabilities.clone(),
            devices: seal.devices.clone(),
            host_namespaces: seal.host_namespaces.iter().map(|namespace| name(namespace).to_owned()).collect(),
            host_root: seal.host_root.clone(),
        }
    }
}
