//! What private keys are encrypted with, of updates as of Secure Boot.

/// The variable of the environment that has it.
pub const VARIABLE: &str = "ASHLAR_KEY_PASSPHRASE";

/// The passphrase, if there is one.
pub fn read() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|text| !text.is_empty())
}
