//! The disk: its table is changed as planned, and the kernel is told of it while the root is mounted from there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use ashlar_formats::gpt::Table;
use ashlar_formats::uuid::Uuid;
use ashlar_sys::block_device;
use serde::Deserialize;

use crate::error::Error;
use crate::plan::{BEGUN, COMPLETE, LEAST, Plan, Refusal, plan};
use crate::table;

const BOOT: &str = "/run/ashlar/boot.json";
/// A version 4 UUID at each read.
const RANDOM_ID: &str = "/proc/sys/kernel/random/uuid";
/// sysfs counts in these, whatever a disk's sectors are.
const SYSFS_SECTOR: u64 = 512;

/// What is needed of boot.json.
#[derive(Deserialize)]
struct Boot {
    version: String,
    disk: String,
    esp: Option<String>,
}

impl Boot {
    fn read() -> Result<Self, Error> {
        let text = fs::read_to_string(BOOT).map_err(|error| Error::Boot(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| Error::Boot(error.to_string()))
    }
}

/// The EFI system partition that the machine was booted from.
pub fn esp_of_this_boot() -> Result<Option<String>, Error> {
    Ok(Boot::read()?.esp)
}

/// The open disk.
#[derive(Debug)]
pub struct Disk {
    /// The version that runs.
    pub version: String,
    path: String,
    file: File,
}

impl Disk {
    /// Opens the disk that the machine was booted from.
    pub fn of_this_boot() -> Result<Self, Error> {
        let boot = Boot::read()?;
        let file = OpenOptions::new().read(true).write(true).open(&boot.disk);
        let file = file.map_err(Error::at("open", &boot.disk))?;
        Ok(Self { version: boot.version, path: boot.disk, file })
    }

    /// Makes or finds the state partition; returns the plan that was carried out and the partition's path.
    pub fn lay_out(&mut self) -> Result<(Plan, String), Error> {
        let plan = self.plan()?;
        if plan.is_change {
            self.write(&plan.table)?;
        }
        let device = self.tell_kernel(&plan)?;
        Ok((plan, device))
    }

    /// The file system is complete: from now on it is never made anew.
    pub fn commit(&mut self, plan: &Plan) -> Result<(), Error> {
        self.rename(plan, COMPLETE)
    }

    /// Gives the file system up: the next boot makes a new one.
    pub fn forget(&mut self) -> Result<(), Error> {
        let plan = self.plan()?;
        self.rename(&plan, BEGUN)
    }

    fn rename(&mut self, plan: &Plan, label: &str) -> Result<(), Error> {
        let mut table = plan.table.clone();
        table.rename(plan.number, label).map_err(|source| Error::Table { disk: self.path.clone(), source })?;
        self.write(&table)
    }

    fn plan(&mut self) -> Result<Plan, Error> {
        let bad = |source| Error::Table { disk: self.path.clone(), source };
        let size = self.file.seek(SeekFrom::End(0)).map_err(Error::at("read", &self.path))?;
        let found = Table::read(&mut self.file).map_err(bad)?;
        plan(found, size, new_id()?).map_err(|refusal| match refusal {
            Refusal::Room(free) => Error::Room { disk: self.path.clone(), free: free >> 20, needed: LEAST >> 20 },
            Refusal::Table(source) => bad(source),
        })
    }

    fn write(&mut self, table: &Table) -> Result<(), Error> {
        table::write(table, &mut self.file).map_err(Error::at("write the partition table of", &self.path))
    }

    /// Makes the kernel's partition what the table says; returns its path.
    fn tell_kernel(&self, plan: &Plan) -> Result<String, Error> {
        let partition = plan.table.partitions().find(|(number, _)| *number == plan.number);
        let extent = partition.map_or((0, 0), |(_, partition)| plan.table.extent(partition));
        let (device, number) = (partition_path(&self.path, plan.number), plan.number as u32);
        let told = match known(&self.path, &device) {
            Some(extent_known) if extent_known == extent => Ok(()),
            Some(_) => block_device::resize_partition(&self.file, number, extent.0, extent.1),
            None => block_device::add_partition(&self.file, number, extent.0, extent.1),
        };
        told.map_err(Error::at("tell the kernel of partition", &device))?;
        Ok(device)
    }
}

/// A new identity.
pub fn new_id() -> Result<Uuid, Error> {
    let text = fs::read_to_string(RANDOM_ID).map_err(Error::at("read", RANDOM_ID))?;
    let bad = |error| Error::at("read", RANDOM_ID)(io::Error::new(io::ErrorKind::InvalidData, error));
    text.trim().parse().map_err(bad)
}

/// First byte and length of a partition as the kernel knows it.
fn known(disk: &str, device: &str) -> Option<(u64, u64)> {
    let name = |path: &str| path.trim_start_matches("/dev/").replace('/', "!");
    let folder = Path::new("/sys/class/block").join(name(disk)).join(name(device));
    let number = |file| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    Some((number("start")? * SYSFS_SECTOR, number("size")? * SYSFS_SECTOR))
}

/// The kernel's name of a partition: a letter between two numbers.
fn partition_path(disk: &str, number: usize) -> String {
    let between = if disk.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{between}{number}")
}
