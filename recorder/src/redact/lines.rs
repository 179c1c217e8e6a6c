//! Kernel lines: those that a rule may read are kept with their names replaced, the others are left out.

use model::Event;

use super::policy::Kind;

/// What a kernel line that means something says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What must be the same after its names are replaced: its kind, its codes.
    pub gist: String,
    /// Names that it is known to hold.
    pub names: Vec<(Kind, String)>,
}

/// Says what a kernel line means, or `None` where it means nothing to any rule. The knowledge is the caller's: this crate
/// decodes nothing.
pub type Meaning<'a> = dyn Fn(&Event) -> Option<Known> + 'a;

/// What stands for a text that is left out.
pub(crate) fn left_out(bytes: usize) -> String {
    format!("[redacted {bytes} bytes]")
}
