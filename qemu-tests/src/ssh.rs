//! SSH by this machine's `ssh`, over one connection that is kept: under emulation a handshake costs more than the command.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::tool;

/// Seconds after which a command in the machine is given up.
const LONGEST: &str = "600";

/// A user's way into a machine.
#[derive(Debug)]
pub struct Ssh {
    folder: PathBuf,
    user: String,
    port: u16,
    connection: Option<Child>,
}

/// How a command in the machine ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Exit code; 255 when the connection broke, 124 when it took too long.
    pub code: i32,
    /// Standard output, without white space at its ends.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

/// A TCP port of 127.0.0.1 that nobody uses.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot take a port of 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// Makes a key pair unless it is there, and returns the public line.
pub fn key_in(folder: &Path) -> Result<String> {
    let key = folder.join("key");
    let public = folder.join("key.pub");
    if !public.exists() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut command = tool::command("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", "core", "-f"]).arg(&key);
        tool::output(&mut command)?;
    }
    let line = std::fs::read_to_string(&public).with_context(|| format!("cannot read {}", public.display()))?;
    Ok(line.trim().to_owned())
}

impl Ssh {
    /// For a forwarded port; the private key is `key` in `folder`, which must have a short path.
    pub fn new(folder: &Path, user: &str, port: u16) -> Self {
        Self { folder: folder.into(), user: user.into(), port, connection: None }
    }

    /// Connects as soon as the machine takes it.
    pub fn connect(&mut self, patience: Duration) -> Result<()> {
        self.disconnect();
        let until = Instant::now() + patience;
        loop {
            let mut master = self.command();
            master.args(["-M", "-N"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = master.spawn().context("cannot run ssh")?;
            let ended = loop {
                if self.is_connected() {
                    break None;
                }
                if let Some(status) = child.try_wait()? {
                    break Some(status);
                }
                if Instant::now() > until {
                    break None;
                }
                std::thread::sleep(Duration::from_millis(100));
            };
            if self.is_connected() {
                self.connection = Some(child);
                return Ok(());
            }
            let _ = child.kill();
            let said = child.wait_with_output().map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
            if Instant::now() > until {
                let said = said.unwrap_or_default();
                bail!("no SSH as {} within {} s: {ended:?} {}", self.user, patience.as_secs(), said.trim());
            }
            // The forwarded port answers before the machine does.
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    fn is_connected(&self) -> bool {
        let check = self.command().args(["-O", "check"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        check.is_ok_and(|status| status.success())
    }

    /// Forgets the connection, such as before a reboot.
    pub fn disconnect(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            let _ = connection.kill();
            let _ = connection.wait();
        }
        let _ = std::fs::remove_file(self.folder.join("ssh"));
    }

    /// Runs a command of the user's shell, with `input` as its standard input.
    pub fn run(&self, line: &str, input: &[u8]) -> Result<Ran> {
        use std::io::Write;
        if self.connection.is_none() {
            bail!("there is no SSH connection");
        }
        let ssh = self.command();
        let mut command = tool::command("timeout");
        command.current_dir(&self.folder).arg(LONGEST).arg(ssh.get_program()).args(ssh.get_args());
        command.arg(line).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot run ssh")?;
        let mut stdin = child.stdin.take().context("ssh has no standard input")?;
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // A command that does not read its input to the end is no fault.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output()?;
        let _ = writer.join();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let code = output.status.code().unwrap_or(255);
        Ok(Ran { code, stdout: text(&output.stdout), stderr: text(&output.stderr) })
    }

    /// `ssh` with all its options, up to the command; for what needs a process of its own.
    pub fn command(&self) -> Command {
        let mut command = tool::command("ssh");
        command.current_dir(&self.folder).args(["-F", "none", "-i", "key", "-p", &self.port.to_string()]);
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ConnectTimeout=60",
            "ServerAliveInterval=20",
            "ServerAliveCountMax=6",
        ] {
            command.args(["-o", option]);
        }
        command.arg("-o").arg(format!("ControlPath={}", self.folder.join("ssh").display()));
        command.arg(format!("{}@127.0.0.1", self.user));
        command
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        self.disconnect();
    }
}

/// A word as a POSIX shell reads it back.
pub fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        let check = |word: &str, expect: &str| assert_eq!(quote(word), expect);
        check("a b", "'a b'");
        check("it's", r"'it'\''s'");
        check("", "''");
    }
}
