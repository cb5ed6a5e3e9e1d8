//! What each unit may do, in one row: for `ashlar inspect`, for reviewers, for auditors.

use ashlar_config::unit::{Namespace, UserNamespace};

use crate::inspect::UnitRow;
use crate::sources::UnitSource;

/// A unit's row.
pub fn row(unit: &UnitSource) -> UnitRow {
    let seal = &unit.written.seal;
    let user_namespace = match seal.user_namespace {
        UserNamespace::Private => "private",
        UserNamespace::Identity => "identity",
        UserNamespace::Host => "host",
    };
    let short = |name: &String| name.strip_prefix("CAP_").unwrap_or(name).to_owned();
    UnitRow {
        unit: unit.name.clone(),
        user_namespace: user_namespace.to_owned(),
        capabilities: seal.capabilities.iter().map(short).collect(),
        devices: seal.devices.clone(),
        host_namespaces: seal.host_namespaces.iter().map(|namespace| name(*namespace).to_owned()).collect(),
        host_root: seal.host_root.clone(),
    }
}

fn name(namespace: Namespace) -> &'static str {
    match namespace {
        Namespace::Pid => "pid",
        Namespace::Net => "net",
        Namespace::Ipc => "ipc",
        Namespace::Uts => "uts",
        Namespace::Cgroup => "cgroup",
        Namespace::Mount => "mount",
    }
}
