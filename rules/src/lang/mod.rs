//! The expression language of `when`, `clear` and `unless`: a checked subset of CEL's syntax over one entity.
//!
//! [`parse`] turns text into a tree with spans, [`check`] resolves its names against the metric catalogue and the event
//! vocabulary and finds its type, [`eval`] answers in three values: true, false, and *unknown*. A missing, stale, denied
//! or stuck reading is unknown; `false && unknown` is false, `true && unknown` is unknown (Kleene's logic), and unknown
//! neither fires a rule nor ends what it found. Syntax: the CEL specification (`google/cel-spec`, `doc/langdef.md`).

pub mod check;
pub mod eval;
pub mod expr;
pub mod lexer;
pub mod parse;

pub use check::Context;
pub use eval::{Scope, Val};
pub use expr::{Checked, Type};

/// A stretch of the expression's text, in bytes.
pub type Span = std::ops::Range<usize>;

/// What is wrong with an expression, and where in it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExprError {
    /// Where in the expression.
    pub span: Span,
    pub(crate) fault: crate::error::Fault,
}

impl ExprError {
    pub(crate) fn new(span: Span, fault: crate::error::Fault) -> Self {
        Self { span, fault }
    }

    /// What was found and expected.
    pub fn message(&self) -> &str {
        &self.fault.message
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&str> {
        self.fault.help.as_deref()
    }
}

/// The longest expression that is read, in bytes.
pub const MOST_BYTES: usize = 4 << 10;
/// The deepest nesting that is read.
pub const MOST_DEPTH: usize = 32;
