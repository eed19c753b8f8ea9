//! The files of the log: their names, and making one ready to be written without any change of metadata.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::frame;
use crate::runtime::disk::Open;
use crate::runtime::{Disk, File};

/// The file of a segment.
pub(super) fn path(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("{sequence:012}.log"))
}

/// The sequence in a segment's name; `None` for any other name.
pub(super) fn sequence(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// The file that becomes the next segment.
pub(super) fn spare_path(dir: &Path) -> PathBuf {
    dir.join("next.new")
}

/// A file prepared in advance.
pub(super) struct Spare {
    pub(super) file: File,
    pub(super) len: u64,
}

/// Begins to prepare the next segment beside the work on the present one.
pub(super) fn prepare_in_background(disk: &Disk, dir: &Path, len: u64) -> oneshot::Receiver<io::Result<Spare>> {
    let (sender, receiver) = oneshot::channel();
    let (disk, dir) = (disk.clone(), dir.to_path_buf());
    tokio::spawn(async move {
        // A log that has ended meanwhile needs no segment.
        let _ = sender.send(prepare(&disk, &dir, len).await);
    });
    receiver
}

/// Makes a file of `len` zeros. They are really written: on most file systems the first write to a block that is only
/// reserved changes metadata, and each commit would pay for that with a second write to the journal.
pub(super) async fn prepare(disk: &Disk, dir: &Path, len: u64) -> io::Result<Spare> {
    let len = frame::align(len);
    let path = spare_path(dir);
    // Never the file of an earlier attempt: something may still be writing to that.
    match disk.remove(&path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.open(&path, Open::NEW).await?;
    file.preallocate(len).await?;
    let zeros = Bytes::from(vec![0; usize::try_from(len.min(ZEROS)).map_err(io::Error::other)?]);
    let mut offset = 0;
    while offset < len {
        let piece = zeros.len().min(usize::try_from(len - offset).unwrap_or(usize::MAX));
        file.write_at(offset, zeros.slice(..piece)).await?;
        offset += piece as u64;
    }
    file.sync().await?;
    Ok(Spare { file, len })
}

/// Whether an error only says that there is no space.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Zeros are written in pieces of so many bytes.
const ZEROS: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let path = path(Path::new("/log"), 42);
        assert_eq!(path.file_name().and_then(|name| name.to_str()).and_then(sequence), Some(42));
        for name in ["next.new", "42.log", "00000000004x.log", "000000000042.log.new", ".log"] {
            assert_eq!(sequence(name), None);
        }
    }
}
