//! The compressions that Debian's files come in, by name, with a limit on what comes out.
//!
//! What comes in was checked against a SHA-256 already, so xz's own CRC64 of the content is not computed
//! again: that was 8 % of unpacking.
//!
//! liblzma, not a decoder in Rust: xz is most of what a build decompresses, and it takes 0.48 s for a
//! package index where lzma-rs takes 0.77 s.

use std::io::{self, Read};

use liblzma::stream::{IGNORE_CHECK, Stream};

/// Memory that a decoder may ask for; xz -9 needs 65 MB.
const MAX_MEMORY: u64 = 256 << 20;
/// 2 to this power is the window that zstd may ask for.
const MAX_WINDOW_LOG: u32 = 27;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip
    Gzip,
    /// xz
    Xz,
    /// zstd
    Zstd,
}

impl Compression {
    /// By the extension after a name, `""` included.
    pub fn by_extension(extension: &str) -> Option<Self> {
        match extension {
            "" => Some(Self::None),
            ".gz" => Some(Self::Gzip),
            ".xz" => Some(Self::Xz),
            ".zst" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// A reader of the content, which fails after `limit` bytes of it.
    ///
    /// # Errors
    /// The decoder cannot be made.
    pub fn reader<'a>(self, bytes: &'a [u8], limit: u64) -> io::Result<Limited<Box<dyn Read + 'a>>> {
        let inner: Box<dyn Read + 'a> = match self {
            Self::None => Box::new(bytes),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(MAX_MEMORY, IGNORE_CHECK).map_err(io::Error::from)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(bytes, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Box::new(decoder)
            }
        };
        Ok(Limited { inner, left: limit, limit })
    }
}

/// Decompresses into memory.
///
/// # Errors
/// The content is damaged or larger than the limit.
pub fn expand(compression: Compression, bytes: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    compression.reader(bytes, limit)?.read_to_end(&mut content)?;
    Ok(content)
}

/// A reader that fails, instead of ending, where the content is larger than its limit.
pub struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::other(format!("the content is larger than {} bytes", self.limit)))?;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn compress(compression: Compression, content: &[u8]) -> Vec<u8> {
        match compression {
            Compression::None => content.to_vec(),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Xz => liblzma::encode_all(content, 1).unwrap(),
            Compression::Zstd => zstd::encode_all(content, 1).unwrap(),
        }
    }

    #[test]
    fn expands_up_to_the_limit() {
        let content = vec![7; 1 << 20];
        for extension in ["", ".gz", ".xz", ".zst"] {
            let compression = Compression::by_extension(extension).unwrap();
            let packed = compress(compression, &content);
            assert_eq!(expand(compression, &packed, 1 << 20).unwrap(), content, "{extension}");
            let error = expand(compression, &packed, (1 << 20) - 1).unwrap_err();
            assert!(error.to_string().contains("larger than 1048575 bytes"), "{extension}: {error}");
            if compression != Compression::None {
                assert!(expand(compression, &packed[..packed.len() / 2], 1 << 20).is_err(), "{extension} cut");
                assert!(expand(compression, b"nonsense", 1 << 20).is_err(), "{extension} nonsense");
            }
        }
        assert_eq!(Compression::by_extension(".lzma"), None);
    }
}
