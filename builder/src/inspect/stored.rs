//! What the builder leaves beside a release for people to look at: `packages.json` and `units.json`.

use ashlar_config::unit::Unit;
use serde::{Deserialize, Serialize};

/// A line of `packages.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageRow {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Bytes of its files in the image, before they are compressed.
    pub installed_bytes: u64,
}

/// `units.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Units {
    /// What each may do, a line for each service.
    pub table: Vec<UnitRow>,
    /// All units as they ship, nothing left to infer.
    pub units: Vec<Unit>,
}

/// What a unit may do beyond nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRow {
    /// Name.
    pub unit: String,
    /// `private`, `identity` or `host`.
    pub user_namespace: String,
    /// Capabilities, without `CAP_`.
    pub capabilities: Vec<String>,
    /// Devices.
    pub devices: Vec<String>,
    /// Namespaces that it shares with the host.
    pub host_namespaces: Vec<String>,
    /// Why it runs as the host's root, if it does.
    pub host_root: Option<String>,
}
