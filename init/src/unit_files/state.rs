//! What is said of a unit's file in a word (systemctl(1), "is-enabled").

use std::fs;
use std::path::{Path, PathBuf};

use ashlar_config::systemd::install::Install;
use ashlar_config::systemd::template_of;

use super::index::{Found, Index, is_mask};
use super::{ADMINISTRATORS, GENERATED, RUNTIME};

/// The word for a name. `install` is what its file says; `image`: the units that pull it in by the image's word.
pub fn state_of(index: &Index, name: &str, install: &Install, image: Option<&[String]>) -> &'static str {
    let in_run = |path: &Path| path.starts_with("/run");
    match index.find(name) {
        Some(Found::Masked(path)) if in_run(path) => return "masked-runtime",
        Some(Found::Masked(_)) => return "masked",
        Some(Found::Alias(_)) => return "alias",
        Some(Found::File(path)) if GENERATED.iter().any(|folder| path.starts_with(folder)) => return "generated",
        _ => {}
    }
    for (folder, word) in [(ADMINISTRATORS, "enabled"), (RUNTIME, "enabled-runtime")] {
        if !links_to(Path::new(folder), name).is_empty() {
            return word;
        }
    }
    if let (Some(pulls), None) = (image, index.find(name)) {
        return match () {
            () if pulls.is_empty() => "static",
            () if pulls.iter().all(|by| index.is_pull_masked(by, name)) => "disabled",
            () => "enabled",
        };
    }
    let linked = |path: &Path| fs::read_link(path).is_ok();
    match index.find(name) {
        Some(Found::File(path)) if linked(path) && !install.says_something() => {
            if in_run(path) {
                "linked-runtime"
            } else {
                "linked"
            }
        }
        _ if install.says_something() => "disabled",
        _ if !install.also.is_empty() => "indirect",
        _ => "static",
    }
}

/// Links of a folder, and of those for pulls in it, that lead to a unit. A template's are those of its instances.
pub fn links_to(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut links = Vec::new();
    let mut folders = vec![folder.to_owned()];
    let children = || fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    folders.extend(children().filter(|path| super::pulls(path) && path.is_dir()));
    for within in folders {
        let top = within == folder;
        for path in fs::read_dir(&within).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let Ok(target) = fs::read_link(&path) else { continue };
            let own = path.file_name().and_then(|own| own.to_str()).unwrap_or_default();
            let base = target.file_name().and_then(|base| base.to_str()).unwrap_or_default();
            let means = |text: &str| text == name || template_of(text).as_deref() == Some(name);
            // A link of its own name at the top is its file.
            let is_file = top && own == name;
            if !is_file && !is_mask(&path) && (means(own) || base == name) {
                links.push(path);
            }
        }
    }
    links.sort();
    links
}
