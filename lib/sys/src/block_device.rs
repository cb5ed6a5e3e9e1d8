//! Partitions of a disk that is in use: the kernel is told of one at a time (BLKPG), because it refuses to read the
//! whole table again while one of them is mounted. Offsets and lengths are in bytes.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

const BLKSSZGET: libc::c_ulong = 0x1268;
const BLKPG: libc::c_ulong = 0x1269;

/// What BLKPG does (Linux `uapi/linux/blkpg.h`).
#[derive(Debug, Clone, Copy)]
enum Operation {
    Add = 1,
    Resize = 3,
}

#[repr(C)]
struct Partition {
    start: i64,
    length: i64,
    number: i32,
    device_name: [u8; 64],
    volume_name: [u8; 64],
}

#[repr(C)]
struct Argument {
    operation: i32,
    flags: i32,
    length: i32,
    data: *mut Partition,
}

/// The size of a sector as the disk counts them.
pub fn sector_size(disk: &File) -> io::Result<u32> {
    let mut size = 0i32;
    // SAFETY: the kernel writes one int.
    crate::result(unsafe { libc::ioctl(disk.as_raw_fd(), BLKSSZGET as _, &raw mut size) })?;
    Ok(size.unsigned_abs())
}

/// Tells the kernel of a partition that it does not know.
pub fn add_partition(disk: &File, number: u32, start: u64, length: u64) -> io::Result<()> {
    partition(disk, Operation::Add, number, start, length)
}

/// Tells the kernel that a partition, mounted or not, has another length now.
pub fn resize_partition(disk: &File, number: u32, start: u64, length: u64) -> io::Result<()> {
    partition(disk, Operation::Resize, number, start, length)
}

fn partition(disk: &File, operation: Operation, number: u32, start: u64, length: u64) -> io::Result<()> {
    let wide = |value: u64| i64::try_from(value).map_err(|_| io::ErrorKind::InvalidInput);
    let number = i32::try_from(number).map_err(|_| io::ErrorKind::InvalidInput)?;
    let (start, length) = (wide(start)?, wide(length)?);
    let mut partition = Partition { start, length, number, device_name: [0; 64], volume_name: [0; 64] };
    let size = size_of::<Partition>() as i32;
    let argument = Argument { operation: operation as i32, flags: 0, length: size, data: &raw mut partition };
    // SAFETY: the argument points to a partition of the length that it says; both live over the call.
    crate::result(unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG as _, &raw const argument) })?;
    Ok(())
}
