//! `.sbat`: what can be revoked (shim, "SBAT.md"). An image is all of its stub, its kernel and a unified kernel image,
//! so it carries the lines of each.

use super::{Error, Image};
use crate::field::{put, text, u32};

const NAME: &str = ".sbat";
const HEADER: &str = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md\n";
/// The same line that ukify adds.
const OWN: &str = "uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/\n";

/// The stub with all lines in its section; unchanged, if it has none.
pub(super) fn merged(stub: &[u8], kernel: &Image<'_>) -> Result<Vec<u8>, Error> {
    let image = Image::parse(stub)?;
    let mut output = stub.to_vec();
    let Some(n) = image.sections().position(|section| section.name == NAME) else {
        return Ok(output);
    };
    let lines = [image, *kernel].into_iter().filter_map(|image| image.section(NAME)).map(lines);
    let merged = format!("{HEADER}{}{OWN}\0", lines.collect::<String>());
    let [room, at] = [16, 20].map(|field| u32(image.header(n), field) as usize);
    if merged.len() > room {
        return Err(Error::NoRoom(NAME));
    }
    output[at..at + room].fill(0);
    put(&mut output, at, merged.as_bytes());
    put(&mut output, image.header_at(n) + 8, &(merged.len() as u32).to_le_bytes());
    Ok(output)
}

/// The lines behind the header, which there is only one of.
fn lines(section: &[u8]) -> String {
    text(section).lines().skip(1).map(|line| format!("{line}\n")).collect()
}
