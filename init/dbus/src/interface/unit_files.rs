//! The manager's calls about unit files: what there is, and what is changed.

use ashlar_config::glob;
use ashlar_control::message::{FileChange, Method as Ask, Reply, UnitFile};

use super::Call;
use crate::fault::{self, Fault};
use crate::wire::Body;
use crate::world::World;

/// Every file whose state and name are asked for.
pub fn files(world: &mut World, states: &[String], patterns: &[String]) -> Result<Body, Fault> {
    let Reply::UnitFiles { files } = world.ask(&Ask::ListUnitFiles {})? else { return Ok(Body::empty()) };
    let wanted = |file: &UnitFile| {
        (states.is_empty() || states.contains(&file.state))
            && (patterns.is_empty() || patterns.iter().any(|pattern| glob::fits(pattern, &file.name)))
    };
    // The client takes the name from the end of the path.
    let path = |file: &UnitFile| match file.path.ends_with(&file.name) {
        true => file.path.clone(),
        false => format!("/usr/lib/ashlar/units/{}", file.name),
    };
    let rows: Vec<(String, String)> =
        files.iter().filter(|file| wanted(file)).map(|file| (path(file), file.state.clone())).collect();
    Ok(Body::of(&(rows,)))
}

/// What is said of a unit's file.
pub fn file(world: &mut World, name: &str) -> Result<UnitFile, Fault> {
    let missing = || Fault::new(fault::FILE_NOT_FOUND, "No such file or directory".to_owned());
    let view = world.view(name);
    if view.status.transient {
        return Ok(UnitFile {
            name: name.to_owned(),
            path: String::new(),
            state: "transient".to_owned(),
            changed: false,
            links: Vec::new(),
        });
    }
    if view.status.name != name && view.status.load != "not-found" {
        // By another name it is that one's alias.
        let alias = UnitFile { state: "alias".to_owned(), ..view.file.unwrap_or_else(|| empty_file(name)) };
        return Ok(alias);
    }
    match world.ask(&Ask::GetUnitFile { name: name.to_owned() })? {
        Reply::UnitFiles { files } => files.into_iter().next().ok_or_else(missing),
        _ => Err(missing()),
    }
}

fn empty_file(name: &str) -> UnitFile {
    UnitFile { name: name.to_owned(), path: String::new(), state: String::new(), changed: false, links: Vec::new() }
}

/// Flags of unit file calls.
pub const RUNTIME: u64 = 1;
pub const FORCE: u64 = 2;

/// Units, whether only until the next boot, and whether in the place of what is there.
pub type Wish = (Vec<String>, bool, bool);
/// A link that was made or removed.
pub type Row = (String, String, String);

pub fn three(call: &Call<'_>) -> Result<Wish, Fault> {
    call.arguments()
}

fn change_files(
    world: &mut World,
    change: FileChange,
    (units, runtime, force): Wish,
) -> Result<(bool, Vec<Row>), Fault> {
    let ask = Ask::ChangeUnitFiles { change, units, runtime, force };
    match world.act(&ask, &[])? {
        Reply::Links { informed, changes } => {
            let rows = changes.into_iter().map(|change| (change.kind, change.path, change.target));
            Ok((informed, rows.collect()))
        }
        _ => Ok((false, Vec::new())),
    }
}

pub fn changed(world: &mut World, change: FileChange, wish: Wish) -> Result<Body, Fault> {
    let (_, rows) = change_files(world, change, wish)?;
    Ok(Body::of(&(rows,)))
}

pub fn informed(world: &mut World, change: FileChange, wish: Wish) -> Result<Body, Fault> {
    let (informed, rows) = change_files(world, change, wish)?;
    Ok(Body::of(&(informed, rows)))
}
