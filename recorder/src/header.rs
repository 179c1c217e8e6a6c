//! What a segment says about itself at its start ([`Header`]) and, if it was closed on purpose, at its end ([`End`]).
//!
//! Both are MessagePack maps by field name with defaults, so that an old reader skips new fields and a new reader
//! defaults old ones.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use model::{BootId, Stamp, Untrusted};
use serde::{Deserialize, Serialize, Serializer};

use crate::format;

/// The random identity of one segment; printed as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub format::Id);

impl SegmentId {
    /// A new one, from the kernel's random numbers.
    ///
    /// # Errors
    /// `/dev/urandom` cannot be read.
    pub fn random() -> io::Result<Self> {
        let mut id = format::Id::default();
        File::open("/dev/urandom")?.read_exact(&mut id)?;
        Ok(Self(id))
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for SegmentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Named facts, as the system told them: `hostname`, `kernel`, `driver_version`, ….
pub type Facts = BTreeMap<String, Untrusted>;

/// What a segment says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of gpudeck that wrote it.
    #[serde(default)]
    pub gpudeck: String,
    /// The boot during which it was begun.
    #[serde(default)]
    pub boot: BootId,
    /// When it was begun, on both clocks.
    #[serde(default)]
    pub created: Stamp,
    /// The sampling interval, nanoseconds.
    #[serde(default)]
    pub interval_ns: u64,
    /// How often it was made safe against a power cut: `tick`, `5s`, `off`.
    #[serde(default)]
    pub sync: String,
    /// Its place among the segments of its directory, counted from 1 over all boots: the order of reading, since wall
    /// clocks step. 0 for a file that stands alone.
    #[serde(default)]
    pub ordinal: u64,
    /// About the node.
    #[serde(default)]
    pub host: Facts,
    /// About the driver.
    #[serde(default)]
    pub driver: Facts,
    /// The segments (by id) from which this one was recovered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovered_from: Vec<String>,
    /// The segments (by id) from which this one was cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trimmed_from: Vec<String>,
    /// What was replaced and left out before it was handed on; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redaction: Option<BTreeMap<String, String>>,
}

impl Header {
    /// The header of a recording that begins now, on this boot.
    pub fn new(boot: BootId, created: Stamp, interval_ns: u64) -> Self {
        Self { gpudeck: env!("CARGO_PKG_VERSION").to_owned(), boot, created, interval_ns, ..Self::default() }
    }

    /// With one more fact about the node.
    pub fn host(mut self, name: &str, fact: impl Into<Untrusted>) -> Self {
        self.host.insert(name.to_owned(), fact.into());
        self
    }

    /// With one more fact about the driver.
    pub fn driver(mut self, name: &str, fact: impl Into<Untrusted>) -> Self {
        self.driver.insert(name.to_owned(), fact.into());
        self
    }

    /// The header map.
    ///
    /// # Errors
    /// The encoder's; never for a Header of this crate.
    pub fn to_bytes(&self) -> Result<Vec<u8>, rmp_serde::encode::Error> {
        rmp_serde::to_vec_named(self)
    }

    /// Reads the header map.
    ///
    /// # Errors
    /// What the decoder found and expected.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, rmp_serde::decode::Error> {
        rmp_serde::from_slice(bytes)
    }
}

/// What a segment that was closed on purpose says at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Frames in this segment.
    #[serde(default)]
    pub frames: u64,
    /// Samples in them.
    #[serde(default)]
    pub samples: u64,
    /// Events in them.
    #[serde(default)]
    pub events: u64,
    /// Frames that were handed over and are in no segment, because the disk took nothing.
    #[serde(default)]
    pub lost: u64,
    /// The first Frame's instant.
    #[serde(default)]
    pub first: Stamp,
    /// The last Frame's.
    #[serde(default)]
    pub last: Stamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_survives_a_newer_writer() {
        let header = Header::new(BootId("b".to_owned()), Stamp::new(1, 2), 1_000).host("hostname", "node\u{202e}7");
        assert_eq!(Header::from_bytes(&header.to_bytes().unwrap()).unwrap(), header);
        let newer = BTreeMap::from([("invented_later", "x"), ("gpudeck", "9.1")]);
        let read = Header::from_bytes(&rmp_serde::to_vec_named(&newer).unwrap()).unwrap();
        assert_eq!((read.gpudeck.as_str(), read.interval_ns), ("9.1", 0));
    }

    #[test]
    fn two_segments_have_two_ids() {
        let (one, two) = (SegmentId::random().unwrap(), SegmentId::random().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.to_string().len(), 32);
    }
}
