//! Networks: which interfaces, and what they are given; written as systemd.network(5) reads it.

use super::section::{Section, Source};
use super::{Placed, address, name};

/// One `[[network]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// `name = "en*"`: interfaces by name, with shell patterns.
    pub names: Vec<Placed<String>>,
    /// `mac-address = "52:54:00:12:34:56"`.
    pub mac_addresses: Vec<Placed<String>>,
    /// `dhcp = true`, `false`, `"ipv4"` or `"ipv6"`.
    pub dhcp: Option<String>,
    /// `address = "192.0.2.7/24"`, or a list.
    pub addresses: Vec<Placed<String>>,
    /// `gateway = "192.0.2.1"`, or a list.
    pub gateways: Vec<Placed<String>>,
    /// `dns = ["192.0.2.1"]`.
    pub dns: Vec<Placed<String>>,
    /// `domains = ["example.net"]`.
    pub domains: Vec<Placed<String>>,
    /// `ntp = ["192.0.2.1"]`.
    pub ntp: Vec<Placed<String>>,
    /// `mtu = 9000`.
    pub mtu: Option<u32>,
}

const DHCP: [&str; 4] = ["yes", "no", "ipv4", "ipv6"];

/// Reads one; without a sound match it is none, because it would match everything.
pub(super) fn read(mut entry: Section<'_>, source: &mut Source<'_>) -> Option<Network> {
    let network = Network {
        names: entry.checked(source, "name", interface),
        mac_addresses: entry.checked(source, "mac-address", address::hardware),
        dhcp: entry.switch(source, "dhcp").filter(|text| source.holds(text, dhcp)).map(|text| text.value),
        addresses: entry.checked(source, "address", address::network),
        gateways: entry.checked(source, "gateway", address::host),
        dns: entry.checked(source, "dns", address::host),
        domains: entry.checked(source, "domains", name::host),
        ntp: entry.checked(source, "ntp", address::server),
        mtu: entry.number(source, "mtu", 68..=65535),
    };
    if network.names.is_empty() && network.mac_addresses.is_empty() {
        entry.complain(source, "has no `name` or `mac-address`, which says for which interfaces it is");
    }
    entry.finish(source);
    (!network.names.is_empty() || !network.mac_addresses.is_empty()).then_some(network)
}

fn dhcp(text: &str) -> Result<(), String> {
    DHCP.contains(&text)
        .then_some(())
        .ok_or_else(|| format!("`dhcp` is true, false, \"ipv4\" or \"ipv6\", not `{text}`"))
}

/// An interface's name or a pattern.
fn interface(text: &str) -> Result<(), String> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"*?[]!._-@".contains(&byte);
    let holds = (1..=64).contains(&text.len()) && text.bytes().all(letter);
    holds.then_some(()).ok_or_else(|| format!("`{text}` is no interface's name or pattern; write it like eth0 or en*"))
}

impl Network {
    /// As systemd-networkd reads it. With addresses of its own an interface asks nobody, unless told to.
    pub fn to_networkd(&self) -> String {
        let mut text = String::from("[Match]\n");
        line(&mut text, "Name", &self.names);
        line(&mut text, "MACAddress", &self.mac_addresses);
        if let Some(mtu) = self.mtu {
            text += &format!("\n[Link]\nMTUBytes={mtu}\n");
        }
        let usual = if self.addresses.is_empty() { "yes" } else { "no" };
        text += &format!("\n[Network]\nDHCP={}\n", self.dhcp.as_deref().unwrap_or(usual));
        for (key, values) in [("Address", &self.addresses), ("Gateway", &self.gateways), ("DNS", &self.dns)] {
            values.iter().for_each(|value| text += &format!("{key}={}\n", value.value));
        }
        line(&mut text, "Domains", &self.domains);
        line(&mut text, "NTP", &self.ntp);
        text
    }
}

fn line(text: &mut String, key: &str, values: &[Placed<String>]) {
    if !values.is_empty() {
        let values: Vec<&str> = values.iter().map(|value| value.value.as_str()).collect();
        *text += &format!("{key}={}\n", values.join(" "));
    }
}
