//! Programs that decide what a control group may do: use of devices (BPF_PROG_TYPE_CGROUP_DEVICE), and packets in and
//! out (BPF_PROG_TYPE_CGROUP_SKB).

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// One instruction, as the kernel reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// What to do.
    pub code: u8,
    /// Destination register in the low half, source register in the high half.
    pub registers: u8,
    /// Of a jump or of memory.
    pub offset: i16,
    /// A constant.
    pub immediate: i32,
}

impl Instruction {
    /// One whose constant is a number without a sign.
    pub const fn new(code: u8, registers: u8, offset: i16, immediate: u32) -> Self {
        Self { code, registers, offset, immediate: immediate as i32 }
    }
}

/// What instructions do (kernel documentation, bpf/standardization/instruction-set).
pub mod code {
    /// A register from memory, 32 bits.
    pub const LOAD_WORD: u8 = 0x61;
    /// Bits that both have: a register and the constant, 32 bits.
    pub const AND: u8 = 0x54;
    /// On, unless a register is the constant, 32 bits.
    pub const JUMP_UNLESS_EQUAL: u8 = 0x56;
    /// On, if a register is the constant, 32 bits.
    pub const JUMP_IF_EQUAL: u8 = 0x16;
    /// The end.
    pub const EXIT: u8 = 0x95;
}

const LOAD: i32 = 5;
const ATTACH: i32 = 8;
const FROM_ID: i32 = 13;
const QUERY: i32 = 16;
const ALLOW_MULTI: u32 = 2;
const REPLACE: u32 = 4;

/// What a program decides on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Packets that come in.
    Ingress,
    /// Packets that go out.
    Egress,
    /// Making and opening device nodes.
    Device,
}

impl Hook {
    fn program(self) -> u32 {
        if self == Self::Device { 15 } else { 8 }
    }

    fn attach(self) -> u32 {
        match self {
            Self::Ingress => 0,
            Self::Egress => 1,
            Self::Device => 6,
        }
    }
}

/// The parts of `union bpf_attr` that are used; the kernel takes shorter ones than its own.
#[derive(Default)]
#[repr(C, align(8))]
struct Attributes([u32; 20]);

impl Attributes {
    fn pointer(&mut self, place: usize, value: u64) {
        self.0[place] = value as u32;
        self.0[place + 1] = (value >> 32) as u32;
    }
}

/// Attributes are 32-bit words; a pointer's low word comes first.
const _: () = assert!(cfg!(target_endian = "little"));

fn bpf(command: i32, attributes: &mut Attributes) -> io::Result<i32> {
    // SAFETY: the structure is as large as is said; each caller fills in the pointers that the command reads or writes.
    let value =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<Attributes>()) };
    crate::result(value as i32)
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: only called with a descriptor that the kernel just returned.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Loads a program.
pub fn load(hook: Hook, instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let mut attributes = Attributes::default();
    attributes.0[0] = hook.program();
    attributes.0[1] = instructions.len() as u32;
    attributes.pointer(2, instructions.as_ptr() as u64);
    attributes.pointer(4, c"Apache-2.0".as_ptr() as u64);
    attributes.0[17] = hook.attach();
    bpf(LOAD, &mut attributes).map(owned)
}

/// Makes `program` the one of a control group: in place of the one that is there, beside what its parents have.
pub fn attach(group: &impl AsFd, hook: Hook, program: &OwnedFd) -> io::Result<()> {
    let group = group.as_fd().as_raw_fd() as u32;
    let old = attached(group, hook)?;
    let mut attributes = Attributes::default();
    attributes.0[0] = group;
    attributes.0[1] = program.as_raw_fd() as u32;
    attributes.0[2] = hook.attach();
    attributes.0[3] = ALLOW_MULTI;
    if let Some(old) = &old {
        attributes.0[3] |= REPLACE;
        attributes.0[4] = old.as_raw_fd() as u32;
    }
    bpf(ATTACH, &mut attributes)?;
    Ok(())
}

/// The last program of a group itself.
fn attached(group: u32, hook: Hook) -> io::Result<Option<OwnedFd>> {
    let mut ids = [0u32; 64];
    let mut attributes = Attributes::default();
    attributes.0[0] = group;
    attributes.0[1] = hook.attach();
    attributes.pointer(4, ids.as_mut_ptr() as u64);
    attributes.0[6] = ids.len() as u32;
    bpf(QUERY, &mut attributes)?;
    let count = (attributes.0[6] as usize).min(ids.len());
    let Some(id) = ids[..count].last() else { return Ok(None) };
    let mut attributes = Attributes::default();
    attributes.0[0] = *id;
    bpf(FROM_ID, &mut attributes).map(|fd| Some(owned(fd)))
}
