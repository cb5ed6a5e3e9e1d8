//! Locks of a group of machines, so that only some of them reboot at once: FleetLock, or a count of holders in etcd. Whoever
//! cannot be asked has not said yes.
//!
//! A lock is taken before the reboot and given back once the version that runs then is committed: a machine that does not
//! come back keeps it, and the others wait until somebody has looked.

use ashlar_fetch::{Client, Digest, Policy};
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Error;
use crate::source::told;

/// Longest answer.
const LIMIT: u64 = 1 << 20;
/// Others may change what is in etcd at the same time.
const TRIES: u32 = 8;

/// `[update.lock]`: where it is kept, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lock {
    /// Base address of a FleetLock server.
    pub fleetlock: Option<String>,
    /// Addresses of an etcd's clients' interface; the first that answers counts.
    #[serde(default)]
    pub etcd: Vec<String>,
    /// Whose machines share it.
    pub group: String,
    /// With etcd: so many of them at once.
    pub at_most: u32,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// This machine has it.
    Yes,
    /// Others do; why, in words.
    No(String),
}

impl Lock {
    /// Takes it for a machine; one that has it already has it.
    pub fn take(&self, machine: &str) -> Result<Taken, Error> {
        let id = id(machine);
        match &self.fleetlock {
            Some(base) => self.ask_fleetlock(base, "pre-reboot", &id),
            None => self.change_etcd(|holders| match holders.contains(&id) {
                true => Change::None(Taken::Yes),
                false if holders.len() >= self.at_most as usize => {
                    let group = &self.group;
                    Change::None(Taken::No(format!(
                        "{} of group {group} reboot already: {}",
                        holders.len(),
                        holders.join(", ")
                    )))
                }
                false => {
                    holders.push(id.clone());
                    Change::Write
                }
            }),
        }
    }

    /// Gives it back; one that this machine does not have is given back, too.
    pub fn give_back(&self, machine: &str) -> Result<(), Error> {
        let id = id(machine);
        let given = match &self.fleetlock {
            Some(base) => self.ask_fleetlock(base, "steady-state", &id)?,
            None => self.change_etcd(|holders| {
                let before = holders.len();
                holders.retain(|holder| *holder != id);
                if holders.len() == before { Change::None(Taken::Yes) } else { Change::Write }
            })?,
        };
        match given {
            Taken::Yes => Ok(()),
            Taken::No(why) => Err(Error::Source(format!("the lock is not taken back: {why}"))),
        }
    }

    /// FleetLock 1 (the protocol of Zincati's airlock).
    fn ask_fleetlock(&self, base: &str, what: &str, id: &str) -> Result<Taken, Error> {
        let url = format!("{}/v1/{what}", base.trim_end_matches('/'));
        let body = json!({ "client_params": { "id": id, "group": self.group } }).to_string();
        let headers = [("fleet-lock-protocol", "true"), ("content-type", "application/json")];
        let (status, answer) = client().post(&url, &headers, body.as_bytes(), LIMIT).map_err(|error| told(&error))?;
        if (200..300).contains(&status) {
            return Ok(Taken::Yes);
        }
        let said: Value = serde_json::from_slice(&answer).unwrap_or_default();
        let said = ["kind", "value"].map(|key| said[key].as_str().unwrap_or_default().to_owned());
        Ok(Taken::No(format!("the server says {status} {}: {}", said[0], said[1])))
    }

    /// Changes the list of holders, unless somebody else does between reading and writing.
    fn change_etcd(&self, mut change: impl FnMut(&mut Vec<String>) -> Change) -> Result<Taken, Error> {
        let mut last = Error::Source("no etcd is named".into());
        for base in &self.etcd {
            let etcd = Etcd {
                base: base.trim_end_matches('/'),
                key: Base64::encode_string(format!("ashlar/locks/{}", self.group).as_bytes()),
            };
            match etcd.change(&mut change) {
                Err(error @ Error::Source(_)) => last = error,
                other => return other,
            }
        }
        Err(last)
    }
}

/// What a change of the holders comes to.
enum Change {
    None(Taken),
    Write,
}

/// What is kept there.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Holders {
    holders: Vec<String>,
}

/// One etcd, by its JSON gateway (etcd documentation, "gRPC gateway"): numbers are texts, keys and values are base64.
struct Etcd<'a> {
    base: &'a str,
    key: String,
}

impl Etcd<'_> {
    fn call(&self, what: &str, body: &Value) -> Result<Value, Error> {
        let url = format!("{}/v3/kv/{what}", self.base);
        let (status, answer) =
            client().post(&url, &[], body.to_string().as_bytes(), LIMIT).map_err(|error| told(&error))?;
        let strange = || Error::Source(format!("{url} answers {status} {}", String::from_utf8_lossy(&answer)));
        if status == 200 { serde_json::from_slice(&answer).map_err(|_| strange()) } else { Err(strange()) }
    }

    fn change(&self, change: &mut impl FnMut(&mut Vec<String>) -> Change) -> Result<Taken, Error> {
        for _ in 0..TRIES {
            let found = self.call("range", &json!({ "key": self.key }))?;
            let found = &found["kvs"][0];
            // A key that was never written has the revision 0.
            let revision = found["mod_revision"].as_str().unwrap_or("0").to_owned();
            let mut kept = match found["value"].as_str() {
                None => Holders::default(),
                Some(value) => {
                    let damaged = || Error::Held("what etcd has for a lock is none of ours".to_owned());
                    let bytes = Base64::decode_vec(value).map_err(|_| damaged())?;
                    serde_json::from_slice(&bytes).map_err(|_| damaged())?
                }
            };
            if let Change::None(taken) = change(&mut kept.holders) {
                return Ok(taken);
            }
            let value =
                Base64::encode_string(&serde_json::to_vec(&kept).map_err(|error| Error::Machine(error.to_string()))?);
            let compare = json!([{ "key": self.key, "target": "MOD", "result": "EQUAL", "mod_revision": revision }]);
            let put = json!([{ "request_put": { "key": self.key, "value": value } }]);
            if self.call("txn", &json!({ "compare": compare, "success": put }))?["succeeded"] == true {
                return Ok(Taken::Yes);
            }
        }
        Ok(Taken::No("others change it all the time".to_owned()))
    }
}

/// Nobody is to learn the machine's id from its lock.
fn id(machine: &str) -> String {
    Digest::of(format!("lock {machine}").as_bytes()).to_string()[..32].to_owned()
}

fn client() -> Client {
    Client::new(Policy::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;
    use std::thread;

    /// Answers requests as `answer` says, which gets their first line and their body.
    fn serve(answer: impl Fn(&str, &Value) -> (u16, Value) + Send + 'static) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (sender, heads) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (head, body) = read(&stream);
                let (status, said) = answer(head.lines().next().unwrap(), &serde_json::from_slice(&body).unwrap());
                let said = said.to_string();
                let length = said.len();
                write!(&stream, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{said}")
                    .unwrap();
                let _ = sender.send(head);
            }
        });
        (base, heads)
    }

    fn read(stream: &TcpStream) -> (String, Vec<u8>) {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            reader.read_line(&mut head).unwrap();
        }
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        (head, body)
    }

    fn lock(fleetlock: Option<String>, etcd: Vec<String>) -> Lock {
        Lock { fleetlock, etcd, group: "web".into(), at_most: 1 }
    }

    #[test]
    fn fleetlock() {
        let (base, heads) = serve(|line, body| {
            let id = body["client_params"]["id"].as_str().unwrap();
            assert_eq!((body["client_params"]["group"].as_str(), id.len()), (Some("web"), 32));
            match line.contains("pre-reboot") && id == super::id("b") {
                true => (409, json!({ "kind": "lock_held", "value": "no slot is free" })),
                false => (200, json!({})),
            }
        });
        let lock = lock(Some(base + "/"), Vec::new());
        assert_eq!(lock.take("a").unwrap(), Taken::Yes);
        let head = heads.recv().unwrap();
        assert!(head.starts_with("post /v1/pre-reboot ") && head.contains("fleet-lock-protocol: true"), "{head}");
        let expect = "the server says 409 lock_held: no slot is free";
        assert_eq!(lock.take("b").unwrap(), Taken::No(expect.into()));
        lock.give_back("a").unwrap();
        assert!(heads.iter().nth(1).unwrap().starts_with("post /v1/steady-state "));
        assert!(matches!(
            super::tests::lock(Some("http://127.0.0.1:9".into()), vec![]).take("a"),
            Err(Error::Source(_))
        ));
    }

    #[test]
    fn what_is_in_etcd_is_changed_by_one_at_a_time() {
        // A key with its revision; every third change comes too late.
        let state = std::sync::Mutex::new((0_u64, None::<String>, 0));
        let (base, _heads) = serve(move |line, body| {
            let mut state = state.lock().unwrap();
            if line.contains("range") {
                let (revision, value, _) = &*state;
                let kv = value.as_ref().map(|value| json!({ "value": value, "mod_revision": revision.to_string() }));
                return (200, json!({ "kvs": kv.into_iter().collect::<Vec<_>>() }));
            }
            state.2 += 1;
            let fits =
                body["compare"][0]["mod_revision"].as_str() == Some(state.0.to_string().as_str()) && state.2 % 3 != 0;
            if fits {
                state.0 += 7;
                state.1 = body["success"][0]["request_put"]["value"].as_str().map(str::to_owned);
            }
            (200, if fits { json!({ "succeeded": true }) } else { json!({}) })
        });
        let lock = lock(None, vec!["http://127.0.0.1:9".into(), base]);
        assert_eq!(lock.take("a").unwrap(), Taken::Yes);
        assert_eq!(lock.take("a").unwrap(), Taken::Yes);
        let Taken::No(why) = lock.take("b").unwrap() else { panic!("it is held") };
        assert!(why.contains("1 of group web reboot already") && why.contains(&id("a")), "{why}");
        let two = Lock { at_most: 2, ..lock.clone() };
        assert_eq!(two.take("b").unwrap(), Taken::Yes);
        lock.give_back("a").unwrap();
        lock.give_back("a").unwrap();
        assert!(matches!(lock.take("c").unwrap(), Taken::No(_)));
        lock.give_back("b").unwrap();
        assert_eq!(lock.take("c").unwrap(), Taken::Yes);
    }

    #[test]
    fn a_lock_of_others_is_left_alone() {
        let value = Base64::encode_string(b"taken by somebody");
        let (base, _heads) = serve(move |_, _| (200, json!({ "kvs": [{ "value": value, "mod_revision": "1" }] })));
        assert!(matches!(lock(None, vec![base]).take("a"), Err(Error::Held(_))));
        assert!(lock(None, Vec::new()).take("a").is_err());
    }
}
