//! What was counted, as docs/directives.md.

use std::fmt::Write as _;

use super::count::{Count, Directive};

/// Values that are shown of a directive.
const SHOWN: usize = 4;

/// The page. `packages`: how many packages brought the units.
pub fn write(count: &Count, packages: Option<usize>) -> String {
    let mut page = String::from("# What PID 1 makes of Debian's unit files\n\n");
    let units = count.as_written + count.with_told + count.refused.len();
    let total = count.directives.values();
    let sum = |get: fn(&Directive) -> usize| total.clone().map(get).sum::<usize>();
    let (all, understood) = (sum(Directive::all), sum(|directive| directive.understood));
    let (told, refused) = (sum(|directive| directive.told), sum(|directive| directive.refused));
    if let Some(packages) = packages {
        page += "Written by `cargo xtask directives`, which reads the unit files of Debian 13's packages with the tables \
                 that PID 1\nreads them with: those of the image's lock, and of ";
        let _ = writeln!(
            page,
            "[packages that servers run](../xtask/src/directives/packages.txt).\n{packages} of them have units.\n"
        );
    }
    page += "| what | number | share |\n|---|---|---|\n";
    let mut row = |what: &str, number: usize, of: usize| {
        let _ = writeln!(page, "| {what} | {number} | {} |", share(number, of));
    };
    row("assignments", all, all);
    row("… understood", understood, all);
    row("… told, and without effect", told, all);
    row("… for which the unit is refused", refused, all);
    row("units", units, units);
    row("… that start as written", count.as_written, units);
    row("… that start, with something told", count.with_told, units);
    row("… that are refused", count.refused.len(), units);
    let known = total.clone().filter(|directive| directive.told + directive.refused == 0).count();
    row("directives", count.directives.len(), count.directives.len());
    row("… always understood", known, count.directives.len());
    page += "\n## Not understood\n\n| directive | units | times | not understood | then | values |\n|---|---|---|---|---|---|\n";
    let mut missing: Vec<_> = count.directives.iter().filter(|(_, one)| one.told + one.refused > 0).collect();
    missing.sort_by_key(|(_, one)| std::cmp::Reverse(one.told + one.refused));
    for ((section, key), one) in missing {
        let then = if one.refused > 0 { "refused" } else { "told" };
        let wrong = one.told + one.refused;
        let _ = writeln!(
            page,
            "| `[{section}] {key}=` | {} | {} | {wrong} | {then} | {} |",
            one.units.len(),
            one.all(),
            values(one)
        );
    }
    page += "\n## Refused units\n\n| unit | why |\n|---|---|\n";
    for (unit, why) in &count.refused {
        let _ = writeln!(page, "| `{unit}` | {} |", why.replace('|', "\\|"));
    }
    page
}

fn share(number: usize, of: usize) -> String {
    format!("{:.1} %", number as f64 * 100.0 / of.max(1) as f64)
}

fn values(directive: &Directive) -> String {
    let shown = directive.values.iter().take(SHOWN).map(|value| {
        let short: String = value.chars().take(40).collect();
        format!("`{}`", short.replace('|', "\\|"))
    });
    let rest = if directive.values.len() > SHOWN { ", …" } else { "" };
    shown.collect::<Vec<_>>().join(", ") + rest
}
