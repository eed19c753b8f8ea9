//! Small files of one node (identity, key, peers): a magic of four letters, a format byte, a postcard value and a
//! CRC32C over all before it. They are written with [`Disk::replace`], so a crash leaves the old file or the new one.
//!
//! [`Disk::replace`]: crate::runtime::Disk::replace

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Encodes a file's content.
pub fn encode<T: Serialize>(magic: &[u8; 4], value: &T) -> Bytes {
    let mut bytes = magic.to_vec();
    bytes.push(FORMAT);
    let mut bytes = postcard::to_extend(value, bytes).expect("a node file's value always encodes");
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes.into()
}

/// Decodes a file's content.
///
/// # Errors
/// If it is another kind of file, of a newer format, or damaged.
pub fn decode<T: DeserializeOwned>(magic: &[u8; 4], bytes: &[u8]) -> Result<T, NodeFileError> {
    let (content, crc) = bytes.split_last_chunk::<4>().ok_or(NodeFileError::Damaged)?;
    let (head, rest) = content.split_first_chunk::<4>().ok_or(NodeFileError::Damaged)?;
    if head != magic {
        return Err(NodeFileError::Foreign);
    }
    if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
        return Err(NodeFileError::Damaged);
    }
    match rest.split_first() {
        Some((&FORMAT, value)) => postcard::from_bytes(value).map_err(|_| NodeFileError::Damaged),
        Some((&format, _)) => Err(NodeFileError::Format(format)),
        None => Err(NodeFileError::Damaged),
    }
}

/// Why a node file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeFileError {
    /// Another kind of file.
    #[error("this is no such file")]
    Foreign,
    /// Written by a newer build.
    #[error("format {0}; this build reads format {FORMAT}")]
    Format(u8),
    /// The checksum or the content is wrong.
    #[error("damaged (its checksum does not match its content)")]
    Damaged,
}

/// The format version that this build writes.
const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_it_wrote_and_nothing_else() {
        let bytes = encode(b"TEST", &(7u64, "seven".to_string()));
        assert_eq!(decode::<(u64, String)>(b"TEST", &bytes), Ok((7, "seven".to_string())));
        assert_eq!(decode::<(u64, String)>(b"TOAD", &bytes), Err(NodeFileError::Foreign));
        let mut newer = bytes[..bytes.len() - 4].to_vec();
        newer[4] = 9;
        newer.extend_from_slice(&crc32c::crc32c(&newer).to_le_bytes());
        assert_eq!(decode::<(u64, String)>(b"TEST", &newer), Err(NodeFileError::Format(9)));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_noticed(bit in 0usize..64) {
            let mut bytes = encode(b"TEST", &0x1234_5678_u64).to_vec();
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode::<u64>(b"TEST", &bytes).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode::<(u64, String)>(b"TEST", &bytes);
        }
    }
}
