//! The rulebook that gpudeck comes with, by topic.

use crate::error::RuleError;
use crate::rule::Rulebook;

/// Its files by name and text.
pub const FILES: &[(&str, &str)] = &[
    ("amd.toml", include_str!("../rulebook/amd.toml")),
    ("fabric.toml", include_str!("../rulebook/fabric.toml")),
    ("gpu.toml", include_str!("../rulebook/gpu.toml")),
    ("gpudeck.toml", include_str!("../rulebook/gpudeck.toml")),
    ("host.toml", include_str!("../rulebook/host.toml")),
    ("network.toml", include_str!("../rulebook/network.toml")),
    ("pcie.toml", include_str!("../rulebook/pcie.toml")),
    ("storage.toml", include_str!("../rulebook/storage.toml")),
    ("xid.toml", include_str!("../rulebook/xid.toml")),
];

impl Rulebook {
    /// The rulebook that gpudeck comes with.
    ///
    /// # Panics
    /// Never: a test reads it.
    pub fn builtin() -> Self {
        Self::parse(FILES).unwrap_or_else(|errors| {
            let shown: Vec<String> = errors.iter().map(RuleError::to_string).collect();
            unreachable!("the built-in rulebook is read by a test: {}", shown.join("\n"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_fires_where_it_says_and_stays_silent_where_it_almost_does() {
        let failures: Vec<String> = Rulebook::builtin().test().iter().map(ToString::to_string).collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }

    #[test]
    fn every_rule_names_its_sources_and_what_would_refute_it() {
        let book = Rulebook::builtin();
        for rule in book.rules() {
            assert!(!rule.references.is_empty(), "{} has no references", rule.id);
            assert!(rule.fallback || rule.refuted_by.is_some(), "{} cannot be refuted", rule.id);
            assert!(rule.meaning.len() > 30, "{} says too little", rule.id);
        }
    }
}
