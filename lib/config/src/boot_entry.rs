//! Boot entries by their file names, as systemd-boot counts them (systemd, "Automatic Boot Assessment"):
//! `ashlar_VERSION+LEFT-FAILED.efi`; without a counter the entry is blessed, without tries left it is bad.

/// Tries of a new version.
pub const TRIES: u32 = 3;
const PREFIX: &str = "ashlar_";
const SUFFIX: &str = ".efi";

/// A name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootEntry {
    /// Version.
    pub version: String,
    /// Tries left and failed; none: blessed.
    pub counter: Option<(u32, u32)>,
}

/// What a name says of the version that runs by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It stays.
    Committed,
    /// This boot is one of its tries.
    Trial,
    /// It had all its tries, and runs for want of another.
    Condemned,
}

impl Standing {
    /// As it is passed on.
    pub fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Trial => "trial",
            Self::Condemned => "condemned",
        }
    }
}

impl BootEntry {
    /// A blessed one.
    pub fn new(version: &str) -> Self {
        Self { version: version.to_owned(), counter: None }
    }

    /// Takes a file name apart; `None` for what is not ours. FAT keeps letters as they were written and finds them
    /// whatever they are.
    pub fn parse(file: &str) -> Option<Self> {
        let file = file.to_ascii_lowercase();
        let rest = file.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let Some((version, counter)) = rest.rsplit_once('+') else { return Some(Self::new(rest)) };
        let (left, failed) = counter.split_once('-').unwrap_or((counter, "0"));
        let counter = (left.parse().ok()?, failed.parse().ok()?);
        Some(Self { version: version.to_owned(), counter: Some(counter) })
    }

    /// The file name.
    pub fn file(&self) -> String {
        match self.counter {
            None => format!("{PREFIX}{}{SUFFIX}", self.version),
            Some((left, 0)) => format!("{PREFIX}{}+{left}{SUFFIX}", self.version),
            Some((left, failed)) => format!("{PREFIX}{}+{left}-{failed}{SUFFIX}", self.version),
        }
    }

    /// It stays.
    pub fn blessed(&self) -> Self {
        Self { counter: None, ..self.clone() }
    }

    /// It is tried, from the beginning.
    pub fn on_trial(&self) -> Self {
        Self { counter: Some((TRIES, 0)), ..self.clone() }
    }

    /// The boot loader takes it only when it has nothing else.
    pub fn bad(&self) -> Self {
        let failed = self.counter.map_or(TRIES, |(left, failed)| left.saturating_add(failed).max(TRIES));
        Self { counter: Some((0, failed)), ..self.clone() }
    }

    /// It has no tries left.
    pub fn is_bad(&self) -> bool {
        matches!(self.counter, Some((0, _)))
    }

    /// What it says once it runs: the loader has counted this boot already, so the last try has none left.
    pub fn standing(&self) -> Standing {
        match self.counter {
            None => Standing::Committed,
            Some((0, failed)) if failed > TRIES => Standing::Condemned,
            Some(_) => Standing::Trial,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        fn check(file: &str, version: &str, counter: Option<(u32, u32)>, standing: Standing) {
            let entry = BootEntry::parse(file).unwrap();
            assert_eq!(
                (entry.version.as_str(), entry.counter, entry.standing()),
                (version, counter, standing),
                "{file}"
            );
        }
        check("ashlar_1.2.efi", "1.2", None, Standing::Committed);
        check("ashlar_1.2+3.efi", "1.2", Some((3, 0)), Standing::Trial);
        check("ASHLAR_1.2+0-3.EFI", "1.2", Some((0, 3)), Standing::Trial);
        check("ashlar_1.2+0-4.efi", "1.2", Some((0, 4)), Standing::Condemned);
        check("ashlar_1-2+2-1.efi", "1-2", Some((2, 1)), Standing::Trial);
        for file in ["linux.efi", "ashlar_1.2", "ashlar_1+x.efi", "NEW.TMP", ""] {
            assert_eq!(BootEntry::parse(file), None, "{file}");
        }
    }

    #[test]
    fn changes() {
        fn check(file: &str, blessed: &str, trial: &str, bad: &str) {
            let entry = BootEntry::parse(file).unwrap();
            assert_eq!([entry.blessed().file(), entry.on_trial().file(), entry.bad().file()], [blessed, trial, bad]);
        }
        check("ashlar_1+2-1.efi", "ashlar_1.efi", "ashlar_1+3.efi", "ashlar_1+0-3.efi");
        check("ashlar_1.efi", "ashlar_1.efi", "ashlar_1+3.efi", "ashlar_1+0-3.efi");
        check("ashlar_1+0-5.efi", "ashlar_1.efi", "ashlar_1+3.efi", "ashlar_1+0-5.efi");
    }
}
