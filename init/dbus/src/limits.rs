//! Limits of control groups, as properties.

use std::net::IpAddr;

use ashlar_config::unit::{GroupLimits, Prefix};
use serde_json::Value;
use zbus::Variant;

use crate::fault::Fault;
use crate::value::{Take, get, mistyped, unknown};

/// SetUnitProperties: limits only.
pub fn resources(properties: &[(String, Variant<'_>)]) -> Result<Value, Fault> {
    let mut limits = GroupLimits::default();
    for (name, value) in properties {
        if name == "Description" {
            continue;
        }
        if !take(&mut limits, name, value)? {
            return Err(unknown(name));
        }
    }
    Ok(limits.finish())
}

/// Takes a property that is a limit of the control group; `false` if it is none.
pub fn take(limits: &mut GroupLimits, name: &str, value: &Variant<'_>) -> Result<bool, Fault> {
    match name {
        name if GroupLimits::is_number(name) => limits.set(name, get(name, value)?),
        "AllowedCPUs" | "AllowedMemoryNodes" => limits.allow_numbers(name, &bits_of(&get::<Vec<u8>>(name, value)?)),
        "DevicePolicy" => limits.device_policy(&get::<String>(name, value)?),
        "DeviceAllow" => {
            let Variant::Array(list) = value else { return Err(mistyped(name)) };
            if list.is_empty() {
                limits.allow_device(None);
            }
            for row in list.iter() {
                let Variant::Structure(row) = row else { return Err(mistyped(name)) };
                let [Variant::Str(device), Variant::Str(access)] = row.fields() else { return Err(mistyped(name)) };
                limits.allow_device(Some((device.to_string(), access.to_string())));
            }
        }
        "IPAddressAllow" | "IPAddressDeny" => {
            let Variant::Array(list) = value else { return Err(mistyped(name)) };
            let ranges = list.iter().map(|row| prefix_of(row).ok_or_else(|| mistyped(name)));
            limits.addresses(name, ranges.collect::<Result<_, _>>()?);
        }
        // All of it is counted always, but for addresses.
        "CPUAccounting" | "MemoryAccounting" | "IOAccounting" | "TasksAccounting" | "BlockIOAccounting"
        | "IPAccounting" => drop(get::<bool>(name, value)?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// A range of addresses: family, bytes, how many bits of them.
fn prefix_of(row: &Variant<'_>) -> Option<Prefix> {
    let Variant::Structure(row) = row else { return None };
    let [_, bytes, Variant::U32(bits)] = row.fields() else { return None };
    let bytes = Vec::<u8>::take(bytes)?;
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    Prefix::new(address, u8::try_from(*bits).ok()?)
}

/// Numbers of the bits that are set; the first byte is the lowest.
fn bits_of(mask: &[u8]) -> Vec<u32> {
    (0..mask.len() * 8).filter(|bit| mask[bit / 8] >> (bit % 8) & 1 != 0).map(|bit| bit as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_are_taken() {
        let mut limits = GroupLimits::default();
        let mut set = |name: &str, value: Variant<'static>| assert!(take(&mut limits, name, &value).unwrap());
        set("MemoryMax", Variant::U64(1024));
        set("AllowedCPUs", Variant::new(vec![5u8, 1]));
        set("MemoryAccounting", Variant::Bool(true));
        set("DevicePolicy", Variant::from("strict".to_owned()));
        set("DeviceAllow", Variant::new(vec![("/dev/char/1:3".to_owned(), "rw".to_owned())]));
        set("IPAddressDeny", Variant::new(vec![(2i32, vec![10u8, 0, 0, 0], 8u32)]));
        let resources = limits.finish();
        assert_eq!(resources["addressDeny"], json!(["10.0.0.0/8"]));
        assert_eq!(resources["unified"], json!({ "memory.max": "1024", "cpuset.cpus": "0,2,8" }));
        assert_eq!(resources["deviceAllow"], json!([["/dev/char/1:3", "rw"]]));
    }
}
