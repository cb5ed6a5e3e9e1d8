//! What people are told: whose keys count, what waits for whom, and what a document says that they are asked to sign.

use std::fmt::Write as _;

use ashlar_formats::tuf::{Document, KeyId, Release, RoleName, Root, Targets};

use super::folder::{Folder, Need, Waiting, short};

impl Folder {
    /// The whole folder.
    pub fn state(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        if let Some(root) = &self.newest {
            let path = self.root_path(root.common.version);
            let _ = writeln!(text, "{}: good until {}", path.display(), root.common.expires);
            text += &self.roles(root);
        }
        for waiting in self.waiting()? {
            text += &self.lacks(&waiting)?;
        }
        self.refused.iter().for_each(|why| _ = writeln!(text, "  {why}"));
        let is_used = |id| {
            let of_waiting = self.waiting().unwrap_or_default().into_iter();
            let waiting = of_waiting.filter_map(|waiting| waiting.document.content::<Root>().ok());
            self.newest.iter().cloned().chain(waiting).any(|root| root.keys.contains_key(id))
        };
        for key in self.keys.iter().filter(|key| !is_used(&key.id)) {
            let _ = writeln!(text, "{}: counts for nothing any more", key.path.display());
        }
        Ok(text)
    }

    /// A line for each role.
    fn roles(&self, root: &Root) -> String {
        let line = |name: RoleName| {
            let role = root.roles.get(name);
            let keys: Vec<String> = role.keyids.iter().map(|id| self.name(id)).collect();
            format!("  {:10} {} of {}: {}\n", name.to_string(), role.threshold, keys.len(), keys.join(", "))
        };
        RoleName::ALL.into_iter().map(line).collect()
    }

    /// A document's signatures, those that it needs, and what to do about them.
    pub fn lacks(&self, waiting: &Waiting) -> anyhow::Result<String> {
        let (path, mut text) = (waiting.path.display(), String::new());
        let _ = writeln!(text, "{path}: waits for signatures");
        if let Ok(root) = waiting.document.content::<Root>() {
            text += &self.roles(&root);
        }
        for need in &waiting.needs {
            let _ = writeln!(text, "  {}", self.lack(need, &waiting.document)?);
        }
        let _ = writeln!(
            text,
            "  who has such a key: `ashlar keys sign FILE --key KEY` with this file or a copy of it; a copy comes back with \
             `ashlar keys collect {} COPY`",
            self.path.display()
        );
        Ok(text)
    }

    /// `targets: 1 of 2 signed (targets-1.pem); 1 more of targets-2.pub, targets-3.pub`
    pub fn lack(&self, need: &Need, document: &Document) -> anyhow::Result<String> {
        let signers = document.signers(&need.role, &need.keys)?;
        let did = |id: &KeyId| signers.iter().any(|signature| signature.keyid == *id);
        let names = |signed: bool| {
            let keyids = need.role.keyids.iter().filter(|id| did(id) == signed);
            keyids.map(|id| self.name(id)).collect::<Vec<_>>().join(", ")
        };
        let (count, threshold) = (signers.len(), need.role.threshold.get() as usize);
        let mut text = format!("keys of {}: {count} of {threshold} signed", need.whose);
        if count > 0 {
            let _ = write!(text, " ({})", names(true));
        }
        if count < threshold {
            let _ = write!(text, "; {} more of {}", threshold - count, names(false));
        }
        Ok(text)
    }
}

/// What a document says, for who is asked to sign it.
pub fn describe(document: &Document) -> anyhow::Result<String> {
    let mut text = String::new();
    if let Ok(root) = document.content::<Root>() {
        let _ = writeln!(text, "root {}, good until {}", root.common.version, root.common.expires);
        for name in RoleName::ALL {
            let role = root.roles.get(name);
            let keys: Vec<&str> = role.keyids.iter().map(short).collect();
            let _ =
                writeln!(text, "  {:10} {} of {}: {}", name.to_string(), role.threshold, keys.len(), keys.join(", "));
        }
    } else {
        let targets: Targets = document.content()?;
        let _ = writeln!(text, "targets {}, good until {}", targets.common.version, targets.common.expires);
        let told = targets.targets.values().filter_map(|target| target.custom.get("release"));
        for release in told.filter_map(|release| serde_json::from_value::<Release>(release.clone()).ok()) {
            let Release { image, version, arch, date, channels, withdrawn, .. } = release;
            let channels = channels.join(", ");
            let withdrawn = withdrawn.map(|why| format!(", withdrawn: {why}")).unwrap_or_default();
            let _ = writeln!(text, "  {image} {version} for {arch}, of {date}, in {channels}{withdrawn}");
        }
        if targets.delegations.is_some() {
            text += "  it lets others offer files, too: look at `delegations`\n";
        }
    }
    Ok(text)
}
