//! A new terminal of the container's own: made in its file system, so that it is found there by its name.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use ashlar_sys::{at, socket, terminal};

use crate::error::{Failure, InStep, Step};
use crate::spec::Process;

/// Number of the device that makes terminals, in every file system of theirs.
const MAKER: (u64, u64) = (5, 2);
/// What a receiver may call it.
const NAME: &[u8] = b"terminal";

/// A terminal, and its other end.
#[derive(Debug)]
pub(crate) struct Console {
    controller: OwnedFd,
    pub(crate) terminal: OwnedFd,
}

impl Console {
    /// Makes one below `root`, of the size and for the user that are written.
    pub(crate) fn new(root: &OwnedFd, process: &Process) -> Result<Self, Failure> {
        const PATH: &str = "/dev/pts/ptmx";
        let controller = at::open(root, Path::new(PATH)).step(Step::Terminal, PATH)?;
        let controller = File::from(controller);
        let meta = controller.metadata().step(Step::Terminal, PATH)?;
        let number = (meta.rdev() >> 8 & 0xfff, meta.rdev() & 0xff);
        // The container may have put anything there.
        if !meta.file_type().is_char_device() || number != MAKER {
            return Err(Failure::because(Step::Terminal, PATH, "it does not make terminals"));
        }
        let controller = OwnedFd::from(controller);
        let terminal = terminal::peer(&controller).step(Step::Terminal, PATH)?;
        if let Some(size) = process.console_size {
            terminal::set_size(&terminal, (size.height, size.width)).step(Step::Terminal, "of this size")?;
        }
        if process.user.uid != 0 {
            terminal::give(&terminal, process.user.uid).step(Step::Terminal, "for the user")?;
        }
        Ok(Self { controller, terminal })
    }

    /// Sends the other end away; what is left is the terminal.
    pub(crate) fn send(self, socket: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
        let sent = socket::send(&socket, NAME, &[self.controller.as_raw_fd()]);
        sent.step(Step::Terminal, "to its socket")?;
        Ok(self.terminal)
    }
}
