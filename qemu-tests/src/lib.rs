//! ashlar-qemu-tests.
