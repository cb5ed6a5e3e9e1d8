//! Users: accounts, keys, homes, and whom the serial console logs in.

use std::fs;

use anyhow::{Context, Result};
use ashlar_config::machine::Machine;
use ashlar_config::unit::{Body, Unit};

use crate::report::Report;
use crate::{accounts, homes, names, write};

/// The unit whose container people work in.
const CONSOLE: &str = "/usr/lib/ashlar/units/console.service.json";

/// Makes them.
pub fn make(machine: &Machine, report: &mut Report) -> Result<()> {
    let (base, etc) = (names::BASE, names::ETC);
    let read = |name| fs::read_to_string(format!("{base}/{name}")).with_context(|| format!("read {base}/{name}"));
    let (passwd, group) = (read("passwd")?, read("group")?);
    let users = &machine.users;
    let accounts = accounts::add((&passwd, &group), users, &homes::owners(), &mut |error| report.mistake(&error));
    write::file(format!("{etc}/group"), accounts.group.as_bytes())?;
    let in_console = console_ids().map(|first| accounts::shifted(&accounts.people, first));
    let passwd = accounts.passwd.clone() + &in_console.unwrap_or_default();
    write::file(format!("{etc}/passwd"), passwd.as_bytes())?;
    for person in &accounts.people {
        // Who has no home can still log in and say so.
        if let Err(error) = homes::make(&person.name, person.id) {
            report.failure("make a home folder", &error);
        }
        let on_console = machine.autologin.as_ref().is_some_and(|user| user.value == person.name);
        if person.keys.is_empty() && !on_console {
            report.problem(format!("user `{}` has no usable SSH key: nobody can log in as them by SSH", person.name));
        }
    }
    let keys = accounts.people.iter().map(|person| (person.name.clone(), person.keys.join("\n") + "\n"));
    write::folder(&format!("{etc}/ssh/authorized_keys"), |_| true, &keys.collect::<Vec<_>>())?;
    let path = format!("{etc}/autologin");
    match &machine.autologin {
        Some(user) if accounts.people.iter().any(|person| person.name == user.value) => {
            write::file(path, format!("{}\n", user.value).as_bytes())
        }
        Some(user) => {
            let name = &user.value;
            report.mistake(&user.error(format!("`autologin` names `{name}`, who is not among the users")));
            write::no_file(path)
        }
        None => write::no_file(path),
    }
}

/// First of the console container's range of ids; `None` if the image has no such unit, or it has no range.
fn console_ids() -> Option<u32> {
    let text = fs::read_to_string(CONSOLE).ok()?;
    let unit: Unit = serde_json::from_str(&text).ok()?;
    match unit.body {
        Body::Service(service) => service.first_id,
        _ => None,
    }
}
