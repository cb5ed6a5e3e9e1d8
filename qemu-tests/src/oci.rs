//! A container image made from nothing, for engines to load: one layer with one static program, in the layout of
//! `docker save` (manifest.json, a configuration, a tar per layer), which every engine reads.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use crate::arch::Arch;
use crate::tool;

/// What the container does: says who it is there, and its arguments; `sleep` stays.
const PROGRAM: &str = r#"
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid = status.lines().find(|line| line.starts_with("Uid:")).unwrap_or_default().to_owned();
    println!("hello from a container: {} [{}] pid {}", arguments.join(" "), uid, std::process::id());
    if arguments.first().is_some_and(|word| word == "sleep") {
        loop { std::thread::sleep(std::time::Duration::from_secs(60)); }
    }
}
"#;

/// Builds the program and the image in `folder`; returns the tar file. The image's name is `localhost/NAME:latest`.
pub fn archive(folder: &Path, name: &str, arch: Arch) -> Result<PathBuf> {
    let stage = folder.join("image");
    let layer = folder.join("layer");
    for made in [&stage, &layer] {
        fs::create_dir_all(made).with_context(|| format!("cannot make {}", made.display()))?;
    }
    compile(folder, &layer.join("hello"), arch)?;
    pack(&stage.join("layer.tar"), &layer, &["hello"])?;
    let digest = sha256(&stage.join("layer.tar"))?;
    let config = json!({
        "architecture": arch.debian(),
        "os": "linux",
        "config": { "Entrypoint": ["/hello"], "Env": ["PATH=/"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        "history": [{ "created": "2026-01-01T00:00:00Z", "created_by": "by hand" }],
    });
    let manifest = json!([{
        "Config": "config.json",
        "RepoTags": [format!("localhost/{name}:latest")],
        "Layers": ["layer.tar"],
    }]);
    fs::write(stage.join("config.json"), config.to_string())?;
    fs::write(stage.join("manifest.json"), manifest.to_string())?;
    let tar = folder.join(format!("{name}.tar"));
    pack(&tar, &stage, &["manifest.json", "config.json", "layer.tar"])?;
    Ok(tar)
}

fn compile(folder: &Path, to: &Path, arch: Arch) -> Result<()> {
    let source = folder.join("hello.rs");
    fs::write(&source, PROGRAM)?;
    let mut command = tool::command("rustc");
    command.args(["--edition", "2024", "-O", "-Ctarget-feature=+crt-static", "--target", arch.target()]);
    if arch != Arch::host() {
        command.arg(format!("-Clinker={}", arch.linker()));
    }
    command.arg("-o").arg(to).arg(&source);
    tool::output(&mut command).map(drop)
}

fn pack(tar: &Path, folder: &Path, names: &[&str]) -> Result<()> {
    let mut command = tool::command("tar");
    command.args(["--owner=0", "--group=0", "--numeric-owner", "-C"]).arg(folder).arg("-cf").arg(tar).args(names);
    tool::output(&mut command).map(drop)
}

fn sha256(path: &Path) -> Result<String> {
    let output = tool::output(tool::command("sha256sum").arg(path))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().next().map(str::to_owned).context("sha256sum printed nothing")
}
