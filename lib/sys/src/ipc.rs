//! Objects of System V's kinds of communication (sysvipc(7)). They last until somebody removes them.

use std::io;

/// A kind of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// shmget(2).
    Memory,
    /// semget(2).
    Semaphores,
    /// msgget(2).
    Queue,
}

/// Removes the object of this number.
pub fn remove(kind: Kind, number: i32) -> io::Result<()> {
    // SAFETY: IPC_RMID takes no structure.
    crate::result(unsafe {
        match kind {
            Kind::Memory => libc::shmctl(number, libc::IPC_RMID, std::ptr::null_mut()),
            Kind::Semaphores => libc::semctl(number, 0, libc::IPC_RMID),
            Kind::Queue => libc::msgctl(number, libc::IPC_RMID, std::ptr::null_mut()),
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_goes() {
        // SAFETY: takes numbers.
        let number = crate::result(unsafe { libc::semget(libc::IPC_PRIVATE, 1, 0o600) }).unwrap();
        remove(Kind::Semaphores, number).unwrap();
        assert!(remove(Kind::Semaphores, number).is_err());
    }
}
