//! A recording in forms that other tools read.

mod jsonl;

pub use jsonl::{Exported, jsonl};
