//! Where the configuration comes from: `ashlar/machine.toml` on the EFI system partition, and over it, key by key, what a
//! virtual machine's host passes by QEMU's fw_cfg as `opt/io.ashlar/machine.toml`. Whoever runs the machine's host has
//! the last word anyway.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use ashlar_config::machine::{self, LIMIT, Machine};
use ashlar_sys::filesystem as fsys;
use serde::Deserialize;

use crate::report::Report;
use crate::trial;

const BOOT: &str = "/run/ashlar/boot.json";
const ESP: &str = "/run/ashlar/esp";
const FILE: &str = "ashlar/machine.toml";
const ENTRIES: &str = "EFI/Linux";
const FW_CFG: &str = "/sys/firmware/qemu_fw_cfg";
const FW_CFG_FILE: &str = "/sys/firmware/qemu_fw_cfg/by_name/opt/io.ashlar/machine.toml/raw";
/// How QEMU's device is called where ACPI or a device tree describes it.
const FW_CFG_DEVICES: [&str; 3] =
    ["/sys/bus/acpi/devices/QEMU0002:00", "/proc/device-tree/fw-cfg@9020000", "/sys/bus/platform/devices/QEMU0002:00"];

/// What is needed of boot.json.
#[derive(Deserialize)]
struct Boot {
    esp: Option<String>,
    version: String,
}

/// Reads all sources; none is needed.
pub fn read(report: &mut Report) -> Machine {
    let (esp, host) = (of_esp(), limited(Path::new(FW_CFG_FILE), find_fw_cfg));
    if matches!((&esp, &host), (Ok(None), Ok(None))) {
        Report::note("there is no ashlar/machine.toml on the EFI system partition: nobody can log in");
    }
    let mut sound = |words, text: Result<Option<String>>| {
        text.unwrap_or_else(|error| {
            report.failure(words, &error);
            None
        })
    };
    let esp = sound("read the configuration on the EFI system partition", esp);
    let host = sound("read the configuration that the host passes", host);
    let mut parsed = |file, text: Option<String>| {
        let (machine, errors) = machine::parse(file, &text?);
        errors.iter().for_each(|error| report.mistake(error));
        Some(machine)
    };
    let (esp, host) = (parsed(FILE, esp), parsed("fw_cfg machine.toml", host));
    let under = esp.unwrap_or_default();
    match host {
        Some(over) => under.overridden_by(over),
        None => under,
    }
}

/// The partition is mounted only as long as it is looked at: the updater writes to it.
fn of_esp() -> Result<Option<String>> {
    let text = fs::read_to_string(BOOT).with_context(|| format!("read {BOOT}"))?;
    let boot: Boot = serde_json::from_str(&text).with_context(|| format!("read {BOOT}"))?;
    let Some(device) = boot.esp else { return Ok(None) };
    mount(&device)?;
    let text = limited(&Path::new(ESP).join(FILE), || Ok(()));
    let trial = trial::note(&Path::new(ESP).join(ENTRIES), &boot.version);
    fsys::unmount(Path::new(ESP), true).with_context(|| format!("unmount {ESP}"))?;
    trial.and(text)
}

/// Mounts the partition read-only.
fn mount(device: &str) -> Result<()> {
    fs::create_dir_all(ESP).with_context(|| format!("make {ESP}"))?;
    let flags = fsys::READ_ONLY | fsys::NO_SUID | fsys::NO_DEVICES | fsys::NO_EXEC;
    fsys::mount(device, Path::new(ESP), "vfat", flags, "umask=0077").with_context(|| format!("mount {device}"))
}

/// Loads the driver where the device is there and nobody has done so yet.
fn find_fw_cfg() -> Result<()> {
    let is_there = FW_CFG_DEVICES.iter().any(|path| Path::new(path).exists());
    if is_there && !Path::new(FW_CFG).exists() {
        Command::new("/usr/sbin/modprobe").arg("qemu_fw_cfg").status().context("start modprobe")?;
    }
    Ok(())
}

/// A file's text, if there is one once `prepare` is done. One byte more than the limit is read, so that the parser says
/// that it is too much.
fn limited(path: &Path, prepare: impl FnOnce() -> Result<()>) -> Result<Option<String>> {
    prepare()?;
    let file = match File::open(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        file => file.with_context(|| format!("open {}", path.display()))?,
    };
    let mut bytes = Vec::new();
    file.take(LIMIT as u64 + 1).read_to_end(&mut bytes).with_context(|| format!("read {}", path.display()))?;
    // A letter that is no UTF-8 is a mistake in its line, not in the file.
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
