//! All stories: what a container is, told by those inside.

use crate::fixture::Story;
use crate::{files, lives, namespaces, processes};

/// How a story ends.
pub type Told = Result<(), String>;

pub const ALL: [Story; 22] = [
    ("namespaces", namespaces::namespaces),
    ("devices", files::devices),
    ("file_systems", files::file_systems),
    ("masks", files::masks),
    ("mounts", files::mounts),
    ("propagation", files::propagation),
    ("shifted_ids", files::shifted_ids),
    ("overlay", files::overlay),
    ("identity", processes::identity),
    ("filter", processes::filter),
    ("environment_and_descriptors", processes::environment_and_descriptors),
    ("shared_namespaces", namespaces::shared_namespaces),
    ("joining", processes::joining),
    ("terminals", processes::terminals),
    ("other_namespaces", namespaces::other_namespaces),
    ("identity_map", namespaces::identity_map),
    ("private_users", namespaces::private_users),
    ("failures", lives::failures),
    ("hooks", lives::hooks),
    ("host_user", namespaces::host_user),
    ("group", lives::group),
    ("erofs", files::erofs),
];

/// An error as a story's end.
pub fn text(error: std::io::Error) -> String {
    error.to_string()
}
