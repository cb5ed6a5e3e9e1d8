//! Little-endian fields of a header, at their offsets.
//!
//! Beyond the end of the bytes is zero: readers check the lengths that matter, and none can be made to panic.

/// `N` bytes at an offset.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

pub(crate) fn u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

pub(crate) fn u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

pub(crate) fn u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// Writes a field into a header that is large enough for it.
pub(crate) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// Text in a field that is filled up with zeros or blanks.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_zeros_beyond_the_end() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(u64(&bytes, 0), 0x0807_0605_0403_0201);
        assert_eq!(u32(&bytes, 4), 0x0807_0605);
        assert_eq!(u32(&bytes, 5), 0);
        assert_eq!(u16(&bytes, usize::MAX), 0);
        assert_eq!(text(b"ESP     \0x"), "ESP");
    }
}
