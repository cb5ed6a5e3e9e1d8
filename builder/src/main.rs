//! ashlar.

mod debian;

fn main() {}
