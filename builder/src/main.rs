//! ashlar.

fn main() {}
