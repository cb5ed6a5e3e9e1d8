//! What must not be there: D-Bus, async runtimes, TLS and HTTP in the programs that the machine stands on, and unsafe
//! code outside of lib/sys.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};

use super::workspace::{Workspace, files};
use crate::project;
use crate::step::{cargo, output};

/// Programs that a fault of a parser or of a protocol must not reach.
const STRICT: [&str; 3] = ["ashlar-boot", "ashlar-init", "ashlar-runtime"];
/// Packages, or families of them (`x-*`), that those must not link.
const FORBIDDEN: [&str; 27] = [
    "zbus",
    "zbus-*",
    "zvariant",
    "dbus",
    "dbus-*",
    "tokio",
    "tokio-*",
    "async-*",
    "smol",
    "futures",
    "futures-*",
    "polling",
    "mio",
    "rustls",
    "rustls-*",
    "webpki*",
    "openssl",
    "openssl-*",
    "native-tls",
    "ring",
    "ureq",
    "ureq-*",
    "hyper",
    "hyper-*",
    "reqwest",
    "http",
    "curl",
];
const SAFE_BUT: &str = "lib/sys";

fn is_forbidden(name: &str) -> bool {
    FORBIDDEN.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == *pattern,
    })
}

/// Forbidden packages in what the strict programs link.
pub fn closures(workspace: &Workspace) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for program in STRICT {
        let linked = linked(program)?;
        let closure = workspace.closure(program);
        let forbidden = closure.iter().filter(|(name, _)| is_forbidden(name) && linked.contains(**name));
        faults.extend(forbidden.map(|(name, by)| format!("{program} links {name} (by way of {by})")));
    }
    Ok(faults)
}

/// What a program links with the features that it asks for itself: `cargo metadata` adds everybody else's.
fn linked(program: &str) -> Result<BTreeSet<String>> {
    let mut command = cargo();
    command.args(["tree", "--package", program, "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]);
    let names: BTreeSet<String> =
        output(&mut command)?.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    ensure!(names.contains(program), "cargo tree does not know {program}");
    Ok(names)
}

/// Members that do not take the workspace's lints, which forbid unsafe code, and sources that have some all the same.
pub fn unsafety(workspace: &Workspace) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let root = manifest(&project::root().join("Cargo.toml"))?;
    if root["workspace"]["lints"]["rust"]["unsafe_code"].as_str() != Some("forbid") {
        faults.push("Cargo.toml: the workspace's lints do not forbid unsafe_code".into());
    }
    for member in workspace.members().filter(|member| !member.manifest.ends_with("lib/sys/Cargo.toml")) {
        let lints = manifest(&member.manifest)?.get("lints").and_then(|lints| lints.get("workspace")?.as_bool());
        if lints != Some(true) {
            faults.push(format!("{} does not say `[lints] workspace = true`", member.manifest.display()));
        }
    }
    for name in files(".rs")?.iter().filter(|name| !name.starts_with(SAFE_BUT)) {
        let source = fs::read_to_string(project::root().join(name))?;
        faults.extend(unsafe_lines(&source).into_iter().map(|line| format!("{name}:{line}: unsafe code")));
    }
    Ok(faults)
}

fn manifest(path: &std::path::Path) -> Result<toml::Table> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| format!("cannot understand {}", path.display()))
}

/// Numbers of lines with unsafe code; comments may speak of it.
fn unsafe_lines(source: &str) -> Vec<usize> {
    let word = concat!("un", "safe");
    let begins = |rest: &str| ["{", "fn ", "impl ", "extern ", "trait "].iter().any(|start| rest.starts_with(start));
    let guilty = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        code.match_indices(&format!("{word} ")).any(|(at, found)| begins(&code[at + found.len()..]))
            || code.contains(&format!("allow({word}_code"))
    };
    source.lines().enumerate().filter(|(_, line)| guilty(line)).map(|(index, _)| index + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        let check = |name: &str, expect: bool| assert_eq!(is_forbidden(name), expect, "{name}");
        check("tokio", true);
        check("async-io", true);
        check("rustls-pki-types", true);
        check("httparse", false);
        check("serde", false);
    }

    #[test]
    fn code_and_comments() {
        let word = concat!("un", "safe");
        let check = |source: String, expect: &[usize]| assert_eq!(unsafe_lines(&source), expect, "{source}");
        check(format!("let x = {word} {{ 1 }};"), &[1]);
        check(format!("\n{word} fn x() {{}}"), &[2]);
        check(format!("// {word} {{ is not here }}"), &[]);
        check(format!("//! an {word} world"), &[]);
    }
}
