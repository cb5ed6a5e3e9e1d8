//! What is written here, judged by programs that others wrote: sgdisk, veritysetup, fsck.fat, mtools, cpio,
//! objdump, sbverify, fsck.erofs, openssl. A test whose program is missing fails, and says so.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use ashlar_formats::uuid::Uuid;
use ashlar_formats::{cpio, erofs, fat, gpt, pe, verity};

const MIB: u64 = 1 << 20;

/// A folder that goes with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ashlar-formats-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// A sparse file.
    fn disk(&self, bytes: u64) -> (PathBuf, File) {
        let path = self.0.join("disk");
        let disk = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        disk.set_len(bytes).unwrap();
        (path, disk)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a program that must succeed; both of its outputs.
#[track_caller]
fn run(program: &str, arguments: &[&str], files: &[&Path]) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program).args(arguments).args(files).env("PATH", path).env("LC_ALL", "C").output();
    let output = output.unwrap_or_else(|e| panic!("run {program}: {e}; install it to run this test"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?} failed:\n{text}");
    text
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

fn partition(name: &str, type_id: Uuid, first_mib: u64, mib: u64) -> gpt::Partition {
    let (first, last) = (first_mib * 2048, (first_mib + mib) * 2048 - 1);
    gpt::Partition {
        type_id,
        id: Uuid::derived("partition", name.as_bytes()),
        first,
        last,
        attributes: 0,
        name: name.to_owned(),
    }
}

#[test]
fn sgdisk_accepts_partition_tables() {
    let scratch = Scratch::new("gpt");
    let (path, mut disk) = scratch.disk(64 * MIB);
    let mut table = gpt::Table::new(Uuid::derived("disk", b""), 512, 64 * MIB).unwrap();
    for (name, type_id, first) in [
        ("esp", gpt::types::ESP, 1),
        ("root-a", gpt::types::ROOT_X86_64, 9),
        ("verity-a", gpt::types::ROOT_VERITY_X86_64, 17),
        ("root-b", gpt::types::ROOT_ARM64, 25),
        ("verity-b", gpt::types::ROOT_VERITY_ARM64, 33),
    ] {
        table.add(partition(name, type_id, first, 8)).unwrap();
    }
    table.write(&mut disk).unwrap();
    has(&run("sgdisk", &["-v"], &[&path]), &["No problems found"]);
    let listed = run("sgdisk", &["-p"], &[&path]);
    has(&listed, &["EF00  esp", "8304  root-a", "root-b", "verity-b", &table.disk_id.to_string().to_uppercase()]);
    has(&run("sgdisk", &["-i3"], &[&path]), &["x86-64 root verity", "'verity-a'"]);
    has(&run("sgdisk", &["-i4"], &[&path]), &["ARM64 root"]);

    // The disk grows, as when an image was written to a larger one.
    disk.set_len(256 * MIB).unwrap();
    let mut table = gpt::Table::read(&mut disk).unwrap().table;
    table.fit(256 * MIB).unwrap();
    let (first, last) = table.free_tail().unwrap();
    table.add(gpt::Partition { first, last, ..partition("state", gpt::types::VAR, 0, 1) }).unwrap();
    table.write(&mut disk).unwrap();
    has(&run("sgdisk", &["-v"], &[&path]), &["No problems found"]);
    has(&run("sgdisk", &["-i6"], &[&path]), &["4D21B016-B534-45C2-A9FB-5C16E091FD2D", "'state'"]);
}

#[test]
fn partition_tables_of_sgdisk_are_read() {
    let scratch = Scratch::new("sgdisk");
    let (path, mut disk) = scratch.disk(64 * MIB);
    run("sgdisk", &["-n1:2048:+8M", "-t1:EF00", "-c1:esp", "-n7:0:0", "-c7:rest"], &[&path]);
    let found = gpt::Table::read(&mut disk).unwrap();
    assert_eq!(found.damaged, None);
    let names: Vec<_> = found.table.partitions().map(|(number, partition)| (number, partition.name.as_str())).collect();
    assert_eq!(names, [(1, "esp"), (7, "rest")]);
    assert_eq!(found.table.by_name("esp").unwrap().1.type_id, gpt::types::ESP);
}

#[test]
fn veritysetup_makes_the_same_bytes() {
    let scratch = Scratch::new("verity");
    let salt = "00112233445566778899aabbccddeeff".repeat(2);
    let uuid = Uuid::from_u128(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);
    for blocks in [2usize, 127, 128, 129, 16_384, 16_385] {
        let data: Vec<u8> = (0..blocks * 4096).map(|n| (n ^ n >> 9) as u8).collect();
        let data_path = scratch.file("data", &data);
        let tree_path = scratch.0.join("tree");
        let arguments = ["format", "--salt", &salt, "--uuid", &uuid.to_string()];
        let printed = run("veritysetup", &arguments, &[&data_path, &tree_path]);
        let salt: Vec<u8> = (0..32).map(|n| u8::from_str_radix(&salt[2 * n..2 * n + 2], 16).unwrap()).collect();
        let tree = verity::build(&data[..], &salt, uuid).unwrap();
        has(&printed, &[&tree.root.to_string()]);
        assert!(tree.bytes == fs::read(&tree_path).unwrap(), "{blocks} blocks: the trees differ");
        let ours = scratch.file("ours", &tree.bytes);
        let root = tree.root.to_string();
        let verify = Command::new("veritysetup")
            .arg("verify")
            .args([&data_path, &ours])
            .arg(&root)
            .env("PATH", "/usr/sbin:/sbin:/usr/bin")
            .status();
        assert!(verify.unwrap().success(), "{blocks} blocks");
    }
}

#[test]
fn fsck_and_mtools_accept_volumes() {
    let scratch = Scratch::new("fat");
    let (path, mut disk) = scratch.disk(512 * MIB);
    let uki: Vec<u8> = (0..5_000_000u32).map(|n| (n * 7) as u8).collect();
    let mut root = fat::Directory::default();
    root.add("EFI/BOOT/BOOTX64.EFI", &uki[..100_000]).unwrap();
    root.add("EFI/Linux/ashlar_0.1.0.efi", &uki).unwrap();
    root.add("loader/loader.conf", b"timeout 0\n").unwrap();
    root.folder("ashlar").unwrap();
    let many: Vec<String> = (0..300).map(|n| format!("many/a rather long name, number {n}.txt")).collect();
    many.iter().for_each(|name| root.add(name, name.as_bytes()).unwrap());
    let image = fat::Image { bytes: 512 * MIB, volume_id: 0xcafe_f00d, label: "ESP", modified: 1_795_252_544, root };
    image.write(&mut disk, 0).unwrap();

    let checked = run("fsck.fat", &["-n", "-v"], &[&path]);
    has(&checked, &["310 files", "4096 bytes per cluster"]);
    assert!(!checked.contains("differ") && !checked.contains("rong"), "{checked}");
    let image = ["-i", path.to_str().unwrap()];
    has(&run("mdir", &[&image[..], &["-/", "-b"]].concat(), &[]), &["::/EFI/Linux/ashlar_0.1.0.efi", "::/ashlar/"]);
    has(&run("mdir", &[&image[..], &["::"]].concat(), &[]), &["is ESP", "CAFE-F00D", "2026-11-21   9:15"]);
    let copy = scratch.0.join("copy");
    run("mcopy", &[&image[..], &["::/EFI/Linux/ashlar_0.1.0.efi"]].concat(), &[&copy]);
    assert!(fs::read(&copy).unwrap() == uki);
}

#[test]
fn volumes_of_others_are_read() {
    let scratch = Scratch::new("mkfs-fat");
    let (path, disk) = scratch.disk(300 * MIB);
    run("mkfs.fat", &["-F32", "-n", "ESP", "-i", "12345678"], &[&path]);
    let image = ["-i", path.to_str().unwrap()];
    let config = scratch.file("a machine.toml", b"hostname = \"web-1\"\n");
    run("mmd", &[&image[..], &["::/ashlar", "::/EFI"]].concat(), &[]);
    run("mcopy", &[&image[..], &[config.to_str().unwrap(), "::/ashlar/machine.toml"]].concat(), &[]);
    run("mcopy", &[&image[..], &[config.to_str().unwrap(), "::/EFI/a much longer name.toml"]].concat(), &[]);
    let mut volume = fat::Volume::open(disk, 0).unwrap();
    assert_eq!(volume.id, 0x1234_5678);
    assert_eq!(volume.read("ashlar/machine.toml", 100).unwrap(), b"hostname = \"web-1\"\n");
    assert_eq!(volume.list("EFI").unwrap()[0].name, "a much longer name.toml");
}

#[test]
fn cpio_unpacks_archives() {
    let scratch = Scratch::new("cpio");
    let mut writer = cpio::Writer::new(Vec::new(), 1_795_252_544);
    writer.directory("modules", 0o755).unwrap();
    writer.file("modules/load", 0o644, b"a.ko\n").unwrap();
    writer.symlink("init", "modules/load").unwrap();
    let archive = scratch.file("archive", &writer.finish().unwrap());
    has(&run("cpio", &["-itv", "--quiet", "-F"], &[&archive]), &["drwxr-xr-x", "modules/load", "init -> modules/load"]);
}

#[test]
fn archives_of_cpio_are_read() {
    let scratch = Scratch::new("cpio-read");
    scratch.file("file", b"content");
    let script = format!("cd {} && echo file | cpio -o -H newc --quiet > archive", scratch.0.display());
    run("sh", &["-c", &script], &[]);
    let bytes = fs::read(scratch.0.join("archive")).unwrap();
    let entries = cpio::read(&bytes).unwrap();
    assert_eq!((entries[0].path.as_str(), entries[0].content), ("file", &b"content"[..]));
}

#[test]
fn erofs_superblocks_are_read() {
    let scratch = Scratch::new("erofs");
    fs::create_dir(scratch.0.join("tree")).unwrap();
    fs::write(scratch.0.join("tree/file"), [7; 50_000]).unwrap();
    let (image, tree) = (scratch.0.join("image"), scratch.0.join("tree"));
    let uuid = Uuid::derived("root", b"");
    run("mkfs.erofs", &["-T1795252544", "-U", &uuid.to_string()], &[&image, &tree]);
    run("fsck.erofs", &[], &[&image]);
    let bytes = fs::read(&image).unwrap();
    let superblock = erofs::Superblock::parse(&bytes[erofs::OFFSET as usize..]).unwrap();
    assert_eq!((superblock.uuid, superblock.inodes, superblock.bytes()), (uuid, 2, bytes.len() as u64));
    assert_eq!(superblock.build_time, 1_795_252_544);
}

/// A stub of the size that a real one has, assembled here: the suite's own is in no package that tests need.
fn stub() -> Vec<u8> {
    let mut bytes = vec![0; 0x600 + 0x200];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, b"MZ");
    put(60, &64u32.to_le_bytes());
    put(64, b"PE\0\0");
    // Machine, one section; size of the optional header, characteristics.
    put(68, &[0x64, 0x86, 1, 0]);
    put(84, &[240, 0, 0x2e, 0x02]);
    put(88, &[0x0b, 0x02]);
    for (at, value) in [(4, 0x200u32), (16, 0x1000), (20, 0x1000), (32, 0x1000), (36, 0x200), (56, 0x2000), (60, 0x600)]
    {
        put(88 + at, &value.to_le_bytes());
    }
    // EFI application; number of directories.
    put(88 + 68, &[10, 0]);
    put(88 + 108, &[16]);
    put(328, b".text");
    for (at, value) in [(8, 0x100u32), (12, 0x1000), (16, 0x200), (20, 0x600), (36, 0x6000_0020)] {
        put(328 + at, &value.to_le_bytes());
    }
    put(0x600, &[0xc3]);
    bytes
}

#[test]
fn objdump_and_sbverify_read_images() {
    let scratch = Scratch::new("pe");
    let stub = stub();
    let uki = pe::Uki {
        os_release: "ID=ashlar\nVERSION_ID=0.1.0\n",
        command_line: "roothash=00 console=ttyS0",
        kernel_release: Some("6.12.0"),
        kernel: &stub,
        initramfs: &[7; 10_000],
    };
    let image = scratch.file("uki.efi", &pe::write(&stub, &uki).unwrap());
    let headers = run("objdump", &["-h"], &[&image]);
    has(&headers, &[".osrel", ".cmdline", ".uname", ".linux", ".initrd       00002710"]);
    // Without a signature to list it says so, once it has read the whole file.
    has(&run("sh", &["-c", "sbverify --list \"$0\" 2>&1 || true"], &[&image]), &["No signature table present"]);
    let section = scratch.0.join("section");
    let dump = format!(".cmdline={}", section.display());
    run("objcopy", &["-O", "binary", "--dump-section", &dump], &[&image, &scratch.0.join("discarded")]);
    assert!(fs::read(&section).unwrap().starts_with(b"roothash=00 console=ttyS0"));
    let read = pe::Image::parse(&fs::read(&image).unwrap()).map(|image| image.machine());
    assert_eq!(read, Ok(pe::X86_64));
}

/// Keys that a hardware module or a key service may have: what openssl signs with them is taken, and nothing else.
#[cfg(feature = "tuf")]
#[test]
fn openssl_signs_as_key_services_do() {
    use ashlar_formats::tuf::Key;

    let scratch = Scratch::new("keys");
    let message = scratch.file("message", b"what is signed");
    let pss = ["-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:digest"];
    let rows: [(&str, &str, &[&str], &[&str]); 3] = [
        ("rsa", "rsassa-pss-sha256", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], &pss),
        ("ecdsa", "ecdsa-sha2-nistp256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], &[]),
        ("ecdsa", "ecdsa-sha2-nistp256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], &[]),
    ];
    for (kind, scheme, made, signed) in rows {
        let [private, public, signature] = ["private", "public", "signature"].map(|name| scratch.0.join(name));
        run("openssl", &[&["genpkey"], made, &["-out"]].concat(), &[&private]);
        let pair = [private.to_str().unwrap(), public.to_str().unwrap()];
        run("openssl", &["pkey", "-pubout", "-in", pair[0], "-out"], &[&public]);
        let sign = ["pkeyutl", "-sign", "-rawin", "-digest", "sha256", "-inkey", pair[0], "-out"];
        run("openssl", &[&sign[..], &[signature.to_str().unwrap()], signed, &["-in"]].concat(), &[&message]);
        let hex: String = fs::read(&signature).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        let pem = fs::read_to_string(&public).unwrap();
        let key = |kind: &str, scheme: &str| -> Key {
            let value = serde_json::json!({ "keytype": kind, "scheme": scheme, "keyval": { "public": pem } });
            serde_json::from_value(value).unwrap()
        };
        // Of all curves P-256 is the one that counts, whatever else is said.
        let is_known = !made.contains(&"ec_paramgen_curve:P-384");
        assert_eq!(key(kind, scheme).verifies(b"what is signed", &hex), is_known, "{kind}");
        assert!(!key(kind, scheme).verifies(b"what is not", &hex));
        assert!(!key("rsa", "rsa-pkcs1v15-sha256").verifies(b"what is signed", &hex));
        assert!(!key("ed25519", scheme).verifies(b"what is signed", &hex));
        for bad in ["", "00", &hex[2..], &"0".repeat(hex.len())] {
            assert!(!key(kind, scheme).verifies(b"what is signed", bad), "{bad}");
        }
    }
}
