//! Kernel modules of the initramfs: /modules/load names their files, one a line, each after what it needs.
//!
//! A driver is loaded when there is a device for it, as udev would do; what is no driver, such as a file system, always.
//! So an image may bring drivers for many machines, and each machine pays for its own. Devices come up while we run, and
//! by what is loaded: [`Modules::load`] is called again for as long as the root is looked for. SCSI and SATA hosts, which
//! many machines have and few boot from, take long to look for their disks: they have to wait until no other disk has the
//! root. Modules that are compressed do not say what they drive, and are all loaded.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use ashlar_sys::kernel_module;

use crate::error::Error;
use crate::module_info::{ModuleInfo, module_name};

const FOLDER: &str = "/modules";
const PROCESSOR: &str = "/sys/devices/system/cpu/modalias";
/// What drivers of slow hosts need.
const SLOW: &str = "scsi_mod";
/// errno(3): it is there already, it drives hardware that is not there.
const EEXIST: i32 = 17;
const ENODEV: i32 = 19;

/// The modules that are not loaded yet, in order.
#[derive(Debug, Default)]
pub struct Modules(Vec<Module>);

#[derive(Debug)]
struct Module {
    path: PathBuf,
    name: String,
    /// `None`: it does not say.
    info: Option<ModuleInfo>,
}

impl Modules {
    /// Reads the list. An initramfs without one has a kernel that needs none.
    pub fn read() -> Result<Self, Error> {
        let list = Path::new(FOLDER).join("load");
        match fs::read_to_string(&list) {
            Ok(text) => files(&text).map(|path| Module::read(&path)).collect::<Result<_, _>>().map(Self),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::at(list)(error)),
        }
    }

    /// Loads what this machine needs now, drivers of slow hosts only if nothing else helps; each loaded one may bring
    /// devices that need more.
    pub fn load(&mut self, slow: bool) -> Result<(), Error> {
        loop {
            let wanted = self.wanted(&devices(), slow);
            let (now, later): (Vec<_>, Vec<_>) = self.0.drain(..).partition(|module| wanted.contains(&module.name));
            self.0 = later;
            if now.is_empty() {
                return Ok(());
            }
            now.iter().try_for_each(Module::load)?;
        }
    }

    /// Names of what is needed for these devices, and of what that needs.
    fn wanted(&self, devices: &[String], slow: bool) -> BTreeSet<String> {
        let needed: BTreeSet<&String> = self.0.iter().flat_map(Module::needs).collect();
        let is_wanted = |module: &&Module| match &module.info {
            None => true,
            Some(info) if info.devices.is_empty() => !needed.contains(&module.name),
            Some(info) => info.drives(devices),
        };
        let with_needs = self.0.iter().filter(is_wanted).map(|module| self.with_needs(module));
        with_needs.filter(|modules| slow || !modules.contains(SLOW)).flatten().collect()
    }

    /// A module and, as far as they are in the list, all that it needs.
    fn with_needs(&self, module: &Module) -> BTreeSet<String> {
        let mut names = BTreeSet::from([module.name.clone()]);
        // What a module needs stands before it.
        for other in self.0.iter().rev().filter(|other| !other.needs().is_empty()) {
            if names.contains(&other.name) {
                names.extend(other.needs().iter().cloned());
            }
        }
        names
    }
}

impl Module {
    fn read(path: &Path) -> Result<Self, Error> {
        let name = module_name(&path.file_name().unwrap_or_default().to_string_lossy());
        let info = ModuleInfo::read(&open(path)?).map_err(Error::at(path))?;
        Ok(Self { path: path.to_owned(), name, info })
    }

    fn needs(&self) -> &[String] {
        self.info.as_ref().map_or(&[], |info| &info.needs)
    }

    fn load(&self) -> Result<(), Error> {
        let compressed = self.path.extension().is_some_and(|extension| extension != "ko");
        match kernel_module::load(&open(&self.path)?, compressed, "") {
            Err(error) if !matches!(error.raw_os_error(), Some(EEXIST | ENODEV)) => {
                Err(Error::ModuleRefused { path: self.path.clone(), source: error })
            }
            _ => Ok(()),
        }
    }
}

fn files(list: &str) -> impl Iterator<Item = PathBuf> {
    let lines = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| Path::new(FOLDER).join(line))
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::ModuleMissing(path.into()),
        _ => Error::at(path)(error),
    })
}

/// What the buses say of the devices that are there, and what input devices and the processor, on no bus, say of
/// themselves.
fn devices() -> Vec<String> {
    let list = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let on_buses = list("/sys/bus".into()).flat_map(|bus| list(bus.join("devices")));
    let found = on_buses.chain(list("/sys/class/input".into()));
    let paths = found.map(|device| device.join("modalias")).chain([PathBuf::from(PROCESSOR)]);
    let devices: BTreeSet<String> = paths.filter_map(|path| fs::read_to_string(path).ok()).collect();
    devices.iter().map(|text| text.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, devices: &[&str], needs: &[&str]) -> Module {
        let list = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let info = ModuleInfo { devices: list(devices), needs: list(needs) };
        Module { path: name.into(), name: name.into(), info: Some(info) }
    }

    #[test]
    fn a_machine_pays_for_its_own_drivers() {
        let modules = Modules(vec![
            module("virtio_blk", &["virtio:d00000002v*"], &[]),
            module("dm_mod", &[], &[]),
            module("dm_verity", &[], &["dm_mod", "built_in"]),
            module("scsi_common", &[], &[]),
            module("scsi_mod", &[], &["scsi_common"]),
            module("virtio_scsi", &["virtio:d00000008v*"], &["scsi_mod"]),
            module("sd_mod", &["scsi:t-0x00*"], &["scsi_mod", "scsi_common"]),
            Module { path: "packed.ko.xz".into(), name: "packed".into(), info: None },
        ]);
        let check = |devices: &[&str], expect: &[&str]| {
            let devices: Vec<String> = devices.iter().map(|device| (*device).to_owned()).collect();
            let mut wanted = modules.wanted(&devices, true);
            wanted.remove("built_in");
            assert_eq!(wanted.iter().map(String::as_str).collect::<Vec<_>>(), expect, "{devices:?}");
        };
        check(&[], &["dm_mod", "dm_verity", "packed"]);
        check(&["virtio:d00000002v00001AF4"], &["dm_mod", "dm_verity", "packed", "virtio_blk"]);
        check(
            &["virtio:d00000008v00001AF4"],
            &["dm_mod", "dm_verity", "packed", "scsi_common", "scsi_mod", "virtio_scsi"],
        );
        check(&["scsi:t-0x00"], &["dm_mod", "dm_verity", "packed", "scsi_common", "scsi_mod", "sd_mod"]);
        let quick = modules.wanted(&["virtio:d00000008v00001AF4".to_owned()], false);
        assert!(quick.contains("dm_mod") && !quick.contains("virtio_scsi") && !quick.contains("scsi_common"));
    }

    #[test]
    fn lists() {
        let check = |list, expect: &[&str]| {
            let files: Vec<PathBuf> = files(list).collect();
            assert_eq!(files, expect.iter().map(PathBuf::from).collect::<Vec<_>>(), "{list}");
        };
        check("virtio_blk.ko\n\n# verity\ndm-mod.ko.xz\n", &["/modules/virtio_blk.ko", "/modules/dm-mod.ko.xz"]);
        check("", &[]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Module::read(Path::new("/modules/nothing.ko")).unwrap_err();
        assert_eq!(error.to_string(), "/modules/nothing.ko is listed in /modules/load, but is not there");
    }
}
