//! Keys through the program itself, where the environment matters: those that are encrypted.

use std::fs;
use std::path::Path;
use std::process::Command;

const WORD: &str = "ASHLAR_KEY_PASSPHRASE";

/// What it says, on either channel, and whether it went well.
fn ashlar(folder: &Path, passphrase: &str, arguments: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashlar"));
    let output = command.args(arguments.split(' ')).current_dir(folder).env(WORD, passphrase).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn a_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let check = |passphrase: &str, arguments: &str, is_good: bool, part: &str| {
        let (went_well, said) = ashlar(folder.path(), passphrase, arguments);
        assert_eq!(went_well, is_good, "{arguments}: {said}");
        assert!(said.contains(part), "{arguments}: {said}");
    };
    check("mine", "keys make root.pem", true, "root.pub: for the publisher; key ");
    let text = fs::read_to_string(folder.path().join("root.pem")).unwrap();
    assert!(
        text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n") && text.contains("\n-----BEGIN PUBLIC KEY-----\n")
    );
    // Whose key it is is no secret. What the passphrase would be needed for waits for it.
    check("", "keys new keys --key root=root.pem", true, "root.pem: it is encrypted; set ASHLAR_KEY_PASSPHRASE");
    check(
        "",
        "publish --to shop --keys keys",
        false,
        "the first root waits for signatures; `ashlar keys show` says whose",
    );
    let sign = "keys sign keys/pending/1.root.json --key root.pem";
    check("other", sign, false, "sign with root.pem: ASHLAR_KEY_PASSPHRASE is not its passphrase");
    check("mine", sign, true, "root       1 of 1: root.pem");
    check("", "publish --to shop --keys keys", true, "shop: signed, good until");
}
