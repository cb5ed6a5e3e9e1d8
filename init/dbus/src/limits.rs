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

/// The same as a unit file says it: name and value; a list is taken anew.
pub fn settings(properties: &[(String, Variant<'_>)]) -> Result<Vec<(String, String)>, Fault> {
    let mut settings = Vec::new();
    for (name, value) in properties.iter().filter(|(name, _)| name != "Description") {
        let mut say = |setting: &str, text: String| settings.push((setting.to_owned(), text));
        match name.as_str() {
            "CPUQuotaPerSecUSec" => say("CPUQuota", percent(get(name, value)?)),
            "CPUQuotaPeriodUSec" => say("CPUQuotaPeriodSec", format!("{}us", get::<u64>(name, value)?)),
            "CPUWeight" if get::<u64>(name, value)? == 0 => say(name, "idle".to_owned()),
            "AllowedCPUs" | "AllowedMemoryNodes" => {
                say(name, list(bits_of(&get::<Vec<u8>>(name, value)?).iter().map(u32::to_string)));
            }
            "DeviceAllow" => {
                say(name, String::new());
                devices(name, value)?.into_iter().for_each(|(device, access)| say(name, format!("{device} {access}")));
            }
            "IPAddressAllow" | "IPAddressDeny" => {
                say(name, String::new());
                say(name, list(prefixes(name, value)?.iter().map(ToString::to_string)));
            }
            _ => match value {
                Variant::U64(u64::MAX) => say(name, "infinity".to_owned()),
                Variant::U64(number) => say(name, number.to_string()),
                Variant::Bool(value) => say(name, if *value { "yes" } else { "no" }.to_owned()),
                Variant::Str(text) => say(name, text.to_string()),
                _ => return Err(mistyped(name)),
            },
        }
    }
    Ok(settings)
}

/// Of microseconds in each second; nothing for all of them.
fn percent(usec: u64) -> String {
    match usec {
        u64::MAX => String::new(),
        usec if usec % 10_000 == 0 => format!("{}%", usec / 10_000),
        usec => format!("{}.{:02}%", usec / 10_000, usec % 10_000 / 100),
    }
}

fn list(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

/// Rows of DeviceAllow.
fn devices(name: &str, value: &Variant<'_>) -> Result<Vec<(String, String)>, Fault> {
    let Variant::Array(list) = value else { return Err(mistyped(name)) };
    let row = |row: &Variant<'_>| match row {
        Variant::Structure(row) => match row.fields() {
            [Variant::Str(device), Variant::Str(access)] => Ok((device.to_string(), access.to_string())),
            _ => Err(mistyped(name)),
        },
        _ => Err(mistyped(name)),
    };
    list.iter().map(row).collect()
}

/// Rows of IPAddressAllow and IPAddressDeny.
fn prefixes(name: &str, value: &Variant<'_>) -> Result<Vec<Prefix>, Fault> {
    let Variant::Array(list) = value else { return Err(mistyped(name)) };
    list.iter().map(|row| prefix_of(row).ok_or_else(|| mistyped(name))).collect()
}

/// Takes a property that is a limit of the control group; `false` if it is none.
pub fn take(limits: &mut GroupLimits, name: &str, value: &Variant<'_>) -> Result<bool, Fault> {
    match name {
        name if GroupLimits::is_number(name) => limits.set(name, get(name, value)?),
        "AllowedCPUs" | "AllowedMemoryNodes" => limits.allow_numbers(name, &bits_of(&get::<Vec<u8>>(name, value)?)),
        "DevicePolicy" => limits.device_policy(&get::<String>(name, value)?),
        "DeviceAllow" => {
            let devices = devices(name, value)?;
            if devices.is_empty() {
                limits.allow_device(None);
            }
            devices.into_iter().for_each(|device| limits.allow_device(Some(device)));
        }
        "IPAddressAllow" | "IPAddressDeny" => limits.addresses(name, prefixes(name, value)?),
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
    fn limits_as_a_unit_file_says_them() {
        let check = |name: &str, value: Variant<'static>, expect: &[(&str, &str)]| {
            let settings = settings(&[(name.to_owned(), value)]).unwrap();
            let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(settings, expect);
        };
        check("MemoryMax", Variant::U64(1024), &[("MemoryMax", "1024")]);
        check("TasksMax", Variant::U64(u64::MAX), &[("TasksMax", "infinity")]);
        check("CPUQuotaPerSecUSec", Variant::U64(1_200_000), &[("CPUQuota", "120%")]);
        check("CPUQuotaPerSecUSec", Variant::U64(12_300), &[("CPUQuota", "1.23%")]);
        check("CPUQuotaPerSecUSec", Variant::U64(u64::MAX), &[("CPUQuota", "")]);
        check("CPUWeight", Variant::U64(0), &[("CPUWeight", "idle")]);
        check("AllowedCPUs", Variant::new(vec![5u8, 1]), &[("AllowedCPUs", "0 2 8")]);
        check("MemoryAccounting", Variant::Bool(false), &[("MemoryAccounting", "no")]);
        let device = vec![("/dev/null".to_owned(), "rw".to_owned())];
        check("DeviceAllow", Variant::new(device), &[("DeviceAllow", ""), ("DeviceAllow", "/dev/null rw")]);
        let net = vec![(2i32, vec![10u8, 0, 0, 0], 8u32)];
        check("IPAddressDeny", Variant::new(net), &[("IPAddressDeny", ""), ("IPAddressDeny", "10.0.0.0/8")]);
        check("Description", Variant::from("x".to_owned()), &[]);
    }

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
