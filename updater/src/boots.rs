//! What the boot loader has to choose from, and what it will take: for `os explain boot`.

use std::cmp::Ordering;
use std::fs;

use ashlar_config::boot_entry::{BootEntry, Standing};
use ashlar_config::boot_record::{self, BootRecord};
use ashlar_config::version::compare;
use ashlar_control::update::{Boots, Entry};

use crate::boot::{self, Boot};
use crate::error::Error;
use crate::esp::Esp;

/// Reads the boot entries, and the count of boots that never became ready.
pub fn read() -> Result<Boots, Error> {
    let boot = Boot::read()?;
    let esp = Esp::mount(&boot)?;
    let mut entries = esp.entries()?;
    entries.sort_by(order);
    let next = entries.first().map(|entry| entry.version.clone()).unwrap_or_default();
    let entries = entries.iter().map(|entry| described(&esp, entry, &boot)).collect::<Result<_, _>>()?;
    let record = BootRecord::parse(&fs::read(esp.path(boot_record::FILE)).unwrap_or_default());
    let unready = if record.version == boot.version { record.unready } else { 0 };
    Ok(Boots {
        version: boot.version,
        slot: boot.slot,
        root_hash: boot.root_hash,
        standing: boot::standing(),
        next,
        entries,
        unready,
        limit: boot_record::LIMIT,
    })
}

/// As systemd-boot sorts them: without tries left comes last, then the newer version comes first.
fn order(one: &BootEntry, two: &BootEntry) -> Ordering {
    one.is_bad().cmp(&two.is_bad()).then_with(|| compare(&two.version, &one.version))
}

fn described(esp: &Esp, entry: &BootEntry, boot: &Boot) -> Result<Entry, Error> {
    let runs = entry.version == boot.version;
    let standing = match (entry.is_bad(), entry.standing()) {
        // The last try has none left while it runs.
        (true, _) if !runs => Standing::Condemned,
        (_, standing) => standing,
    };
    Ok(Entry {
        file: entry.file(),
        version: entry.version.clone(),
        root_hash: esp.root_of(entry)?.to_string(),
        runs,
        standing: standing.name().to_owned(),
        tries: entry.counter.map(|(left, _)| left),
        failed: entry.counter.map_or(0, |(_, failed)| failed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_order() {
        let check = |files: &[&str], expect: &str| {
            let mut entries: Vec<BootEntry> = files.iter().filter_map(|file| BootEntry::parse(file)).collect();
            entries.sort_by(order);
            assert_eq!(entries[0].file(), expect);
        };
        check(&["ashlar_0.9.0.efi", "ashlar_0.10.0.efi"], "ashlar_0.10.0.efi");
        check(&["ashlar_0.1.0.efi", "ashlar_0.2.0+0-3.efi"], "ashlar_0.1.0.efi");
        check(&["ashlar_0.1.0.efi", "ashlar_0.2.0+1-2.efi"], "ashlar_0.2.0+1-2.efi");
        check(&["ashlar_0.1.0+0-3.efi", "ashlar_0.2.0+0-3.efi"], "ashlar_0.2.0+0-3.efi");
    }
}
