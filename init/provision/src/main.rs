//! ashlar-provision.

fn main() {}
