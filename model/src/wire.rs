//! How Frames travel over a pipe: a little-endian `u32` length, then the Frame's MessagePack map.

use crate::frame::{Frame, MOST_BYTES};

/// Why bytes on a pipe are not a Frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The length is more than a Frame may have.
    #[error("a Frame of {found} bytes announced; at most {MOST_BYTES} are taken")]
    TooLong {
        /// The length as announced.
        found: usize,
    },
    /// The Frame could not be written or read.
    #[error("not a Frame: {0}")]
    Malformed(String),
}

/// A Frame with its length before it.
///
/// # Errors
/// [`WireError::TooLong`] for a Frame that no reader would take.
pub fn pack(frame: &Frame) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![0; 4];
    let body = frame.to_wire().map_err(|error| WireError::Malformed(error.to_string()))?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MOST_BYTES);
    let length = length.ok_or(WireError::TooLong { found: body.len() })?;
    bytes.copy_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// The length that the four bytes before a Frame announce, checked against the bound.
///
/// # Errors
/// [`WireError::TooLong`].
pub fn length(prefix: [u8; 4]) -> Result<usize, WireError> {
    let found = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    if found > MOST_BYTES { Err(WireError::TooLong { found }) } else { Ok(found) }
}

/// Reads the bytes behind the length.
///
/// # Errors
/// [`WireError::Malformed`] with what the decoder found.
pub fn unpack(body: &[u8]) -> Result<Frame, WireError> {
    Frame::from_wire(body).map_err(|error| WireError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Stamp;

    #[test]
    fn a_frame_survives_the_pipe() {
        let frame = crate::frame::Draft::new("host", Stamp::new(1, 2)).seal(&mut crate::series::Dictionary::default());
        let bytes = pack(&frame).unwrap();
        assert_eq!(length(bytes[..4].try_into().unwrap()).unwrap(), bytes.len() - 4);
        assert_eq!(unpack(&bytes[4..]).unwrap(), frame);
    }

    #[test]
    fn a_lying_length_is_refused_before_anything_is_allocated() {
        assert!(matches!(length([0xff; 4]), Err(WireError::TooLong { .. })));
    }
}
