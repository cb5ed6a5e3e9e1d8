//! Keys that OpenSSL reads, and keys that only a command can use: OpenSSL's stands for a hardware module's.

use super::*;
use ashlar_formats::date::Date;
use ashlar_formats::tuf::Targets;

fn openssl(folder: &Path, arguments: &str) -> String {
    let ran = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(ran.status.success(), "{arguments}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// A private key of OpenSSL's, and a file that says how it signs.
fn signer(folder: &Path, kind: &str, command: &str) -> PathBuf {
    openssl(folder, &format!("genpkey -out private -algorithm {kind}"));
    let public = openssl(folder, "pkey -in private -pubout");
    let path = folder.join("signer.toml");
    let words: Vec<&str> = command.split(' ').collect();
    fs::write(&path, format!("command = {words:?}\npublic = '''\n{public}'''\n")).unwrap();
    path
}

fn document() -> Document {
    Document::new(&Targets::new(1, Date::from_seconds(0))).unwrap()
}

const RAW: &str = "openssl pkeyutl -sign -rawin -in /dev/stdin -inkey private";
const SHA256: &str = "openssl dgst -sha256 -sign private";
const PSS: &str = "openssl dgst -sha256 -sign private -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest";

#[test]
fn openssl_reads_ours_and_we_read_its() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let key = KeyFile::make(&path).unwrap();
    assert_eq!(openssl(folder.path(), "pkey -in key.pem -pubout"), key.public.to_pem().unwrap());
    assert_eq!(KeyFile::read(&path).unwrap().id, key.id);
    openssl(folder.path(), "genpkey -out other.pem -algorithm ed25519");
    let other = KeyFile::read(&folder.path().join("other.pem")).unwrap();
    let public = openssl(folder.path(), "pkey -in other.pem -pubout");
    assert_eq!(other.public.to_pem().unwrap(), public);
    assert_eq!(other.sign(&mut document()).map_err(|error| error.to_string()), Ok(()));
    // The public half says what the key is, and has to be its own.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace(&key.public.to_pem().unwrap(), &public)).unwrap();
    let error = KeyFile::read(&path).unwrap().sign(&mut document()).unwrap_err().to_string();
    assert!(error.contains("key.pem: these 64 bytes are no signature of the public key"), "{error}");
}

#[test]
fn a_command_signs() {
    let check = |kind: &str, command: &str| {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyFile::read(&signer(folder.path(), kind, command)).unwrap();
        let mut document = document();
        assert_eq!(key.sign(&mut document).map_err(|error| format!("{error:#}")), Ok(()), "{kind}");
        assert_eq!(document.signatures[0].keyid, key.id);
    };
    check("ed25519", RAW);
    check("EC -pkeyopt ec_paramgen_curve:P-256", SHA256);
    check("RSA -pkeyopt rsa_keygen_bits:2048", PSS);
}

#[test]
fn a_command_that_does_not() {
    let check = |kind: &str, command: &str, part: &str| {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyFile::read(&signer(folder.path(), kind, command)).unwrap();
        let error = format!("{:#}", key.sign(&mut document()).unwrap_err());
        assert!(error.contains("sign with") && error.contains("signer.toml"), "{error}");
        assert!(error.contains(part), "{error}");
    };
    check("ed25519", "false", "`false` ended with exit status: 1");
    check("ed25519", "./no-such-program", "no-such-program: No such file");
    check("ed25519", "echo signed", "these 7 bytes are no signature");
    check("RSA -pkeyopt rsa_keygen_bits:2048", SHA256, "PSS, SHA-256, a salt of 32 bytes");
}

#[test]
fn files_that_are_no_keys() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, text: &str, part: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let error = format!("{:#}", KeyFile::read(&path).unwrap_err());
        assert!(error.contains(name) && error.contains(part), "{error}");
    };
    check("a.pem", "", "there is no key in it as PEM");
    check("a.pub", "-----BEGIN CERTIFICATE-----\n", "there is no key in it as PEM");
    check("a.toml", "command = ['x']", "missing field `public`");
    check("a.toml", "command = ['x']\npublic = 'y'\npin = 1", "unknown field `pin`");
    check("a.toml", "command = ['x']\npublic = 'y'", "no public key of ed25519, P-256 or RSA");
    let rsa = openssl(folder.path(), "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048");
    check("a.pem", &rsa, "it is no ed25519 key: keep it elsewhere");
}
