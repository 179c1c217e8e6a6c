//! Text that came from outside gpudeck: process names, kernel lines, mount options, pod names.
//!
//! It may hold escape codes, bidirectional overrides or zero-width characters that would let it redraw or forge the
//! screen. [`Untrusted`] keeps it apart from our own words; the only way to a screen or a terminal is
//! [`Untrusted::display`], which makes those characters visible. Unicode categories: UAX #44 (Cc, Cf), UAX #9 (bidi).

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

/// Text from outside. Compare and parse it through [`Untrusted::raw`], show it through [`Untrusted::display`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Untrusted(String);

impl Untrusted {
    /// Takes text as it came.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Takes bytes as they came; what is not UTF-8 becomes U+FFFD.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(String::from_utf8_lossy(bytes).into_owned())
    }

    /// The text as it came: for parsing, comparing and recording, never for a screen.
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// The text for a screen: control, bidirectional and zero-width characters visible, at most `most` graphemes (an
    /// ellipsis tells that there was more).
    pub fn display(&self, most: usize) -> String {
        clean(&self.0, most)
    }
}

impl fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.display(512))
    }
}

impl From<&str> for Untrusted {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Untrusted {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// The one function between text from outside and a screen. See [`Untrusted::display`].
pub fn clean(text: &str, most: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(most.saturating_mul(4)));
    for (count, grapheme) in text.graphemes(true).enumerate() {
        if count >= most {
            shown.push('…');
            break;
        }
        // A grapheme may carry any number of combining marks; eight are more than a script needs.
        for character in grapheme.chars().take(9) {
            push_visible(&mut shown, character);
        }
    }
    shown
}

/// JSON text in which characters that would reorder or hide what a terminal shows are escapes. Outside of strings JSON
/// holds none, so that it says the same.
pub fn clean_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if is_hidden(character) || character == '\x7f' {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(character);
        }
    }
    shown
}

fn push_visible(shown: &mut String, character: char) {
    match character {
        '\0'..='\x1f' => shown.push(char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}')),
        '\x7f' => shown.push('␡'),
        hidden if is_hidden(hidden) => shown.extend(hidden.escape_unicode()),
        plain => shown.push(plain),
    }
}

/// C1 controls, format characters (bidi, zero-width, tags, soft hyphen), line separators, private use and noncharacters.
fn is_hidden(character: char) -> bool {
    matches!(u32::from(character),
        0x80..=0x9f | 0xad | 0x34f | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x8e2 | 0x115f | 0x1160 | 0x17b4 | 0x17b5
        | 0x180b..=0x180f | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xe000..=0xf8ff
        | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a
        | 0xe0000..=0xe0fff | 0xf0000..=0x10ffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_codes_and_reordering_become_visible() {
        assert_eq!(clean("a\x1b[31mb\u{202e}c\u{200b}", 99), "a␛[31mb\\u{202e}c\\u{200b}");
        assert_eq!(clean("one\ntwo\x7f\u{9b}", 99), "one␊two␡\\u{9b}");
    }

    #[test]
    fn json_says_the_same_without_hidden_characters() {
        let value = serde_json::json!({ "name": "a\u{202e}b\u{9b}c\u{e0041}\u{7f}" });
        let shown = clean_json(&value.to_string());
        assert!(!shown.chars().any(is_hidden), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn long_text_is_cut_by_graphemes_and_says_so() {
        assert_eq!(clean("ünïcode", 3), "ünï…");
        assert_eq!(clean("abc", 3), "abc");
    }

    proptest! {
        #[test]
        fn nothing_hidden_survives(text in any::<String>()) {
            let shown = clean(&text, 10_000);
            prop_assert!(!shown.chars().any(|c| c.is_control() || is_hidden(c)));
        }
    }
}
