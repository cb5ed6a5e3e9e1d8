//! A registry server from Debian, of one test alone, with what it keeps in a folder that goes with it. Each test that needs
//! one includes this file.
#![allow(dead_code)]

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// `publisher:open sesame`, in base64, and as bcrypt has it.
pub const LOGIN: &str = "cHVibGlzaGVyOm9wZW4gc2VzYW1l";
const HTPASSWD: &str = "publisher:$2b$04$nru7NCaGaCKFhdU4g78Py.XwltQqLyVj4Q/Lj8FGV/sAOOarDucX2\n";

#[derive(Debug)]
pub struct DockerRegistry {
    process: Child,
    pub host: SocketAddr,
    folder: PathBuf,
}

impl DockerRegistry {
    /// Either everybody may do everything, or only who logs in.
    pub fn start(for_all: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ashlar-registry-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let host = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let [config, htpasswd, requests] = ["config.yml", "htpasswd", "requests"].map(|name| folder.join(name));
        fs::write(&htpasswd, HTPASSWD).unwrap();
        let data = folder.join("data");
        let mut text =
            format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: {data:?}}}}}\nhttp: {{addr: \"{host}\"}}\n");
        if !for_all {
            text += &format!("auth: {{htpasswd: {{realm: test, path: {htpasswd:?}}}}}\n");
        }
        fs::write(&config, text).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(File::create(requests).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is not installed: `cargo xtask setup` does that");
        let begun = Instant::now();
        while TcpStream::connect(host).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "docker-registry does not answer");
            thread::sleep(Duration::from_millis(50));
        }
        Self { process, host, folder }
    }

    pub fn address(&self, name: &str) -> String {
        format!("oci+http://{}/{name}", self.host)
    }

    /// What it was asked for since a place in the list: method, path and status.
    pub fn requests(&self, since: usize) -> Vec<String> {
        let log = fs::read_to_string(self.folder.join("requests")).unwrap();
        let request = |line: &str| {
            let mut parts = line.split('"').skip(1);
            let (asked, answered) = (parts.next()?.rsplit_once(' ')?.0, parts.next()?.split_whitespace().next()?);
            Some(format!("{asked} {answered}"))
        };
        log.lines().filter_map(request).skip(since).collect()
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
