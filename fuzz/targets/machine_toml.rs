//! `machine.toml`: whoever can write to the EFI system partition writes it.
#![no_main]

use ashlar_config::machine;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (machine, _) = machine::parse("machine.toml", text);
    for network in &machine.networks {
        let _ = network.to_networkd();
    }
});
