//! The mark by which gpudeck knows its own: every reason that it gives a scheduler starts with `gpudeck:<plan id> `.
//! What does not carry the mark is somebody else's and is never altered.

use std::fmt;

use sha2::{Digest, Sha256};

/// What every reason of ours starts with.
pub const PREFIX: &str = "gpudeck:";

/// The longest reason we write, in characters; longer ones are cut in `sinfo -R` and in mails.
pub const LONGEST: usize = 120;

const ID_DIGITS: usize = 12;

/// A reason of ours: mark, plan id, words. Printable ASCII without quotes, backslashes and the characters that Slurm's
/// own tools and common scripts split at (`;`, `|`, `=`, brackets).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    id: String,
    text: String,
}

impl Reason {
    /// Ours, from a plan's id and words from anywhere.
    pub fn new(id: &str, words: &str) -> Self {
        Self { id: id.to_owned(), text: fit(words) }
    }

    /// Reads back a reason that the scheduler shows; `None` when it is not ours.
    pub fn read(reason: &str) -> Option<Self> {
        let marked = reason.trim().strip_prefix(PREFIX)?;
        let (id, text) = marked.split_once(' ').unwrap_or((marked, ""));
        let ours = id.len() == ID_DIGITS && id.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        ours.then(|| Self { id: id.to_owned(), text: text.to_owned() })
    }

    /// The plan's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The words behind the mark.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{} {}", self.id, self.text)
    }
}

/// The id of an intent: the same verb on the same node for the same cause has the same one. An incident's id carries
/// its boot, so the same fault after a reboot is another intent.
pub fn plan_id(verb: &str, node: &str, cause: &str) -> String {
    let mut hash = Sha256::new();
    for part in [verb, node, cause] {
        // Lengths keep ("ab", "c") and ("a", "bc") apart.
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(ID_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// The words of a reason of ours: [`tame`], and as many as there is room for behind the mark.
pub fn fit(words: &str) -> String {
    tame(words, LONGEST - PREFIX.len() - ID_DIGITS - 1)
}

/// Words fit for a scheduler: one line of printable ASCII, at most `most` characters, cut at the end.
pub fn tame(words: &str, most: usize) -> String {
    let spaced: String = words
        .chars()
        .map(|character| match character {
            '[' | '{' => '(',
            ']' | '}' => ')',
            '"' | '\'' | '`' | '\\' | ';' | '|' | '=' | '$' => ' ',
            plain @ ' '..='~' => plain,
            space if space.is_whitespace() || space.is_control() => ' ',
            _ => '?',
        })
        .collect();
    let joined = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    joined.chars().take(most).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_full_mark_is_ours() {
        let ours = Reason::new("0123456789ab", "GPU has fallen off the bus");
        assert_eq!(Reason::read(&ours.to_string()), Some(ours));
        for theirs in ["", "bad disk", "gpudeck", "gpudeck: bad", "gpudeck:0123 x", "not gpudeck:0123456789ab x"] {
            assert_eq!(Reason::read(theirs), None, "{theirs}");
        }
    }

    #[test]
    fn words_cannot_leave_their_argument_or_line() {
        assert_eq!(tame("Xid 79 \"lost\"\n State=IDLE;\u{202e} [root@now]", 99), "Xid 79 lost State IDLE ? (root@now)");
    }

    #[test]
    fn the_same_intent_has_the_same_id_and_no_other() {
        let id = plan_id("drain", "gpu01", "inc-1");
        assert_eq!(id, plan_id("drain", "gpu01", "inc-1"));
        assert_eq!(id.len(), ID_DIGITS);
        assert_ne!(id, plan_id("undrain", "gpu01", "inc-1"));
        assert_ne!(plan_id("drain", "gpu0", "1inc"), plan_id("drain", "gpu01", "inc"));
    }

    proptest! {
        #[test]
        fn any_words_make_a_reason_that_reads_back(words in any::<String>()) {
            let reason = Reason::new("0123456789ab", &words);
            let written = reason.to_string();
            prop_assert!(written.len() <= LONGEST);
            prop_assert!(written.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"\"'`\\;|=$[]".contains(&byte)));
            prop_assert_eq!(Reason::read(&written), Some(reason));
        }
    }
}
