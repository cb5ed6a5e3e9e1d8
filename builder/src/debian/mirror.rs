//! Where packages come from. By default that is the mirror that this machine's own apt uses; nothing about it
//! is ever written to a lock or printed, so that a build is no different wherever it runs.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::control::paragraphs;

const APT: &str = "/etc/apt";
const VARIABLE: &str = "ASHLAR_MIRROR";

/// Debian publishes security updates from an archive of their own, with a pool of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Archive {
    /// The main archive.
    #[default]
    #[serde(rename = "debian")]
    Debian,
    /// Security updates.
    #[serde(rename = "debian-security")]
    Security,
}

impl Archive {
    /// The archive that publishes a suite.
    pub fn of_suite(suite: &str) -> Self {
        if suite.ends_with("-security") { Archive::Security } else { Archive::Debian }
    }

    /// Last component of its address.
    pub fn folder(self) -> &'static str {
        match self {
            Archive::Debian => "debian",
            Archive::Security => "debian-security",
        }
    }
}

/// Addresses of the archives. Has no `Debug`, so that no message can name a host by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Mirror {
    debian: String,
    security: Option<String>,
}

/// There is no mirror to use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No flag, no variable, and apt has none.
    #[error(
        "find a Debian mirror: apt's sources on this machine name none over HTTP; \
         name one with --mirror URL or {VARIABLE}=URL (an address that ends in /debian)"
    )]
    None,
    /// What was given is no HTTP address.
    #[error("use the mirror from {0}: it is not of the form http://HOST/debian or https://HOST/debian")]
    Form(&'static str),
    /// The main archive is known, the security archive is not.
    #[error("find the security archive: the mirror's address does not end in /debian, and apt's sources name none")]
    Security,
}

impl Mirror {
    /// The mirror that the flag names, else the environment, else apt's sources.
    ///
    /// # Errors
    /// None of them names one, or what they name is no HTTP address.
    pub fn find(flag: Option<&str>) -> Result<Self, Error> {
        if let Some(base) = flag {
            return Self::new(base).ok_or(Error::Form("--mirror"));
        }
        match env::var(VARIABLE) {
            Ok(base) if !base.is_empty() => Self::new(&base).ok_or(Error::Form(VARIABLE)),
            _ => Self::from_apt(&read_sources(Path::new(APT))).ok_or(Error::None),
        }
    }

    /// A mirror by the address of its main archive; the security archive is taken to stand beside it.
    pub fn new(base: &str) -> Option<Self> {
        let base = http_base(base)?;
        let security = base.strip_suffix("/debian").map(|root| format!("{root}/debian-security"));
        Some(Self { debian: base.to_owned(), security })
    }

    /// The first mirror in apt's sources, given as (is it deb822, text).
    fn from_apt(sources: &[(bool, String)]) -> Option<Self> {
        let bases: Vec<String> = sources
            .iter()
            .flat_map(|(is_deb822, text)| if *is_deb822 { deb822_bases(text) } else { one_line_bases(text) })
            .collect();
        let ending = |end: &str| bases.iter().find(|base| base.ends_with(end));
        let mut mirror = Self::new(ending("/debian")?)?;
        mirror.security = ending("/debian-security").cloned().or(mirror.security);
        Some(mirror)
    }

    /// Address of a file in an archive.
    ///
    /// # Errors
    /// The mirror has no such archive.
    pub fn url(&self, archive: Archive, path: &str) -> Result<String, Error> {
        let base = match archive {
            Archive::Debian => &self.debian,
            Archive::Security => self.security.as_ref().ok_or(Error::Security)?,
        };
        // `+`, `~` and `:` (in versions) are fine in a path; a mirror may still take a bare `+` for a space.
        Ok(format!("{base}/{}", path.replace('+', "%2B")))
    }
}

/// apt's sources in apt's order; files that cannot be read are none.
fn read_sources(apt: &Path) -> Vec<(bool, String)> {
    let mut files: Vec<PathBuf> = fs::read_dir(apt.join("sources.list.d"))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.sort();
    files.insert(0, apt.join("sources.list"));
    let has = |path: &Path, extension| path.extension().is_some_and(|found| found == extension);
    let files = files.iter().filter(|path| has(path, "list") || has(path, "sources"));
    files.filter_map(|path| Some((has(path, "sources"), fs::read_to_string(path).ok()?))).collect()
}

fn deb822_bases(text: &str) -> Vec<String> {
    let enabled = paragraphs(text).flatten().filter(|paragraph| {
        let off = paragraph.get("Enabled").is_some_and(|value| ["no", "false", "0"].contains(&value));
        !off && paragraph.words("Types").any(|kind| kind == "deb")
    });
    enabled
        .flat_map(|paragraph| paragraph.words("URIs").filter_map(http_base).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

fn one_line_bases(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter_map(|line| one_line_base(line).map(str::to_owned)).collect()
}

/// `deb [OPTIONS] URI SUITE COMPONENT…`
fn one_line_base(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("deb")?;
    let mut rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    if let Some(options) = rest.strip_prefix('[') {
        rest = options.split_once(']')?.1.trim_start();
    }
    http_base(rest.split_whitespace().next()?)
}

/// An HTTP address without slashes at its end, if it is one.
fn http_base(address: &str) -> Option<&str> {
    let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"))?;
    let plain = !address.contains(|c: char| c.is_whitespace() || c.is_control() || "?#\"".contains(c));
    (plain && !rest.starts_with('/') && !rest.is_empty()).then(|| address.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_apt_sources() {
        fn check(sources: &[(bool, &str)], expect: Option<(&str, Option<&str>)>) {
            let owned: Vec<_> = sources.iter().map(|(kind, text)| (*kind, (*text).to_owned())).collect();
            let mirror = Mirror::from_apt(&owned);
            let found = mirror.as_ref().map(|mirror| (mirror.debian.as_str(), mirror.security.as_deref()));
            assert_eq!(found, expect, "{sources:?}");
        }
        let both = Some(("http://m.example/debian", Some("http://m.example/debian-security")));
        check(&[], None);
        check(&[(false, "deb http://m.example/debian/ trixie main\n")], both);
        check(&[(false, "deb\t[arch=amd64 signed-by=/k]  http://m.example/debian trixie main # c\n")], both);
        check(&[(false, "# deb http://m.example/debian trixie main\n")], None);
        check(&[(false, "deb-src http://m.example/debian trixie main\n")], None);
        check(&[(false, "deb cdrom:[x]/debian trixie main\ndeb http://m.example/debian x")], both);
        check(&[(true, "Types: deb deb-src\n# c\nURIs: http://m.example/debian\nSuites: x\n")], both);
        check(&[(true, "Types: deb\nEnabled: no\nURIs: http://m.example/debian\n")], None);
        check(&[(true, "Types: deb\nURIs: http://m.example/debianish\n")], None);
        check(
            &[
                (false, "deb https://other.example/apt x main"),
                (
                    true,
                    "Types: deb\nURIs: http://s.example/debian-security\n\nTypes: deb\nURIs: http://m.example/a/debian",
                ),
            ],
            Some(("http://m.example/a/debian", Some("http://s.example/debian-security"))),
        );
    }

    #[test]
    fn refuses_what_is_no_address() {
        fn check(base: &str, expect: bool) {
            assert_eq!(Mirror::new(base).is_some(), expect, "{base}");
        }
        check("https://m.example/debian", true);
        check("ftp://m.example/debian", false);
        check("http:///debian", false);
        check("http://", false);
        check("http://m.example/a b", false);
        check("m.example/debian", false);
    }

    #[test]
    fn addresses_files() {
        let mirror = Mirror::new("http://m.example/debian//").unwrap();
        let url = mirror.url(Archive::Security, "pool/g++_1~a.deb").unwrap();
        assert_eq!(url, "http://m.example/debian-security/pool/g%2B%2B_1~a.deb");
        let odd = Mirror::new("http://m.example/copy").unwrap();
        assert!(matches!(odd.url(Archive::Security, "x"), Err(Error::Security)));
    }
}
