//! Partition types: those of the Discoverable Partitions Specification that Ashlar's disks have.

use crate::uuid::Uuid;

/// EFI system partition.
pub const ESP: Uuid = Uuid::from_u128(0xc12a7328_f81f_11d2_ba4b_00a0c93ec93b);
/// Root file system, x86-64.
pub const ROOT_X86_64: Uuid = Uuid::from_u128(0x4f68bce3_e8cd_4db1_96e7_fbcaf984b709);
/// Verity hash tree of a root, x86-64.
pub const ROOT_VERITY_X86_64: Uuid = Uuid::from_u128(0x2c7357ed_ebd2_46d9_aec1_23d437ec2bf5);
/// Root file system, 64-bit ARM.
pub const ROOT_ARM64: Uuid = Uuid::from_u128(0xb921b045_1df0_41c3_af44_4c6f280d3fae);
/// Verity hash tree of a root, 64-bit ARM.
pub const ROOT_VERITY_ARM64: Uuid = Uuid::from_u128(0xdf3300ce_d69f_4c92_978c_9bfb0f38d820);
/// Variable data, mounted at /var.
pub const VAR: Uuid = Uuid::from_u128(0x4d21b016_b534_45c2_a9fb_5c16e091fd2d);

/// The specification's short name of a type, if it is one of the above.
pub fn name(type_id: Uuid) -> Option<&'static str> {
    match type_id {
        ESP => Some("esp"),
        ROOT_X86_64 => Some("root-x86-64"),
        ROOT_VERITY_X86_64 => Some("root-x86-64-verity"),
        ROOT_ARM64 => Some("root-arm64"),
        ROOT_VERITY_ARM64 => Some("root-arm64-verity"),
        VAR => Some("var"),
        _ => None,
    }
}
