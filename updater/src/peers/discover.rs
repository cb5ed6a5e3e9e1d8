//! Which machines of the site say that they give: a service in the terms of DNS-SD (RFC 6763), by multicast DNS (RFC 6762).
//! systemd-resolved asks and announces; this speaks to it over Varlink, and believes nothing that it hears.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, at};

const SOCKET: &str = "/run/systemd/resolve/io.systemd.Resolve";
/// What they announce (see `provision`).
const SERVICE: &str = "_ashlar-update._tcp.local";
/// Types of records (RFC 1035, 2782).
const POINTER: u16 = 12;
const PLACE: u16 = 33;
/// Only multicast DNS, over IPv4 and over IPv6 (org.freedesktop.resolve1(5)).
const FLAGS: u64 = 1 << 3 | 1 << 4;
/// Families of addresses (ip(7), ipv6(7)).
const INET: u16 = 2;
const INET6: u16 = 10;
/// The first answer ends a question; what the others answer after it is known to the next question.
const PAUSE: Duration = Duration::from_secs(1);
/// Who has not answered by then is as if there were none.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer is no longer.
const LIMIT: u64 = 256 << 10;

/// A resource record, as far as it is one of those two.
#[derive(Debug, Deserialize)]
struct Record {
    name: Option<String>,
    port: Option<u16>,
}

#[derive(Debug, Deserialize)]
struct Address {
    family: u16,
    address: Vec<u8>,
}

/// The addresses of those that answer, and of no more than so many.
pub fn addresses(most: usize) -> Result<Vec<String>, Error> {
    Resolver { socket: Path::new(SOCKET), until: Instant::now() + PATIENCE, pause: PAUSE }.addresses(most)
}

/// The network, by way of systemd-resolved.
struct Resolver<'a> {
    socket: &'a Path,
    until: Instant,
    pause: Duration,
}

impl Resolver<'_> {
    fn addresses(&self, most: usize) -> Result<Vec<String>, Error> {
        self.records(SERVICE, POINTER)?;
        thread::sleep(self.pause);
        let instances = self.records(SERVICE, POINTER)?.into_iter().filter_map(|record| record.name);
        // One that cannot be had is no reason to do without the others.
        let found = instances.take(most).filter_map(|name| self.place(&name).unwrap_or_default());
        Ok(found.map(|place| format!("http://{place}")).collect())
    }

    /// Where an instance listens.
    fn place(&self, instance: &str) -> Result<Option<SocketAddr>, Error> {
        let places = self.records(instance, PLACE)?.into_iter().next();
        let Some((host, port)) = places.and_then(|record| record.name.zip(record.port)) else { return Ok(None) };
        // One after the other: asked for both, it is content with either, also with one that is good on its link only.
        for family in [INET, INET6] {
            let answer = self.call("ResolveHostname", &json!({ "name": host, "family": family, "flags": FLAGS }))?;
            let addresses: Vec<Address> = Deserialize::deserialize(&answer["addresses"]).unwrap_or_default();
            if let Some(address) = addresses.iter().find_map(usable) {
                return Ok(Some(SocketAddr::new(address, port)));
            }
        }
        Ok(None)
    }

    fn records(&self, name: &str, kind: u16) -> Result<Vec<Record>, Error> {
        let answer = self.call("ResolveRecord", &json!({ "name": name, "type": kind, "flags": FLAGS }))?;
        let records = answer["rrs"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(records.iter().filter_map(|record| Record::deserialize(&record["rr"]).ok()).collect())
    }

    /// What was found; nothing, where nobody answers.
    fn call(&self, method: &str, parameters: &Value) -> Result<Value, Error> {
        let left = self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let exchange = || {
            let mut stream = UnixStream::connect(self.socket)?;
            stream.set_read_timeout(Some(left))?;
            let call = json!({ "method": format!("io.systemd.Resolve.{method}"), "parameters": parameters });
            stream.write_all(format!("{call}\0").as_bytes())?;
            let mut answer = Vec::new();
            BufReader::new(stream.take(LIMIT)).read_until(0, &mut answer)?;
            answer.pop();
            Ok(serde_json::from_slice(&answer)?)
        };
        let mut answer: Value = exchange().map_err(at("ask", self.socket))?;
        Ok(answer["parameters"].take())
    }
}

/// One that can be said without a link.
fn usable(address: &Address) -> Option<IpAddr> {
    match address.family {
        INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(&address.address[..]).ok()?).into()),
        INET6 => {
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(&address.address[..]).ok()?);
            (!address.is_unicast_link_local()).then_some(address.into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// What a resolver says to each name, as systemd-resolved 257 does.
    fn answer(call: &Value) -> Value {
        assert_eq!(call["parameters"]["flags"], FLAGS);
        let name = call["parameters"]["name"].as_str().unwrap();
        let family = call["parameters"]["family"].as_u64().unwrap_or_default() as u16;
        let key = json!({ "class": 1, "type": call["parameters"]["type"], "name": name });
        let pointer = |host: &str| json!({ "ifindex": 2, "rr": { "key": key, "name": format!("{host}.{SERVICE}") }, "raw": "Dl9h" });
        let place = |host: &str, port: u32| json!({ "rrs": [{ "rr": { "key": key, "priority": 0, "weight": 0, "port": port, "name": host } }] });
        let link_local =
            json!({ "ifindex": 2, "family": 10, "address": [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1] });
        match name {
            SERVICE => {
                let all = ["a", "b", "c", "d", "e"].map(pointer);
                json!({ "rrs": all, "flags": FLAGS })
            }
            "a._ashlar-update._tcp.local" => place("a.local", 4724),
            "b._ashlar-update._tcp.local" => place("b.local", 1024),
            "c._ashlar-update._tcp.local" => place("c.local", 4724),
            "d._ashlar-update._tcp.local" => place("d.local", 70_000),
            "a.local" if family == INET => json!({ "addresses": [{ "family": 2, "address": [192, 0, 2, 7] }] }),
            "b.local" if family == INET6 => {
                let address = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
                json!({ "addresses": [link_local, { "ifindex": 2, "family": 10, "address": address }] })
            }
            "c.local" => json!({ "addresses": [link_local, { "family": 2, "address": [1] }] }),
            _ => Value::Null,
        }
    }

    #[test]
    fn those_that_answer() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("resolve");
        let listener = UnixListener::bind(&socket).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut call = Vec::new();
                stream.read_until(0, &mut call).unwrap();
                call.pop();
                let parameters = answer(&serde_json::from_slice(&call).unwrap());
                let answer = match parameters.is_null() {
                    true => json!({ "error": "io.systemd.Resolve.NoSuchResourceRecord", "parameters": {} }),
                    false => json!({ "parameters": parameters }),
                };
                stream.get_mut().write_all(format!("{answer}\0").as_bytes()).unwrap();
            }
        });
        let resolver = || Resolver { socket: &socket, until: Instant::now() + PATIENCE, pause: Duration::ZERO };
        let ask = |most| resolver().addresses(most).unwrap();
        assert_eq!(ask(10), ["http://192.0.2.7:4724", "http://[2001:db8::1]:1024"]);
        assert_eq!(ask(1), ["http://192.0.2.7:4724"]);
        let nobody = Resolver { socket: &folder.path().join("none"), ..resolver() };
        assert!(nobody.addresses(1).unwrap_err().line().contains("ask "));
    }
}
