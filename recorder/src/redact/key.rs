//! The key of a redaction, and the pseudonyms made with it: HMAC-SHA-256 (RFC 2104, FIPS 180-4), cut and written so that
//! the kind of the name can still be read off (`host-7f3kq2ab`). Without the key nobody can try names against them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// SHA-256 works on blocks of so many bytes.
const BLOCK: usize = 64;
/// The fewest bytes that a key file may have: 128 bits.
pub const FEWEST_KEY_BYTES: usize = 16;
/// The most that are read of a key file.
const MOST_KEY_BYTES: u64 = 64 << 10;
/// Lower-case base32 (RFC 4648): no character that needs quoting anywhere.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Turns names into pseudonyms. The same key gives the same pseudonym for the same name in every piece.
#[derive(Clone)]
pub struct Key {
    block: [u8; BLOCK],
    given: bool,
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system refused.
    #[error("cannot read the key: {0}")]
    Unreadable(#[from] io::Error),
    /// Too short to be a secret.
    #[error(
        "the key file has {found} bytes; at least {FEWEST_KEY_BYTES} are needed: \
         head -c 32 /dev/urandom > FILE makes one"
    )]
    Short {
        /// Its length.
        found: usize,
    },
    /// Too long to be one.
    #[error("the key file is longer than 64 KiB; head -c 32 /dev/urandom > FILE makes one")]
    Long,
}

impl Key {
    /// A key that nobody knows and that is kept nowhere: pieces cut with two such keys cannot be joined.
    ///
    /// # Errors
    /// `/dev/urandom` cannot be read.
    pub fn random() -> io::Result<Self> {
        let mut key = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        Ok(Self { given: false, ..Self::new(&key) })
    }

    /// The key that a file holds, whatever its bytes are.
    ///
    /// # Errors
    /// It cannot be read, or is shorter than [`FEWEST_KEY_BYTES`] or longer than 64 KiB.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let mut key = Vec::new();
        File::open(path)?.take(MOST_KEY_BYTES + 1).read_to_end(&mut key)?;
        match key.len() {
            found if found < FEWEST_KEY_BYTES => Err(KeyError::Short { found }),
            found if found as u64 > MOST_KEY_BYTES => Err(KeyError::Long),
            _ => Ok(Self::new(&key)),
        }
    }

    /// The key of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let hashed;
        let bytes = if bytes.len() > BLOCK {
            hashed = Sha256::digest(bytes);
            hashed.as_slice()
        } else {
            bytes
        };
        let mut block = [0; BLOCK];
        block.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Self { block, given: true }
    }

    /// Whether somebody keeps it.
    pub fn is_given(&self) -> bool {
        self.given
    }

    /// Tells two keys apart without giving them away.
    pub fn fingerprint(&self) -> String {
        base32(&self.hmac(b"gpudeck redaction key"))
    }

    fn hmac(&self, message: &[u8]) -> [u8; 32] {
        let pad = |with: u8| self.block.map(|byte| byte ^ with);
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
        Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
    }

    /// `word-xxxxxxxx`: 40 bits of the name's HMAC. Case does not count: host names have none.
    pub(crate) fn pseudonym(&self, word: &str, name: &str) -> String {
        format!("{word}-{}", base32(&self.hmac(name.to_lowercase().as_bytes())))
    }

    /// Another UUID in the place of one, in the shape that drivers and tools expect. Version 8 (RFC 9562) marks it as
    /// made up.
    pub(crate) fn uuid(&self, uuid: &str) -> String {
        let digits: String = uuid.chars().filter(char::is_ascii_alphanumeric).collect();
        let mut shown = String::with_capacity(36);
        for (place, byte) in self.hmac(digits.to_lowercase().as_bytes()).into_iter().take(16).enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                shown.push('-');
            }
            let byte = match place {
                6 => byte & 0x0f | 0x80,
                8 => byte & 0x3f | 0x80,
                _ => byte,
            };
            shown.push_str(&format!("{byte:02x}"));
        }
        shown
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// The first 40 bits as eight characters.
fn base32(bytes: &[u8; 32]) -> String {
    let bits = bytes.iter().take(5).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    let digit = |place: u32| usize::try_from(bits >> (35 - 5 * place) & 31).unwrap_or(0);
    (0..8).filter_map(|place| BASE32.get(digit(place)).copied().map(char::from)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_hmac_is_that_of_rfc_4231() {
        let cases: &[(&[u8], &[u8], &str)] = &[
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, message, expected) in cases {
            assert_eq!(hex(&Key::new(key).hmac(message)), *expected);
        }
    }

    #[test]
    fn a_pseudonym_depends_on_name_and_key_and_says_its_kind() {
        let (one, other) = (Key::new(&[1; 32]), Key::new(&[2; 32]));
        let pseudonym = one.pseudonym("host", "gpu-node-07");
        assert_eq!(pseudonym, one.pseudonym("host", "GPU-node-07"));
        assert_ne!(pseudonym, other.pseudonym("host", "gpu-node-07"));
        assert_ne!(pseudonym, one.pseudonym("host", "gpu-node-08"));
        assert!(pseudonym.starts_with("host-") && pseudonym.len() == 13, "{pseudonym}");
    }

    #[test]
    fn a_uuid_keeps_its_shape_and_joins_over_its_spellings() {
        let key = Key::new(&[1; 32]);
        let uuid = key.uuid("7716da39-cba2-45b2-b7a9-6fa7e40e81b5");
        assert_eq!(uuid, key.uuid("7716DA39_CBA2_45B2_B7A9_6FA7E40E81B5"));
        assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    }

    #[test]
    fn a_key_file_must_hold_a_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"short").unwrap();
        assert!(matches!(Key::read(file.path()), Err(KeyError::Short { found: 5 })));
        std::fs::write(file.path(), [7; 32]).unwrap();
        assert_eq!(Key::read(file.path()).unwrap().fingerprint(), Key::new(&[7; 32]).fingerprint());
    }
}
