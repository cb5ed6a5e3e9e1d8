//! The promises, in virtual machines. `cargo xtask test` builds the images and starts these; a story is one machine's
//! life, and checks whatever it passes on the way.

mod aarch64;
mod automatic;
mod boot;
mod building;
mod configuration;
mod containers;
mod disks;
mod down;
mod engine;
mod faults;
mod first_boot;
mod image;
mod live;
mod many;
mod network;
mod powercut;
mod root;
mod runtime;
mod secure_boot;
mod services;
mod site;
mod small;
mod systemd;
mod unit_files;
mod units;
mod updates;
