//! Control groups (systemd.resource-control(5)).

use super::{Draft, Taken};
use crate::systemd::value;
use crate::unit::{GroupLimits, Prefix, is_unit_name};

/// What shares of memory are shares of is asked of whoever applies them; here it is the most that there can be.
const WHOLE_TASKS: u64 = 4_194_304;

pub fn take(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    match key {
        "Slice" => {
            let name = draft.expand(text)?;
            if !is_unit_name(&name) || !name.ends_with(".slice") {
                return Err(format!("`{name}` is no slice"));
            }
            draft.unit.slice = name;
        }
        "Delegate" => {
            // A list of controllers asks for delegation, too.
            let delegate = value::boolean(text).unwrap_or(!text.is_empty());
            (draft.service.delegate, draft.scope.delegate) = (delegate, delegate);
        }
        "DelegateSubgroup" => {
            draft.service.delegate_subgroup = Some(draft.expand(text)?).filter(|name| !name.is_empty());
        }
        "CPUQuota" if text.is_empty() => draft.limits.set("CPUQuotaPerSecUSec", u64::MAX),
        "CPUQuota" => {
            let share = text.strip_suffix('%').ok_or("write a share in percent, like 50%")?;
            let share: f64 = value::number(share.trim())?;
            draft.limits.set("CPUQuotaPerSecUSec", (share * 10_000.0) as u64);
        }
        "CPUQuotaPeriodSec" => draft.limits.set("CPUQuotaPeriodUSec", value::span(text)?.0),
        "CPUWeight" | "StartupCPUWeight" if text == "idle" => draft.limits.set(key, 0),
        "MemoryLimit" => draft.limits.set("MemoryMax", value::size(text)?),
        "CPUShares" => draft.limits.set("CPUWeight", (value::number::<u64>(text)? * 100 / 1024).clamp(1, 10_000)),
        "TasksMax" => draft.limits.set(key, value::size_or_share(text, WHOLE_TASKS)?),
        "AllowedCPUs" | "AllowedMemoryNodes" => draft.limits.allow_numbers(key, &value::numbers(text)?),
        "DevicePolicy" if ["auto", "closed", "strict"].contains(&text) => draft.limits.device_policy(text),
        "DeviceAllow" if text.is_empty() => draft.limits.allow_device(None),
        "DeviceAllow" => {
            let words = draft.words(text)?;
            let (device, access) = match words.as_slice() {
                [device] => (device.clone(), "rwm".to_owned()),
                [device, access] => (device.clone(), access.clone()),
                _ => return Err("write a device and some of the letters rwm".into()),
            };
            draft.limits.allow_device(Some((device, access)));
        }
        "IPAddressAllow" | "IPAddressDeny" => {
            let ranges: Vec<Vec<Prefix>> =
                draft.words(text)?.iter().map(|word| Prefix::named(word)).collect::<Result<_, _>>()?;
            draft.limits.addresses(key, ranges.concat());
        }
        // All of it is counted always, but for addresses.
        "CPUAccounting" | "MemoryAccounting" | "IOAccounting" | "BlockIOAccounting" | "TasksAccounting" => {
            value::boolean(text)?;
        }
        key if GroupLimits::is_number(key) && !key.ends_with("USec") => {
            let value = if text.is_empty() { u64::MAX } else { value::size(text)? };
            draft.limits.set(key, value);
        }
        _ => return Ok(Taken::Unknown),
    }
    Ok(Taken::Yes)
}
