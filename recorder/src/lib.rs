//! The black box: writing, reading, seeking, recovering and exporting recordings.
//!
//! A recording is one segment file (`.gdk`) or a directory of them. A segment is a header and then records, each with a
//! checksum chained to the one before ([`format`]; `docs/format.md` is the page for somebody who writes a reader).
//!
//! ```text
//! Frame ──► Writer / Segments ──► seg-….gdk ──► Recording ──► Frames (one stream) ──► History, info, export, recover
//!                                      └───────► Follow (a file that grows)
//! ```

pub mod block;
pub mod disk;
pub mod export;
pub mod follow;
pub mod format;
mod growing;
pub mod header;
pub mod history;
pub mod info;
mod journal;
mod journal_file;
mod journals;
mod layout;
pub mod live;
mod numbering;
pub mod open;
pub mod reader;
pub mod recover;
pub mod redact;
pub mod retention;
pub mod schema;
mod schemas;
mod sealed;
pub mod sections;
pub mod segment;
mod segment_file;
pub mod segments;
pub mod sync;
pub mod trim;
pub mod writer;

pub use follow::Follow;
pub use header::{Header, SegmentId};
pub use history::RecordedHistory;
pub use info::{Info, info};
pub use live::Recorder;
pub use open::{Damage, OpenError, Recording};
pub use reader::Frames;
pub use recover::{RecoverError, Recovered, recover};
pub use segment::Segment;
pub use segments::Segments;
pub use sync::Sync;
pub use trim::{Cut, TrimError, Trimmed, trim};
pub use writer::{Appended, CreateError, Health, Unfinished, Writer};
