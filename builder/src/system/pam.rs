//! The stacks that services' PAM files include (`pam-auth-update` makes them elsewhere). Nobody here has a password:
//! people come with keys, and root may become anybody.

use crate::system::Shared;
use crate::tree::{self, Tree};

const FOLDER: &str = "etc/pam.d";

const STACKS: [(&str, &str); 6] = [
    ("common-auth", "auth required pam_deny.so\n"),
    ("common-account", "account required pam_permit.so\n"),
    ("common-password", "password required pam_deny.so\n"),
    ("common-session", "session required pam_limits.so\n-session optional pam_systemd.so\n"),
    (
        "other",
        "auth required pam_deny.so\naccount required pam_deny.so\npassword required pam_deny.so\nsession required pam_deny.so\n",
    ),
    ("common-session-noninteractive", "session required pam_limits.so\n"),
];

/// Writes the stacks, where the tree has services that could include them.
///
/// # Errors
/// Their folder is none.
pub fn write(tree: &mut Tree, shared: &mut Shared) -> Result<(), tree::Error> {
    if tree.get(FOLDER).is_none() {
        return Ok(());
    }
    STACKS.iter().try_for_each(|(name, text)| tree.set(&format!("{FOLDER}/{name}"), shared.file(*text)))
}
