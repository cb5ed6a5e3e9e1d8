//! What a container sees of files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use ashlar_sys::filesystem;
use serde_json::json;

use crate::fixture::{Container, SKIPPED, With};
use crate::ground::Ground;
use crate::stories::{Told, text};

pub fn devices(ground: &Ground) -> Told {
    let container = Container::new(ground, "devices")?;
    container.check(
        &[
            ("open:/dev/null", "done"),
            ("open:/dev/zero", "done"),
            ("open:/dev/full", "done"),
            ("write:/dev/full", "No space left on device"),
            ("link:/dev/fd", "/proc/self/fd"),
            ("link:/dev/ptmx", "pts/ptmx"),
            ("open:/dev/ptmx", "*"),
            ("list:/dev", "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"),
        ],
        &With::default(),
    )
}

pub fn file_systems(ground: &Ground) -> Told {
    let container = Container::new(ground, "file-systems")?;
    container.check(
        &[
            ("write:/new", "Read-only file system"),
            ("write:/data/new", "Read-only file system"),
            ("write:/run/new", "done"),
            ("owner:/run/new", "0:0"),
            ("owner:/run", "0:0"),
            ("write:/tmp/new", "done"),
            ("write:/sys/power/state", "*"),
            ("mounts:/proc", "rw,nosuid,nodev,noexec,relatime"),
            ("mounts:/sys", "ro,nosuid,nodev,noexec,relatime"),
            ("mounts:/", "ro,relatime*"),
        ],
        &With::default(),
    )
}

pub fn masks(ground: &Ground) -> Told {
    let mut container = Container::new(ground, "masks")?;
    container.set("/linux/maskedPaths", json!(["/proc/uptime", "/proc/fs", "/nowhere/at/all"]));
    container.set("/linux/readonlyPaths", json!(["/proc/sys", "/proc/nothing"]));
    container.check(
        &[
            ("read:/proc/uptime", ""),
            ("list:/proc/fs", ""),
            ("write:/proc/fs/x", "Read-only file system"),
            ("write:/proc/sys/kernel/hostname", "Read-only file system"),
        ],
        &With::default(),
    )
}

pub fn mounts(ground: &Ground) -> Told {
    let mut container = Container::new(ground, "mounts")?;
    let source = container.folder.join("source");
    fs::create_dir_all(&source).map_err(text)?;
    fs::write(source.join("file"), "content").map_err(text)?;
    fs::set_permissions(&source, fs::Permissions::from_mode(0o777)).map_err(text)?;
    let file = source.join("file");
    container
        .add_mount(json!({"destination": "/data", "source": source, "options": ["bind", "rw", "nosuid", "noexec"]}))
        .add_mount(json!({"destination": "/run/deep/made", "source": source, "options": ["rbind", "ro"]}))
        .add_mount(json!({"destination": "/run/file", "source": file, "options": ["bind", "ro"]}))
        .add_mount(json!({"destination": "/run/none", "source": "/no/where", "options": ["bind", "x-optional"]}))
        .set("/root/readonly", json!(false));
    container.check(
        &[
            ("write:/data/new", "done"),
            ("mounts:/data", "rw,nosuid,noexec,relatime*"),
            ("read:/run/deep/made/file", "content"),
            ("write:/run/deep/made/x", "Read-only file system"),
            ("read:/run/file", "content"),
            ("write:/run/file", "Read-only file system"),
            ("list:/run", "deep file"),
        ],
        &With::default(),
    )
}

pub fn propagation(ground: &Ground) -> Told {
    if ground.ids.1 == 1 {
        return Err(format!("{SKIPPED}: without root the host's mounts are not ours"));
    }
    let mut container = Container::new(ground, "propagation")?;
    let place = container.folder.join("shared");
    for name in ["before", "after"] {
        fs::create_dir_all(place.join(name)).map_err(text)?;
    }
    let mount = |path: &Path| filesystem::mount("tmpfs", path, "tmpfs", 0, "").map_err(text);
    mount(&place)?;
    for name in ["before", "after"] {
        fs::create_dir_all(place.join(name)).map_err(text)?;
    }
    filesystem::mount("", &place, "", filesystem::SHARED, "").map_err(text)?;
    mount(&place.join("before"))?;
    container
        .add_mount(json!({"destination": "/data", "source": place, "options": ["rbind", "rslave"]}))
        .add_mount(json!({"destination": "/run/alone", "source": place, "options": ["rbind"]}));
    let (reader, writer) = std::io::pipe().map_err(text)?;
    let mut main = container.start(&["wait"], &With { input: Some(reader.into()), ..With::default() })?;
    main.set_up()?;
    let with = || With { join: Some(main.begun.pid), ..With::default() };
    mount(&place.join("after"))?;
    let seen = container.check(
        &[
            ("mounts:/data/before", "rw,relatime*"),
            ("mounts:/data/after", "rw,relatime*"),
            ("mounts:/run/alone/before", "rw,relatime*"),
            ("mounts:/run/alone/after", ""),
        ],
        &with(),
    );
    drop(writer);
    let ended = main.finish();
    filesystem::unmount(&place, true).map_err(text)?;
    seen.and(ended.map(drop))
}

pub fn shifted_ids(ground: &Ground) -> Told {
    if ground.ids.1 == 1 {
        return Err(format!("{SKIPPED}: only root has ids to shift"));
    }
    let mut container = Container::new(ground, "shifted")?;
    let source = container.folder.join("state");
    fs::create_dir_all(&source).map_err(text)?;
    fs::set_permissions(&source, fs::Permissions::from_mode(0o700)).map_err(text)?;
    let (first, size) = ground.ids;
    let ids = json!([{"containerID": 0, "hostID": first, "size": size}]);
    let half = json!([{"containerID": 0, "hostID": first + 5, "size": 100}]);
    container
        .set("/annotations", json!({"io.ashlar.rootfs.idmap": "true"}))
        .add_mount(json!({"destination": "/data", "source": source, "options": ["bind", "rw", "idmap"],
            "uidMappings": ids, "gidMappings": ids}))
        .add_mount(json!({"destination": "/run/other", "source": source, "options": ["bind", "idmap"],
            "uidMappings": half, "gidMappings": half}));
    container.check(
        &[
            ("owner:/", "0:0"),
            ("owner:/data", "0:0"),
            ("write:/data/new", "done"),
            ("owner:/data/new", "0:0"),
            ("owner:/run/other", "5:5"),
        ],
        &With::default(),
    )?;
    let meta = fs::metadata(source.join("new")).map_err(text)?;
    if meta.uid() == 0 { Ok(()) } else { Err(format!("on the disk the file belongs to {}", meta.uid())) }
}

pub fn overlay(ground: &Ground) -> Told {
    let mut container = Container::new(ground, "overlay")?;
    container.set("/annotations", json!({"io.ashlar.rootfs.overlay": "tmpfs"}));
    if ground.ids.1 > 1 {
        container.set("/annotations", json!({"io.ashlar.rootfs.overlay": "tmpfs", "io.ashlar.rootfs.idmap": "true"}));
    }
    for name in ["old", "kept"] {
        fs::write(container.folder.join("rootfs/data").join(name), "content").map_err(text)?;
    }
    container.check(
        &[
            ("write:/new", "done"),
            ("owner:/new", "0:0"),
            ("mkdir:/data/folder", "done"),
            ("read:/data/kept", "content"),
            ("write:/data/old", "done"),
            ("read:/data/old", "x"),
            ("remove:/data/old", "done"),
            ("list:/data", "folder kept"),
        ],
        &With::default(),
    )?;
    match fs::read_to_string(container.folder.join("rootfs/data/old")).as_deref() {
        Ok("content") => Ok(()),
        other => Err(format!("below the overlay there is {other:?}")),
    }
}

pub fn erofs(ground: &Ground) -> Told {
    let disk = Path::new("/dev/vda");
    if !ground.machine || !disk.exists() {
        return Err(format!("{SKIPPED}: there is no disk with an EROFS on it"));
    }
    let place = ground.folder.join("image");
    fs::create_dir_all(&place).map_err(text)?;
    let flags = filesystem::READ_ONLY;
    filesystem::mount("/dev/vda", &place, "erofs", flags, "").map_err(text)?;
    let mut container = Container::new(ground, "erofs")?;
    container.set("/root/path", json!(place));
    container.set("/annotations", json!({"io.ashlar.rootfs.idmap": "true"}));
    container.check(
        &[("owner:/", "0:0"), ("owner:/data", "7:8"), ("write:/x", "Read-only file system")],
        &With::default(),
    )?;
    container.set("/annotations", json!({"io.ashlar.rootfs.idmap": "true", "io.ashlar.rootfs.overlay": "tmpfs"}));
    container.check(
        &[("owner:/data", "7:8"), ("write:/data/x", "done"), ("owner:/data/x", "0:0"), ("write:/x", "done")],
        &With::default(),
    )
}
