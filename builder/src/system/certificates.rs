//! The bundle of certificate authorities, as `update-ca-certificates` makes it: all of them, in one file, by name.

use crate::system::Shared;
use crate::tree::{self, Kind, Tree};

const AUTHORITIES: &str = "usr/share/ca-certificates/";
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// Makes the bundle, where the tree has authorities; the single files go.
///
/// # Errors
/// The bundle's folder is none.
pub fn bundle(tree: &mut Tree, shared: &mut Shared) -> Result<(), tree::Error> {
    let mut bundle = Vec::new();
    for (_, node) in tree.below(AUTHORITIES).filter(|(path, _)| path.ends_with(".crt")) {
        let Kind::File(content) = &node.kind else { continue };
        bundle.extend_from_slice(content);
        if !content.ends_with(b"\n") {
            bundle.push(b'\n');
        }
    }
    if bundle.is_empty() {
        return Ok(());
    }
    tree.remove(AUTHORITIES.trim_end_matches('/'));
    tree.set(BUNDLE, shared.file(bundle))
}
