//! The runtime is killed in the middle of `create`, at one moment after the other: what was made is found and removed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::fixture::{Place, mounts_below, processes_of};

/// Moments that are tried.
const MOMENTS: u32 = 60;

#[test]
fn nothing_is_left() {
    let Some(mut place) = Place::new() else { return };
    // Longer than it takes, as the first one tells.
    let start = Instant::now();
    assert_eq!(place.create("whole", &["sleep", "60"]).code, 0);
    let whole = start.elapsed();
    assert_eq!(place.call(&["delete", "--force", "whole"]).code, 0);
    let mut interrupted = 0;
    for moment in 0..MOMENTS {
        let mut create = place.command(&["create", "k"], &[]);
        let mut create = create.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * moment / MOMENTS);
        let _ = create.kill();
        interrupted += u32::from(!create.wait().unwrap().success());
        let deleted = place.call(&["delete", "--force", "k"]);
        assert_eq!(deleted.code, 0, "moment {moment}: {deleted:?}");
        assert_eq!(place.call(&["list", "-q"]).out, "", "moment {moment}: its folder is left");
        assert_eq!(mounts_below(&place.folder), Vec::<String>::new(), "moment {moment}: a mount is left");
        // A process that nobody told to go on ends by itself.
        let end = Instant::now() + Duration::from_secs(5);
        while !processes_of(&place.folder).is_empty() {
            assert!(Instant::now() < end, "moment {moment}: {:?} are left", processes_of(&place.folder));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    assert!(interrupted > 5, "only {interrupted} of {MOMENTS} were killed before they were done");
}
