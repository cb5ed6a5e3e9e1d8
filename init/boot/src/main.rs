//! ashlar-boot.

fn main() {}
