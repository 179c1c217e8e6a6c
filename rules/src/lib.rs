//! The rule language, its evaluator, the rulebook, and correlation into incidents.
//!
//! Pure: Frames in, [`model::Incident`]s out; no I/O, no clock. The same Frames and the same rulebook give the same
//! incidents, byte for byte.
//!
//! ```text
//! rulebook/*.toml ─► Rulebook::parse ─► Evaluator ◄── Frames (decoded, in admitted order)
//!                                          └──► findings ─► incidents, coverage
//! ```

mod builtin;
mod error;
mod evaluate;
mod explain;
pub mod lang;
mod load;
mod rule;
mod selftest;
pub mod vocabulary;

pub use builtin::FILES;
pub use error::RuleError;
pub use evaluate::Evaluator;
pub use rule::{Clear, Edge, Expect, Relation, Rule, RuleAdvice, RuleIx, RuleTest, Rulebook, TestStep};
pub use selftest::TestFailure;
