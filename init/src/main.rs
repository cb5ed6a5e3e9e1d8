//! ashlar-init.

fn main() {}
