//! Frames: a length, a header and a piece of a message. All numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of all that follows |
//! | 8 | id of the request, chosen by who asks |
//! | 1 | kind |
//! | 1 | flags |
//! | rest | at most [`MAX_BODY`] bytes of the message |

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::kind::Kind;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The request's id.
    pub id: u64,
    /// The kind's number; it may be one that this build does not know.
    pub kind: u8,
    /// A combination of the flags below.
    pub flags: u8,
    /// A piece of the message.
    pub body: Bytes,
}

impl Frame {
    /// Whether a flag is set.
    pub fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// An answer, not a request.
pub const RESPONSE: u8 = 1;
/// More frames of this message follow.
pub const MORE: u8 = 2;
/// With [`RESPONSE`]: the body says why the request failed.
pub const FAILED: u8 = 4;
/// With [`RESPONSE`]: the request was not carried out and will not be; the body says why.
pub const DECLINED: u8 = 8;
/// The asker has given up a request of which not all frames were sent: forget it.
pub const CANCEL: u8 = 16;
/// No answer is wanted.
pub const ONE_WAY: u8 = 32;

/// Appends a frame to a buffer.
///
/// # Panics
/// If the body is longer than [`MAX_BODY`].
pub fn put(buffer: &mut BytesMut, id: u64, kind: u8, flags: u8, body: &[u8]) {
    assert!(body.len() <= MAX_BODY, "a frame of {} bytes", body.len());
    buffer.reserve(4 + HEADER + body.len());
    buffer.put_u32_le(u32::try_from(HEADER + body.len()).expect("checked above"));
    buffer.put_u64_le(id);
    buffer.put_u8(kind);
    buffer.put_u8(flags);
    buffer.put_slice(body);
}

/// Takes the next whole frame out of a buffer; `None` if more bytes are needed.
///
/// # Errors
/// If the length is impossible: the stream is not ours, and nothing behind it can be read.
pub fn take(buffer: &mut BytesMut, max_body: usize) -> Result<Option<Frame>, FrameError> {
    let Some(length) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length < HEADER || length - HEADER > max_body {
        return Err(FrameError(length));
    }
    if buffer.len() < 4 + length {
        buffer.reserve(4 + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(4);
    let mut frame = buffer.split_to(length).freeze();
    let (id, kind, flags) = (frame.get_u64_le(), frame.get_u8(), frame.get_u8());
    Ok(Some(Frame { id, kind, flags, body: frame }))
}

/// Reads one frame, before a connection is admitted. Memory is bounded by `max_body`.
///
/// # Errors
/// I/O errors, the end of the stream, an impossible length.
pub async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    max_body: usize,
) -> std::io::Result<Frame> {
    loop {
        if let Some(frame) = take(buffer, max_body).map_err(std::io::Error::other)? {
            return Ok(frame);
        }
        if stream.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Writes one frame and flushes.
///
/// # Errors
/// I/O errors.
pub async fn write(stream: &mut (impl AsyncWrite + Unpin), kind: Kind, body: &[u8]) -> std::io::Result<()> {
    let mut buffer = BytesMut::new();
    put(&mut buffer, 0, kind as u8, 0, body);
    stream.write_all(&buffer).await?;
    stream.flush().await
}

/// An impossible length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes")]
pub struct FrameError(usize);

/// Bytes of id, kind and flags.
const HEADER: usize = 10;
/// The longest body that is accepted.
pub const MAX_BODY: usize = 1 << 20;
/// The longest body that is sent: short, so that lanes take turns often.
pub const CHUNK: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn impossible_lengths_are_refused() {
        for length in [0u32, 9, 10 + 17, u32::MAX] {
            let mut buffer = BytesMut::from(length.to_le_bytes().as_slice());
            assert!(take(&mut buffer, 16).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn frames_survive_any_cut(
            frames in proptest::collection::vec(
                (any::<u64>(), any::<u8>(), any::<u8>(), proptest::collection::vec(any::<u8>(), 0..200)), 0..8),
            cut in 1usize..64,
        ) {
            let mut wire = BytesMut::new();
            for (id, kind, flags, body) in &frames {
                put(&mut wire, *id, *kind, *flags, body);
            }
            let (mut buffer, mut got) = (BytesMut::new(), Vec::new());
            for piece in wire.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = take(&mut buffer, MAX_BODY).unwrap() {
                    got.push((frame.id, frame.kind, frame.flags, frame.body.to_vec()));
                }
            }
            prop_assert_eq!(got, frames);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let mut buffer = BytesMut::from(bytes.as_slice());
            while let Ok(Some(_)) = take(&mut buffer, 128) {}
        }
    }
}
