//! What people get wrong before anything is fetched: one row each, through the program itself. What can go wrong with
//! packages and mirrors is tested beside the code that fetches them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const IMAGE: &str =
    "name = 'base'\nversion = '1'\nsuites = ['trixie']\nunits = ['web']\n[kernel.x86_64]\npackage = 'linux'\n";
const UNIT: &str = "description = 'x'\ncommand = ['/bin/sh']\n";
const LOCK: &str = "format = 1\nsuite = 'trixie'\narch = 'x86_64'\ndate = '2026-01-01T00:00:00Z'\n\
    requested = ['base-passwd', 'linux', 'systemd-boot-efi']\nexcluded = ['initramfs-tools', 'linux-base']\npackages = []\n";
const TOOLS: &str = "format = 1\nsuite = 'trixie'\narch = 'x86_64'\ndate = '2026-01-01T00:00:00Z'\n\
    requested = ['erofs-utils', 'kmod', 'qemu-utils']\nexcluded = []\npackages = []\n";

/// A folder with an image, one unit, locks and, but for their content, programs.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let host = std::env::consts::ARCH;
    write(folder.path(), "images/base.toml", IMAGE);
    write(folder.path(), "images/base.x86_64.lock", LOCK);
    write(folder.path(), &format!("images/tools.{host}.lock"), &TOOLS.replace("x86_64", host));
    write(folder.path(), "system-containers/web/unit.toml", UNIT);
    for name in ["ashlar-runtime", "boot", "init", "login", "os", "provision", "state"] {
        write(folder.path(), &format!("programs/{name}"), "not a program");
    }
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn build(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashlar"));
    command.args(["build", "images/base.toml", "--arch", "x86_64", "--cache", "cache", "--output", "out"]);
    command.args(["--programs", "programs"]).args(more).current_dir(folder).output().unwrap()
}

#[track_caller]
fn refused(folder: &Path, more: &[&str], expect: &str) {
    let output = build(folder, more);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.starts_with("error: "), "{said}");
    assert!(said.contains(expect), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(!folder.join("out/disk.raw").exists());
}

#[test]
fn files() {
    let check = |name: &str, text: &str, expect: &str| {
        let project = project();
        write(project.path(), name, text);
        refused(project.path(), &[], expect);
    };
    let image = "images/base.toml";
    check(
        image,
        &format!("packges = []\n{IMAGE}"),
        "images/base.toml:1: unknown key `packges`, did you mean `packages`?",
    );
    check(image, &format!("inherits = ['base.toml']\n{IMAGE}"), "images/base.toml:1: `inherits` goes in a circle");
    check(image, &format!("inherits = ['other.toml']\n{IMAGE}"), "images/base.toml:1: inherit from images/other.toml");
    check(image, &IMAGE.replace("'web'", "'wep'"), "images/base.toml:4: find unit `wep`");
    check(image, &IMAGE.replace("'web'", "'wep'"), "did you mean `web`?");
    check(image, &IMAGE.replace("'web'", "'web', 'web'"), "images/base.toml:4: unit `web` is there already");
    check(
        image,
        &IMAGE.replace("linux", "linux-rt"),
        "use lock images/base.x86_64.lock: it was made for something else (asked for now: linux-rt, no longer asked for: linux)",
    );
    check(image, &IMAGE.replace("[kernel.x86_64]", "[kernel.aarch64]"), "name a kernel for x86_64");
    check("images/base.x86_64.lock", "format = 7", "read lock images/base.x86_64.lock");
    let unit = "system-containers/web/unit.toml";
    check(unit, &format!("{UNIT}comand = 1"), "system-containers/web/unit.toml:3: unknown key `comand`");
    check(unit, &format!("{UNIT}[files]\n'/etc/x' = 'x.conf'"), "`x.conf` in `files` is not in the unit's folder");
    check(unit, &format!("{UNIT}[files]\n'/etc/../x' = 'x'"), "`/etc/../x` in `files` is no absolute path");
    check("programs/boot", "\u{7f}ELF", "use program programs/");
}

#[test]
fn missing_files() {
    let check = |name: &str, expect: &str| {
        let project = project();
        fs::remove_file(project.path().join(name)).unwrap();
        refused(project.path(), &[], expect);
    };
    check("images/base.toml", "images/base.toml: cannot be read");
    check("images/base.x86_64.lock", "there is none; run `ashlar lock`");
    check("programs/login", "find program `login` for x86_64: there is no programs/login");
}

#[test]
fn arguments() {
    let project = project();
    refused(project.path(), &["--version", "1+2"], "--version: `1+2` is no version");
    refused(project.path(), &["--version", "123456789012"], "is longer than 11 characters");
}

#[test]
fn an_output_folder_that_cannot_be_made() {
    let project = project();
    let script = [0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 62, 0];
    for name in ["ashlar-runtime", "boot", "init", "login", "os", "provision", "state"] {
        fs::write(project.path().join("programs").join(name), script).unwrap();
    }
    fs::write(project.path().join("out"), "a file").unwrap();
    refused(project.path(), &[], "open output folder out");
}
