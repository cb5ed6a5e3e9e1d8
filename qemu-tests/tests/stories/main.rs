//! The promises, in virtual machines. Started by `cargo xtask test`.
