//! Where the bytes of a block come from.

use std::fmt;
use std::io;

/// Reads parts of one payload.
pub trait Source: Send + Sync {
    /// The bytes from `offset` in the payload on.
    ///
    /// # Errors
    /// As of reading a file; also if there are fewer.
    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

impl fmt::Debug for dyn Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// A payload in memory.
impl Source for Vec<u8> {
    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let from = usize::try_from(offset).ok();
        let part = from.and_then(|from| self.get(from..from.checked_add(length)?));
        part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
