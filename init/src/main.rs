//! PID 1.
#![allow(dead_code)]
mod core;
mod notify;

fn main() {}
