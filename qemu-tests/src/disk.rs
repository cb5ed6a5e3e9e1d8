//! A machine's disk as a file on this host: sparse copies of an image, its partitions, files on the ESP by mtools, and
//! single bytes, whether the machine runs or not.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use crate::tool;

const SECTOR: u64 = 512;

/// A raw disk.
#[derive(Debug, Clone)]
pub struct Disk {
    /// The file.
    pub path: PathBuf,
}

/// A GPT entry, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// First byte.
    pub start: u64,
    /// Length.
    pub length: u64,
}

impl Disk {
    /// A sparse copy of an image, as large as asked; never smaller than the image.
    pub fn copy(image: &Path, to: &Path, size: u64) -> Result<Self> {
        tool::output(tool::command("cp").args(["--sparse=always", "--reflink=auto"]).arg(image).arg(to))?;
        let file = OpenOptions::new().write(true).open(to).with_context(|| format!("cannot open {}", to.display()))?;
        let length = file.metadata()?.len();
        file.set_len(length.max(size)).with_context(|| format!("cannot grow {}", to.display()))?;
        Ok(Self { path: to.into() })
    }

    /// The partitions, in the table's order.
    pub fn partitions(&self) -> Result<Vec<Partition>> {
        let mut table = vec![0; 34 * SECTOR as usize];
        self.open()?.read_exact_at(&mut table, 0).with_context(|| format!("cannot read {}", self.path.display()))?;
        partitions_in(&table).ok_or_else(|| anyhow!("{} has no GPT", self.path.display()))
    }

    /// A partition by its name.
    pub fn partition(&self, name: &str) -> Result<Partition> {
        let found = self.partitions()?.into_iter().find(|partition| partition.name == name);
        found.ok_or_else(|| anyhow!("{} has no partition {name}", self.path.display()))
    }

    /// Bytes of a partition.
    pub fn read(&self, partition: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        let place = self.partition(partition)?;
        let mut bytes = vec![0; length];
        self.open()?.read_exact_at(&mut bytes, place.start + offset)?;
        Ok(bytes)
    }

    /// Writes bytes of a partition.
    pub fn write(&self, partition: &str, offset: u64, bytes: &[u8]) -> Result<()> {
        let place = self.partition(partition)?;
        if offset + bytes.len() as u64 > place.length {
            bail!("byte {offset} lies behind the end of {partition}");
        }
        Ok(self.open()?.write_all_at(bytes, place.start + offset)?)
    }

    /// Turns every bit of one byte of a partition.
    pub fn flip(&self, partition: &str, offset: u64) -> Result<()> {
        let byte = self.read(partition, offset, 1)?[0];
        self.write(partition, offset, &[!byte])
    }

    /// A partition as a file of its own.
    pub fn extract(&self, partition: &str, to: &Path) -> Result<()> {
        let place = self.partition(partition)?;
        let skip = format!("skip={}", place.start);
        let count = format!("count={}", place.length);
        let mut command = tool::command("dd");
        command.arg(format!("if={}", self.path.display())).arg(format!("of={}", to.display()));
        command.args(["bs=1M", "iflag=skip_bytes,count_bytes", "conv=sparse", "status=none", &skip, &count]);
        tool::output(&mut command).map(drop)
    }

    /// Puts a file on the ESP, in place of one that is there; `path` is relative to its top.
    pub fn put_on_esp(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let mut source = self.path.clone();
        source.set_extension("esp-file");
        fs::write(&source, bytes).with_context(|| format!("cannot write {}", source.display()))?;
        let folders: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
        for end in folders {
            // A folder that is there already is no reason to stop.
            let _ = self.mtools("mmd")?.args(["-D", "s", &format!("::{}", &path[..end])]).output();
        }
        let result = tool::output(self.mtools("mcopy")?.arg("-o").arg(&source).arg(format!("::{path}")));
        let _ = fs::remove_file(source);
        result.map(drop)
    }

    /// A file of the ESP.
    pub fn get_from_esp(&self, path: &str) -> Result<Vec<u8>> {
        Ok(tool::output(self.mtools("mtype")?.arg(format!("::{path}")))?.stdout)
    }

    /// The names in a folder of the ESP.
    pub fn list_esp(&self, path: &str) -> Result<Vec<String>> {
        let output = tool::output(self.mtools("mdir")?.args(["-b", &format!("::{path}")]))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter_map(|line| line.rsplit('/').find(|part| !part.is_empty())).map(str::to_owned).collect())
    }

    fn mtools(&self, program: &str) -> Result<std::process::Command> {
        let esp = self.partition("esp")?;
        let mut command = tool::command(program);
        command.env("MTOOLS_SKIP_CHECK", "1").env("MTOOLSRC", "/dev/null");
        command.arg("-i").arg(format!("{}@@{}", self.path.display(), esp.start));
        Ok(command)
    }

    fn open(&self) -> Result<File> {
        let open = OpenOptions::new().read(true).write(true).open(&self.path);
        open.with_context(|| format!("cannot open {}", self.path.display()))
    }
}

/// Header in sector 1, entries from sector 2 on (UEFI specification, 5.3).
fn partitions_in(table: &[u8]) -> Option<Vec<Partition>> {
    let header = table.get(SECTOR as usize..)?;
    if !header.starts_with(b"EFI PART") {
        return None;
    }
    let number = |at: usize| -> Option<u32> { Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?)) };
    let (count, size) = (number(80)? as usize, number(84)? as usize);
    let entries = header.get(SECTOR as usize..)?.chunks_exact(size.max(128)).take(count);
    Some(entries.filter(|entry| entry[..16] != [0; 16]).map(partition_in).collect())
}

fn partition_in(entry: &[u8]) -> Partition {
    let number = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().unwrap_or_default());
    let (first, last) = (number(32), number(40));
    let units = entry[56..128].chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let name = char::decode_utf16(units.take_while(|unit| *unit != 0)).map(|c| c.unwrap_or('?')).collect();
    Partition { name, start: first * SECTOR, length: (last + 1 - first) * SECTOR }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        let mut table = vec![0; 34 * 512];
        assert_eq!(partitions_in(&table), None);
        table[512..520].copy_from_slice(b"EFI PART");
        table[512 + 80] = 128;
        table[512 + 84] = 128;
        assert_eq!(partitions_in(&table), Some(Vec::new()));
        table[1024] = 1;
        table[1024 + 32..1024 + 34].copy_from_slice(&2048_u16.to_le_bytes());
        table[1024 + 40..1024 + 42].copy_from_slice(&4095_u16.to_le_bytes());
        table[1024 + 56..1024 + 62].copy_from_slice(b"e\0s\0p\0");
        let esp = Partition { name: "esp".into(), start: 1 << 20, length: 1 << 20 };
        assert_eq!(partitions_in(&table), Some(vec![esp]));
    }
}
