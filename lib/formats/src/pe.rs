//! Unified kernel images: systemd's stub, a PE file (Microsoft's "PE Format"), with kernel, initramfs and command
//! line as further sections (UAPI Group specification "Unified Kernel Image"). One file, signed as one.
//!
//! Sections are added the way systemd's ukify does it: behind the last one in memory and in the file, each
//! aligned, no byte of the stub's own moved; an image is equal to ukify's, byte for byte. The stub is the suite's.

#[cfg(feature = "secure-boot")]
pub mod authenticode;
mod sbat;

use std::ops::Range;

use crate::field::{put, text, u16, u32};

/// COFF machine numbers.
pub const X86_64: u16 = 0x8664;
/// See [`X86_64`].
pub const ARM64: u16 = 0xaa64;

const PE32_PLUS: u16 = 0x020b;
const COFF: usize = 20;
const SECTION: usize = 40;
const MAX_SECTIONS: u16 = 96;
/// The optional header's fields up to the directories.
const OPTIONAL: usize = 112;
/// Which of the data directories holds signatures.
const SECURITY: usize = 4;
const NX_COMPAT: u16 = 0x0100;

const CODE: u32 = 0x20;
const DATA: u32 = 0x40;
const READABLE: u32 = 0x4000_0000;

/// What goes into a unified kernel image.
#[derive(Clone, Copy, Debug)]
pub struct Uki<'a> {
    /// os-release: the boot loader shows and sorts by it, and skips an image without.
    pub os_release: &'a str,
    /// Kernel command line.
    pub command_line: &'a str,
    /// Kernel release as uname(1) prints it.
    pub kernel_release: Option<&'a str>,
    /// Kernel, itself a PE file.
    pub kernel: &'a [u8],
    /// Compressed initramfs.
    pub initramfs: &'a [u8],
}

/// A section of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Name: `.linux`.
    pub name: String,
    /// Address in memory, from the image's base.
    pub address: u32,
    /// Its bytes, without padding.
    pub content: &'a [u8],
}

/// Where a section is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name: `.linux`.
    pub name: String,
    /// Bytes in memory.
    pub in_memory: u32,
    /// From where to where in the file, padding included.
    pub in_file: Range<u64>,
}

/// An image cannot be read or made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// It is no PE file of the 64-bit kind.
    #[error("read the PE file: {0}")]
    Form(&'static str),
    /// The stub has a signature, which adding sections would break.
    #[error("add sections to the boot stub: it is signed; take the unsigned one")]
    Signed,
    /// No space for a section's header.
    #[error("add section {0} to the boot stub: its headers have no room left")]
    NoRoom(&'static str),
    /// The image would be larger than the format allows.
    #[error("add section {0} to the boot stub: the image would be larger than 4 GiB")]
    TooLarge(&'static str),
    /// It has no signature at all.
    #[cfg(feature = "secure-boot")]
    #[error("it is not signed")]
    Unsigned,
    /// It has one that does not count.
    #[cfg(feature = "secure-boot")]
    #[error(transparent)]
    Signature(#[from] crate::signed_data::Error),
}

/// A PE file, its headers checked.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    bytes: &'a [u8],
    coff: usize,
    optional: usize,
    sections: usize,
    count: usize,
}

impl<'a> Image<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    /// It is damaged or of another kind.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let image = Self::headers(bytes)?;
        let ends = (0..image.count).map(|n| image.content(n).map(|_| ()));
        ends.collect::<Option<()>>().ok_or(Error::Form("a section lies outside the file"))?;
        Ok(image)
    }

    /// Of bytes that may end behind the headers.
    fn headers(bytes: &'a [u8]) -> Result<Self, Error> {
        let signature = u32(bytes, 60) as usize;
        let coff = signature.saturating_add(4);
        if !bytes.starts_with(b"MZ") || bytes.get(signature..coff) != Some(b"PE\0\0") {
            return Err(Error::Form("it is none"));
        }
        let optional = coff + COFF;
        let optional_bytes = usize::from(u16(bytes, coff + 16));
        if u16(bytes, optional) != PE32_PLUS || optional_bytes < OPTIONAL {
            return Err(Error::Form("it is not of the 64-bit kind"));
        }
        let sections = optional + optional_bytes;
        let count = u16(bytes, coff + 2);
        let end = sections + usize::from(count) * SECTION;
        if !(1..=MAX_SECTIONS).contains(&count) || end > bytes.len() || end > u32(bytes, optional + 60) as usize {
            return Err(Error::Form("its section headers are cut"));
        }
        let image = Self { bytes, coff, optional, sections, count: count.into() };
        let powers = [image.section_alignment(), image.file_alignment()];
        if powers.iter().any(|power| !power.is_power_of_two() || !(1 << 9..=1 << 21).contains(power)) {
            return Err(Error::Form("its alignment is out of range"));
        }
        Ok(image)
    }

    /// Machine that it runs on.
    pub fn machine(&self) -> u16 {
        u16(self.bytes, self.coff)
    }

    /// Sections in the order of their headers.
    pub fn sections(&self) -> impl Iterator<Item = Section<'a>> + '_ {
        (0..self.count).map(|n| {
            let header = self.header(n);
            let content = self.content(n).unwrap_or_default();
            Section { name: text(&header[..8]), address: u32(header, 12), content }
        })
    }

    /// A section's content by its name.
    pub fn section(&self, name: &str) -> Option<&'a [u8]> {
        self.sections().find(|section| section.name == name).map(|section| section.content)
    }

    fn header_at(&self, n: usize) -> usize {
        self.sections + n * SECTION
    }

    fn header(&self, n: usize) -> &'a [u8] {
        &self.bytes[self.header_at(n)..][..SECTION]
    }

    fn content(&self, n: usize) -> Option<&'a [u8]> {
        let [in_memory, in_file, at] = [8, 16, 20].map(|field| u32(self.header(n), field) as usize);
        self.bytes.get(at..)?.get(..in_file).map(|raw| &raw[..in_memory.min(in_file)])
    }

    fn section_alignment(&self) -> u32 {
        u32(self.bytes, self.optional + 32)
    }

    fn file_alignment(&self) -> u32 {
        u32(self.bytes, self.optional + 36)
    }

    fn is_signed(&self) -> bool {
        let directories = u32(self.bytes, self.optional + 108) as usize;
        directories > SECURITY && u32(self.bytes, self.optional + OPTIONAL + 8 * SECURITY) != 0
    }

    /// First free address in memory.
    fn memory_end(&self) -> u64 {
        let ends = (0..self.count).map(|n| u64::from(u32(self.header(n), 8)) + u64::from(u32(self.header(n), 12)));
        ends.max().unwrap_or_default()
    }
}

/// Where the sections of an image are, by its first bytes alone: they may lie outside of it.
///
/// # Errors
/// The headers are not whole, or those of another kind.
pub fn places(head: &[u8]) -> Result<Vec<Place>, Error> {
    let image = Image::headers(head)?;
    let place = |n| {
        let header = image.header(n);
        let [in_memory, in_file, at] = [8, 16, 20].map(|field| u32(header, field));
        let at = u64::from(at);
        Place { name: text(&header[..8]), in_memory, in_file: at..at + u64::from(in_file) }
    };
    Ok((0..image.count).map(place).collect())
}

/// Puts an image together.
///
/// # Errors
/// Stub or kernel are no PE files, or the parts do not fit.
pub fn write(stub: &[u8], uki: &Uki<'_>) -> Result<Vec<u8>, Error> {
    let kernel = Image::parse(uki.kernel)?;
    let mut output = sbat::merged(stub, &kernel)?;
    output = append(&output, ".osrel", uki.os_release.as_bytes(), DATA)?;
    output = append(&output, ".cmdline", uki.command_line.as_bytes(), DATA)?;
    if let Some(release) = uki.kernel_release {
        output = append(&output, ".uname", release.as_bytes(), DATA)?;
    }
    output = append(&output, ".linux", uki.kernel, CODE)?;
    output = append(&output, ".initrd", uki.initramfs, DATA)?;
    // Both have to say the same about memory that is not executable, or firmware that cares refuses to boot.
    let flags_at = Image::parse(stub)?.optional + 70;
    let flags = u16(&output, flags_at);
    if u16(uki.kernel, kernel.optional + 70) & NX_COMPAT == 0 {
        put(&mut output, flags_at, &(flags & !NX_COMPAT).to_le_bytes());
    }
    Ok(output)
}

fn append(image: &[u8], name: &'static str, content: &[u8], kind: u32) -> Result<Vec<u8>, Error> {
    let headers = Image::parse(image)?;
    let Image { coff, optional, sections, count, .. } = headers;
    if headers.is_signed() {
        return Err(Error::Signed);
    }
    let large = |_| Error::TooLarge(name);
    let (in_memory, in_file) = (u64::from(headers.section_alignment()), headers.file_alignment() as usize);
    let header_at = sections + count * SECTION;
    let headers_end = u32(image, optional + 60) as usize;
    if header_at + SECTION > headers_end {
        return Err(Error::NoRoom(name));
    }
    let content_at = image.len().next_multiple_of(in_file);
    let end = (content_at + content.len()).next_multiple_of(in_file);
    let address = headers.memory_end().next_multiple_of(in_memory);
    let image_end = (address + content.len() as u64).next_multiple_of(in_memory);

    let mut output = Vec::with_capacity(end);
    output.extend_from_slice(image);
    output.resize(content_at, 0);
    output.extend_from_slice(content);
    output.resize(end, 0);

    let mut header = [0; SECTION];
    put(&mut header, 0, name.as_bytes());
    put(&mut header, 8, &u32::try_from(content.len()).map_err(large)?.to_le_bytes());
    put(&mut header, 12, &u32::try_from(address).map_err(large)?.to_le_bytes());
    put(&mut header, 16, &u32::try_from(end - content_at).map_err(large)?.to_le_bytes());
    put(&mut header, 20, &u32::try_from(content_at).map_err(large)?.to_le_bytes());
    put(&mut header, 36, &(kind | READABLE).to_le_bytes());
    put(&mut output, header_at, &header);

    let data_bytes = u32(image, optional + 8).saturating_add(content.len() as u32);
    put(&mut output, coff + 2, &(count as u16 + 1).to_le_bytes());
    put(&mut output, optional + 8, &data_bytes.to_le_bytes());
    put(&mut output, optional + 56, &u32::try_from(image_end).map_err(large)?.to_le_bytes());
    put(&mut output, optional + 64, &[0; 4]);
    Ok(output)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A PE file of one section, with room for `room` more headers.
    pub(crate) fn stub(room: usize) -> Vec<u8> {
        let headers = 64 + 4 + COFF + 240 + SECTION * (1 + room);
        let first = headers.next_multiple_of(512);
        let mut bytes = vec![0; first];
        put(&mut bytes, 0, b"MZ");
        put(&mut bytes, 60, &64u32.to_le_bytes());
        put(&mut bytes, 64, b"PE\0\0");
        put(&mut bytes, 68, &X86_64.to_le_bytes());
        put(&mut bytes, 70, &1u16.to_le_bytes());
        put(&mut bytes, 84, &240u16.to_le_bytes());
        put(&mut bytes, 88, &PE32_PLUS.to_le_bytes());
        put(&mut bytes, 88 + 32, &4096u32.to_le_bytes());
        put(&mut bytes, 88 + 36, &512u32.to_le_bytes());
        put(&mut bytes, 88 + 60, &(headers as u32).to_le_bytes());
        put(&mut bytes, 88 + 70, &NX_COMPAT.to_le_bytes());
        put(&mut bytes, 88 + 108, &16u32.to_le_bytes());
        put(&mut bytes, 328, b".text");
        for (at, value) in [(8, 5000), (12, 4096), (16, 5120), (20, first as u32)] {
            put(&mut bytes, 328 + at, &u32::to_le_bytes(value));
        }
        bytes.resize(first + 5120, 7);
        bytes
    }

    fn uki(kernel: &[u8]) -> Uki<'_> {
        let (os_release, command_line) = ("ID=ashlar\n", "roothash=00 quiet");
        Uki { os_release, command_line, kernel_release: Some("6.12"), kernel, initramfs: b"initramfs" }
    }

    #[test]
    fn writes_sections_that_it_reads() {
        let kernel = stub(0);
        let bytes = write(&stub(5), &uki(&kernel)).unwrap();
        let image = Image::parse(&bytes).unwrap();
        let found: Vec<_> = image.sections().map(|section| (section.name, section.address, section.content)).collect();
        let text = [7; 5000];
        let expect: [(&str, u32, &[u8]); 6] = [
            (".text", 0x1000, &text),
            (".osrel", 0x3000, b"ID=ashlar\n"),
            (".cmdline", 0x4000, b"roothash=00 quiet"),
            (".uname", 0x5000, b"6.12"),
            (".linux", 0x6000, &kernel),
            (".initrd", 0x8000, b"initramfs"),
        ];
        assert_eq!(found, expect.map(|(name, address, content)| (name.to_owned(), address, content)));
        assert_eq!(u32(&bytes, 88 + 56), 0x9000);
        assert_eq!((image.machine(), image.section(".initrd")), (X86_64, Some(&b"initramfs"[..])));
        assert_eq!(image.section(".dtb"), None);
        assert!(bytes.len().is_multiple_of(512));
    }

    #[test]
    fn can_be_revoked_by_each_of_its_parts() {
        let with = |line: &str| {
            let mut stub = stub(6);
            put(&mut stub, 328, b".sbat\0\0\0");
            let at = stub.len() - 5120;
            put(&mut stub, at, format!("sbat,1,x\n{line}\n\0").as_bytes());
            stub
        };
        let kernel = with("linux,1,Linux");
        let bytes = write(&with("systemd-stub,1,systemd"), &uki(&kernel)).unwrap();
        let text = text(Image::parse(&bytes).unwrap().section(".sbat").unwrap());
        let lines: Vec<_> = text.lines().map(|line| line.split(',').next().unwrap_or_default()).collect();
        assert_eq!(lines, ["sbat", "systemd-stub", "linux", "uki"]);
        let long = "x".repeat(5000);
        assert_eq!(write(&with(&long), &uki(&with(&long))), Err(Error::NoRoom(".sbat")));
    }

    #[test]
    fn agrees_with_its_kernel_about_memory() {
        let mut kernel = stub(0);
        let flags = |kernel: &[u8]| u16(&write(&stub(5), &uki(kernel)).unwrap(), 88 + 70);
        assert_eq!(flags(&kernel), NX_COMPAT);
        put(&mut kernel, 88 + 70, &[0, 0]);
        assert_eq!(flags(&kernel), 0);
    }

    #[test]
    fn refuses_stubs_that_cannot_be_added_to() {
        let kernel = stub(0);
        assert_eq!(write(&stub(3), &uki(&kernel)), Err(Error::NoRoom(".linux")));
        let mut signed = stub(5);
        put(&mut signed, 88 + OPTIONAL + 8 * SECURITY, &[1]);
        assert_eq!(write(&signed, &uki(&kernel)), Err(Error::Signed));
        assert_eq!(write(&stub(5), &uki(b"kernel")), Err(Error::Form("it is none")));
    }

    #[test]
    fn refuses_damage() {
        #[track_caller]
        fn check(at: usize, value: &[u8], part: &str) {
            let mut bytes = stub(1);
            put(&mut bytes, at, value);
            let error = Image::parse(&bytes).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        check(0, b"ZM", "it is none");
        check(60, &[255; 4], "it is none");
        check(84, &[0; 2], "64-bit");
        check(84, &[255; 2], "section headers are cut");
        check(70, &[255; 2], "section headers are cut");
        check(70, &[0; 2], "section headers are cut");
        check(88 + 36, &[0; 4], "alignment");
        check(328 + 16, &[255; 4], "outside the file");
        check(328 + 20, &[255; 4], "outside the file");
        assert!(Image::parse(b"MZ").is_err());
    }
}
