//! Who a publisher is to a registry: what `podman login` or `docker login` has written down (containers-auth.json(5)). Their
//! helper programs are not asked.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;

const VARIABLE: &str = "REGISTRY_AUTH_FILE";

#[derive(Deserialize, Default)]
struct Written {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    /// Name and password, in base64.
    auth: Option<String>,
}

/// Name and password for HOST/NAME, in base64; `None` where nothing is written down about it.
pub fn find(authfile: Option<&Path>, reference: &str) -> anyhow::Result<Option<String>> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(named) = authfile.map(Path::to_owned).or_else(|| set(VARIABLE)) {
        return read(&named, reference);
    }
    let home = |variable: &str, otherwise: &str| set(variable).or_else(|| Some(set("HOME")?.join(otherwise)));
    let usual = [
        set("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
        home("XDG_CONFIG_HOME", ".config").map(|folder| folder.join("containers/auth.json")),
        home("DOCKER_CONFIG", ".docker").map(|folder| folder.join("config.json")),
    ];
    for path in usual.into_iter().flatten().filter(|path| path.exists()) {
        if let Some(found) = read(&path, reference)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn read(path: &Path, reference: &str) -> anyhow::Result<Option<String>> {
    let read = || format!("read credentials {}", path.display());
    parse(&fs::read_to_string(path).with_context(read)?, reference).with_context(read)
}

/// The entry that says the most of the reference counts.
fn parse(text: &str, reference: &str) -> anyhow::Result<Option<String>> {
    let written: Written = serde_json::from_str(text)?;
    let mut key = reference;
    loop {
        if let Some(Entry { auth: Some(auth) }) = written.auths.get(key) {
            let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
            if auth.is_empty() || !auth.bytes().all(sound) {
                bail!("`auth` of {key} is not in base64");
            }
            return Ok(Some(auth.clone()));
        }
        let Some((shorter, _)) = key.rsplit_once('/') else { return Ok(None) };
        key = shorter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_entry() {
        let text = r#"{"auths": {
            "r.example.net": {"auth": "aG9zdA=="}, "r.example.net/fleet": {"auth": "ZmxlZXQ="}, "bad": {"auth": "a\nb"},
            "helped": {}, "r.example.net:5000": {"auth": "cG9ydA=="}
        }, "credHelpers": {"x": "y"}}"#;
        let check = |reference, expect: Option<&str>| {
            assert_eq!(parse(text, reference).unwrap().as_deref(), expect, "{reference}");
        };
        check("r.example.net/fleet/ashlar", Some("ZmxlZXQ="));
        check("r.example.net/fleets/ashlar", Some("aG9zdA=="));
        check("r.example.net:5000/a", Some("cG9ydA=="));
        check("helped/a", None);
        check("other/a", None);
        assert!(parse(text, "bad/a").unwrap_err().to_string().contains("of bad is not in base64"));
        assert!(parse("<html>", "a/b").is_err());
        assert_eq!(parse("{}", "a/b").unwrap(), None);
        let error = format!("{:#}", find(Some(Path::new("/nonexistent")), "a/b").unwrap_err());
        assert!(error.contains("read credentials /nonexistent"), "{error}");
    }
}
