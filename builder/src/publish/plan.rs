//! `ashlar publish --plan`: what a release would cost the machines that run the versions before it, by each of the roads
//! that they have. Nothing is published.

use std::convert::Infallible;
use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::Context as _;
use ashlar_formats::alike::{self, Kind};
use ashlar_formats::tuf::{self, FILES, target_name};
use ashlar_formats::verity::BLOCK;

use super::shop::Shop;
use super::{ROOT, TOLD_WITH, kept, make_patch, patch};
use crate::assemble::Release;

/// Bytes that a machine fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Roads {
    /// As patches of what it has, where they are less.
    patch: u64,
    /// The blocks of the root that it does not have, and what the other files have not in common with its own.
    blocks: u64,
}

/// Prints a line for each version before it.
///
/// # Errors
/// A file cannot be read, or a patch not made.
pub fn show(shop: &Shop, folder: &Path, release: &Release, older: &[tuf::Release]) -> anyhow::Result<()> {
    let whole = FILES.iter().map(|file| size(&folder.join(file))).sum::<anyhow::Result<u64>>()?;
    let mut rows = Vec::new();
    for from in older {
        let roads = roads(shop, folder, from).with_context(|| format!("plan the way from version {}", from.version))?;
        rows.push((from.version.clone(), roads));
    }
    let what = format!("{} {} for {}", release.image, release.version, release.arch);
    print!("{}", render(&what, whole, &rows));
    Ok(())
}

fn roads(shop: &Shop, folder: &Path, from: &tuf::Release) -> anyhow::Result<Option<Roads>> {
    let mut roads = Roads { patch: 0, blocks: 0 };
    for file in FILES {
        let new = folder.join(file);
        if shop.file(&target_name(&from.image, &from.arch, &from.version, file))?.is_none() {
            return Ok(None);
        }
        let made = make_patch(shop, from, file, &new, &folder.join(TOLD_WITH));
        let patched = made.and_then(|head| head.map_or(Ok(0), |_| size(&shop.scratch())));
        let _ = fs::remove_file(shop.scratch());
        let whole = size(&new)?;
        roads.patch += patched?.min(whole);
        let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
        let both = |file: &str| Ok::<_, anyhow::Error>((read(&kept(shop, from, file)?)?, read(&folder.join(file))?));
        roads.blocks += match file {
            ROOT => {
                let (before, after) = both(TOLD_WITH)?;
                patch::new_blocks(&before, &after)? * BLOCK as u64
            }
            TOLD_WITH => alike(Kind::Tree, &both(file)?),
            _ => alike(Kind::Uki, &both(file)?),
        };
    }
    Ok(Some(roads))
}

/// Bytes that a machine with the one fetches of the other.
fn alike(kind: Kind, (before, after): &(Vec<u8>, Vec<u8>)) -> u64 {
    let whole = after.len() as u64;
    let mut read = |range: Range<u64>| Ok::<_, Infallible>(after[range.start as usize..range.end as usize].to_vec());
    let Ok(parts) = kind.parts(before, whole, &mut read);
    parts.map_or(whole, |parts| {
        // A machine notices a wrong guess when it has put them together.
        let is_right = alike::made(&parts, before, after) == *after;
        alike::cost(&parts) + if is_right { 0 } else { whole }
    })
}

fn size(path: &Path) -> anyhow::Result<u64> {
    Ok(path.metadata().with_context(|| format!("read {}", path.display()))?.len())
}

fn render(what: &str, whole: u64, rows: &[(String, Option<Roads>)]) -> String {
    let mega = |bytes: u64| format!("{:.2} MB", bytes as f64 / 1e6);
    let head = format!("{what}: {} as a whole", mega(whole));
    if rows.is_empty() {
        return head + "; no version before it is published\n";
    }
    let mut text = format!("{head}\n{:14}{:>12}{:>12}\n", "from", "patches", "blocks");
    for (version, roads) in rows {
        text += &match roads {
            Some(Roads { patch, blocks }) => format!("{version:14}{:>12}{:>12}\n", mega(*patch), mega(*blocks)),
            None => format!("{version:14}  is not kept any more: fetches blocks\n"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_version() {
        let roads = Roads { patch: 20_000, blocks: 14_200_000 };
        let rows = [("0.2.0".to_owned(), Some(roads)), ("0.1.0".to_owned(), None)];
        let expect = "base 0.3.0 for x86_64: 140.40 MB as a whole\n\
                      from               patches      blocks\n\
                      0.2.0              0.02 MB    14.20 MB\n\
                      0.1.0           is not kept any more: fetches blocks\n";
        assert_eq!(render("base 0.3.0 for x86_64", 140_400_000, &rows), expect);
        assert!(render("x", 1, &[]).ends_with("no version before it is published\n"));
    }
}
