//! ashlar-os.

fn main() {}
