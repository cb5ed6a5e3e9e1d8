//! Going over to a version without a reboot: its root becomes a verity device beside the running one, and PID 1 does the
//! rest (init/src/machine/live.rs). The boot entry stays on trial: it has not been booted yet.

use std::cmp::Ordering;

use ashlar_config::version::compare;
use ashlar_control::client::Client;
use ashlar_control::message::{Method, Reply, Root};
use ashlar_control::update::{Change, Live, Version};
use ashlar_formats::verity::mapping::{KIND, Mapping};
use ashlar_sys::device_mapper::Control;

use crate::boot::Boot;
use crate::change;
use crate::error::{Error, at};
use crate::offer::Offer;
use crate::slot::{Slot, Slots};
use crate::tree::Tree;

const CONTROL: &str = "/dev/mapper/control";
/// errno(3): there is no such device; it is in use.
const ENXIO: i32 = 6;
const EBUSY: i32 = 16;

/// What would change, if that can be done at all.
pub fn possible(offer: &Offer, boot: &Boot) -> Result<Change, Error> {
    let version = &offer.release.version;
    let held = |why: &str| {
        Error::Held(format!(
            "version {version} cannot be taken without a reboot: {why}; without --live the next boot tries it"
        ))
    };
    if compare(version, &boot.version) == Ordering::Less {
        return Err(held("it is older than the one that runs"));
    }
    let running = change::running().ok_or_else(|| held("the version that runs does not say what it is made of"))?;
    let offered = offer.release.contents.as_ref();
    let change = change::between(&running, offered.ok_or_else(|| held("it does not say what it is made of"))?);
    match &change.reboot {
        Some(why) => Err(held(why)),
        None => Ok(change),
    }
}

/// Has PID 1 go over to what is in the other slot.
pub fn go_over(boot: &Boot, version: &Version, change: &Change) -> Result<Live, Error> {
    let slot = Slots::find(boot)?.other;
    let root_hash =
        version.root_hash.parse().map_err(|error| Error::Machine(format!("version {}: {error}", version.version)))?;
    let superblock = Tree::read(&slot.tree, root_hash)?.superblock;
    let (data, tree) = (slot.data.to_string_lossy(), slot.tree.to_string_lossy());
    let Mapping { uuid, length, forms } = Mapping::new(&name(&slot), &superblock, (&data, &tree), root_hash);
    let_go(&slot)?;
    let control = Control::open().map_err(at("open", CONTROL))?;
    let minor = control.start_read_only(&name(&slot), &uuid, length, KIND, &forms).map_err(at("map", &slot.data))?;
    let root = Root { version: version.version.clone(), slot: slot.name.clone(), root_hash: version.root_hash.clone() };
    let call = Method::GoLive { device: format!("/dev/dm-{minor}"), root };
    let done = Client::connect().and_then(|mut client| client.call(&call));
    let refused = match done {
        Ok(Reply::Live { units, waiting }) => {
            let (version, from) = (version.version.clone(), boot.version.clone());
            return Ok(Live { version, from, units, waiting, kernel: change.kernel });
        }
        Ok(other) => format!("PID 1 answers {other:?}"),
        Err(error) => error.to_string(),
    };
    let _ = control.remove(&name(&slot));
    Err(Error::Machine(format!("{refused}; the next boot tries version {}", version.version)))
}

/// Takes away what is left of going over to what was in a slot, before that is written.
pub fn let_go(slot: &Slot) -> Result<(), Error> {
    let removed = Control::open().and_then(|control| control.remove(&name(slot)));
    match removed.map_err(|error| (error.raw_os_error(), error)) {
        Ok(()) | Err((Some(ENXIO), _)) => Ok(()),
        Err((Some(EBUSY), _)) => Err(Error::Held(format!(
            "slot {} is in use: something of a version that did not stay still runs; reboot, or end it",
            slot.name
        ))),
        Err((_, error)) => Err(at("unmap", &slot.data)(error)),
    }
}

fn name(slot: &Slot) -> String {
    format!("root-{}", slot.name)
}
