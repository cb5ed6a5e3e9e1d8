//! The proof that power may fail at any write. QEMU records a machine's writes and flushes while it takes a version and goes
//! back; every state that a cut could have left is made from that and judged by what a boot loader would do with it; and of
//! each class of states that look different to a boot loader one is really booted.
//!
//! What is assumed of a medium: a sector of 512 bytes is written whole or not at all, and what a flush has confirmed stays.
//! Nothing else: of the writes since the last flush any may have come, in any order and torn between sectors. One kind of
//! cut is not made: a write that was under way while a flush was confirmed stands before it in the log although the flush
//! did not cover it. What is written on purpose is waited for before it is flushed.

pub mod cuts;
pub mod esp;
pub mod examine;
pub mod log;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::disk::Disk;
use cuts::Random;
use examine::{Cut, Findings, Subject};
use log::{SECTOR, Write};

/// Makes the disk that a cut would have left. Of the writes that do not concern the boot loader since the last flush a part
/// came, the same one each time.
pub fn rebuild(subject: &Subject<'_>, cut: &Cut, to: &Path) -> Result<Disk> {
    let size = subject.disk.path.metadata()?.len();
    let disk = Disk::copy(&subject.disk.path, to, size)?;
    let file = OpenOptions::new().write(true).open(to).with_context(|| format!("open {}", to.display()))?;
    let esp = disk.partition("esp")?;
    let (first, last) = (esp.start / SECTOR, (esp.start + esp.length) / SECTOR);
    let mut random = Random(cut.before as u64);
    let elsewhere = |write: &Write| write.sector + write.count <= first || write.sector >= last;
    let since = subject.log.writes(cut.epoch.clone()).filter(elsewhere).filter(|_| random.next() & 1 == 1);
    let writes: Vec<Write> = subject.log.writes(0..cut.before).chain(since).chain(cut.came.iter().copied()).collect();
    for write in &writes {
        file.write_all_at(&subject.log.bytes(write)?, write.sector * SECTOR)?;
    }
    Ok(disk)
}

/// What came of booting a state.
#[derive(Debug, Clone)]
pub struct Booted {
    /// The class's name.
    pub class: String,
    /// What was to be started.
    pub starts: String,
    /// Why that, or the upgrade after it, did not work.
    pub error: Option<String>,
}

/// The document about a run.
pub fn document(findings: &Findings, booted: &[Booted]) -> String {
    let mut text = format!(
        "# What power cuts can do\n\n\
         Written by `cargo xtask powercut`; how it is done, and what is assumed of a medium, stands in\n\
         `qemu-tests/src/powercut.rs`. Recorded: an upgrade, the reboot into it with the firmware's and the boot loader's own\n\
         writes, its trial and commit, the way back, and the commit of that.\n\n\
         | what | how many |\n|---|---|\n\
         | writes of the machine | {} ({:.1} MB) |\n| flushes | {} |\n| states made | {} |\n| different ones | {} |\n\
         | ways in which they look to a boot loader | {} |\n| of these booted | {} |\n| states that do not start | {} |\n\n\
         Each class was booted from one of its states: the machine came up as the version that is named, and a machine that\n\
         was not yet new became so by another `os upgrade`.\n\n\
         | files in EFI/Linux | states | starts | booted |\n|---|---|---|---|\n",
        findings.writes,
        findings.bytes as f64 / 1e6,
        findings.flushes,
        findings.made,
        findings.different,
        findings.classes.len(),
        booted.len(),
        findings.broken.values().map(|broken| broken.states).sum::<usize>(),
    );
    for (name, class) in &findings.classes {
        let result = booted.iter().find(|booted| booted.class == *name).map_or("no", |booted| match booted.error {
            None => "well",
            Some(_) => "**failed**",
        });
        text += &format!("| {name} | {} | {} | {result} |\n", class.states, class.starts);
    }
    text
}
