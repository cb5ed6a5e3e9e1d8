//! Limits of units, while they run, too: what the unit itself says, and whom the processes of a group may talk to.

use ashlar_config::unit::{Body, GroupLimits, Prefix};
use ashlar_control::message::Refusal;
use ashlar_runtime::spec::Resources;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Machine;
use crate::core::UnitId;
use crate::packets::{self, Lists};
use crate::{cgroup, devices};

impl Machine {
    /// Limits that the unit itself has, rather than its bundle.
    pub(super) fn limit(&self, unit: UnitId, group: &str) -> Result<(), String> {
        if let Some(resources) = self.resources(unit) {
            write_limits(group, resources)?;
        }
        self.restrict_packets(group)
    }

    /// Holds what runs to limits that are others now. A container's own are in its bundle: there, what is not limited any
    /// more stays so until it is started again.
    pub(super) fn change_limits(&self, unit: UnitId, from: &Value) -> Result<(), String> {
        let to = self.resources(unit).cloned().unwrap_or_default();
        if to == *from || !self.has_group(unit) {
            return Ok(());
        }
        let has_bundle = self.core.service(unit).is_some_and(|service| !service.bundle.is_empty());
        let change = if has_bundle { to } else { GroupLimits::change(from, &to) };
        let group = self.group_of(unit);
        write_limits(&group, &change)?;
        self.restrict_packets_in(&group)
    }

    pub(super) fn resources(&self, unit: UnitId) -> Option<&Value> {
        match &self.core.graph[unit].unit.body {
            Body::Service(service) => Some(&service.resources),
            Body::Mount(mount) => Some(&mount.service.resources),
            Body::Scope(scope) => Some(&scope.resources),
            Body::Slice(slice) => Some(&slice.resources),
            _ => None,
        }
    }

    /// Whom those in a group may talk to: what its unit says, and the slices that it is in.
    fn restrict_packets(&self, group: &str) -> Result<(), String> {
        if group.ends_with(".slice") {
            return Ok(());
        }
        let (mut lists, mut any) = (Lists::default(), false);
        let units = group.split('/').chain(["-.slice"]).filter_map(|name| self.core.graph.find(name));
        for resources in units.filter_map(|unit| self.resources(unit)) {
            for (name, list) in [("addressAllow", &mut lists.allowed), ("addressDeny", &mut lists.denied)] {
                let Some(said) = resources.get(name) else { continue };
                any = true;
                list.extend(Vec::<Prefix>::deserialize(said).map_err(|error| error.to_string())?);
            }
        }
        match any {
            true => packets::restrict(group, &lists).map_err(|e| format!("cannot restrict addresses of {group}: {e}")),
            false => Ok(()),
        }
    }

    /// Of a slice it is those in it that are held to it.
    fn restrict_packets_in(&self, path: &str) -> Result<(), String> {
        let within = |group: &String| group == path || group.starts_with(&format!("{path}/"));
        let running = self.core.graph.ids().filter(|other| self.has_group(*other));
        let mut groups = running.map(|other| self.group_of(other)).filter(within);
        groups.try_for_each(|group| self.restrict_packets(&group))
    }

    pub(super) fn set_resources(&mut self, name: &str, resources: &Value) -> Result<(), Refusal> {
        let unit = self.unit_named(name)?;
        let failed = |reason| Refusal::Failed { reason };
        if self.has_group(unit) {
            write_limits(&self.group_of(unit), resources).map_err(failed)?;
        }
        let mut settings = self.core.graph[unit].unit.clone();
        let own = match &mut settings.body {
            Body::Service(service) => &mut service.resources,
            Body::Scope(scope) => &mut scope.resources,
            Body::Slice(slice) => &mut slice.resources,
            _ => {
                let reason = format!("{name} has no control group");
                return Err(Refusal::Invalid { reason });
            }
        };
        merge(own, resources);
        if settings.transient {
            self.snapshot.put(&format!("t:{}", settings.name), &settings);
        }
        self.core.graph.replace(unit, settings);
        self.core.touch(unit);
        if ["addressAllow", "addressDeny"].iter().any(|name| resources.get(name).is_some()) {
            self.restrict_packets_in(&self.group_of(unit)).map_err(failed)?;
        }
        Ok(())
    }
}

fn write_limits(group: &str, resources: &Value) -> Result<(), String> {
    if resources.is_null() {
        return Ok(());
    }
    // By way of text, as in bundles.
    let text = with_devices(resources)?.to_string();
    let resources: Resources = serde_json::from_slice(text.as_bytes()).map_err(|error| error.to_string())?;
    ashlar_runtime::limit(&cgroup::path(group), &resources).map_err(|error| error.to_string())
}

/// Devices that are named as rules, behind one that forbids the rest. Addresses are no matter of files.
fn with_devices(resources: &Value) -> Result<Value, String> {
    let mut resources = resources.clone();
    if let Some(all) = resources.as_object_mut() {
        all.retain(|name, _| !name.starts_with("address"));
    }
    let named = resources.as_object_mut().and_then(|all| all.remove("deviceAllow"));
    if let Some(named) = named.map(serde_json::from_value::<Vec<(String, String)>>).and_then(Result::ok) {
        let mut rules = vec![json!({ "allow": false, "access": "rwm" })];
        for (device, access) in named {
            rules.extend(devices::rules(&device, &access)?);
        }
        resources["devices"] = rules.into();
    }
    Ok(resources)
}

/// What `new` says counts; the rest stays.
fn merge(old: &mut Value, new: &Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                merge(old.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (old, new) => *old = new.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_to_limits_leave_the_rest() {
        let mut old = json!({ "memory": { "limit": 1 }, "pids": { "limit": 2 } });
        merge(&mut old, &json!({ "memory": { "limit": 3 }, "devices": [] }));
        assert_eq!(old, json!({ "memory": { "limit": 3 }, "pids": { "limit": 2 }, "devices": [] }));
        let mut none = Value::Null;
        merge(&mut none, &json!({ "cpu": {} }));
        assert_eq!(none, json!({ "cpu": {} }));
    }
}
