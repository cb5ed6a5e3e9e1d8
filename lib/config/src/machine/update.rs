//! `[update]`: where new versions come from, and when they are taken without anybody asking.

use super::section::{Section, Source};
use super::{Placed, address, name};
use crate::quantity::Span;
use crate::window::Window;

/// What is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Where new versions are published.
    pub source: Option<Placed<String>>,
    /// Whose releases count.
    pub channel: Option<Placed<String>>,
    /// Whether they are taken by themselves: `yes` or `no`.
    pub automatic: Option<Placed<String>>,
    /// Only so long after they were published.
    pub delay: Option<Placed<String>>,
    /// When the machine may reboot into one by itself.
    pub windows: Vec<Placed<String>>,
    /// Whether it may do so at all: `automatic` or `manual`.
    pub reboot: Option<Placed<String>>,
    /// Something of it does not read. What is left may be less than what its author holds back.
    pub is_damaged: bool,
}

/// Reads the section.
pub(super) fn read(mut section: Section<'_>, source: &mut Source<'_>) -> Update {
    let before = source.mistakes();
    let mut update = Update {
        source: section.text(source, "source").filter(|text| source.holds(text, address::web)),
        channel: section.text(source, "channel").filter(|text| source.holds(text, name::channel)),
        automatic: section.switch(source, "automatic").filter(|text| source.holds(text, switch)),
        delay: section.text(source, "delay").filter(|text| source.holds(text, |text| Span::parse(text).map(drop))),
        windows: section.checked(source, "windows", |text| Window::parse(text).map(drop)),
        reboot: section.text(source, "reboot").filter(|text| source.holds(text, reboot)),
        is_damaged: false,
    };
    section.finish(source);
    update.is_damaged = source.mistakes() > before;
    update
}

fn switch(text: &str) -> Result<(), String> {
    if matches!(text, "yes" | "no") { Ok(()) } else { Err(format!("`automatic` is true or false, not `{text}`")) }
}

fn reboot(text: &str) -> Result<(), String> {
    let known = matches!(text, "automatic" | "manual");
    if known { Ok(()) } else { Err(format!("`reboot` is automatic or manual, not `{text}`")) }
}

impl Update {
    /// See [`super::Machine::overridden_by`].
    pub(super) fn overridden_by(self, other: Self) -> Self {
        Self {
            source: other.source.or(self.source),
            channel: other.channel.or(self.channel),
            automatic: other.automatic.or(self.automatic),
            delay: other.delay.or(self.delay),
            windows: if other.windows.is_empty() { self.windows } else { other.windows },
            reboot: other.reboot.or(self.reboot),
            is_damaged: self.is_damaged || other.is_damaged,
        }
    }
}
