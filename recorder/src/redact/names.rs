//! The names that a recording tells of: collected before anything is written, so that a line that mentions a process
//! before the process was listed is redacted too.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

use super::key::Key;
use super::policy::{self, Kind};

/// So many names are looked for in running text; a hostile recording stops here.
const MOST_NAMES: usize = 1 << 18;
/// Names longer than this are replaced where they stand by themselves only.
const LONGEST: usize = 4 << 10;
/// Shorter ones occur in running text by chance.
const SHORTEST: usize = 3;
/// Linux cuts a task's name to so many bytes (`TASK_COMM_LEN` without its end).
const TASK_NAME: usize = 15;

/// Names and their pseudonyms.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_name: HashMap<String, String>,
    finder: Option<Finder>,
}

#[derive(Debug)]
struct Finder {
    automaton: AhoCorasick,
    names: Vec<(String, String)>,
}

impl Names {
    /// Takes in a name as a probe has it, and the other forms in which lines mention it. Whether it is the first time.
    pub(crate) fn learn(&mut self, key: &Key, kind: Kind, name: &str) -> bool {
        let name = name.trim();
        if name.is_empty() || name.len() > LONGEST || self.by_name.contains_key(&name.to_lowercase()) {
            return false;
        }
        let pseudonym = self.pseudonym(key, kind, name);
        match kind {
            Kind::Host => {
                if let Some((short, domain)) = name.split_once('.')
                    && name.parse::<std::net::IpAddr>().is_err()
                {
                    let short_pseudonym = key.pseudonym(kind.word(), short);
                    self.put(short, &short_pseudonym);
                    self.put(domain, &key.pseudonym("domain", domain));
                    // The long form is the host too.
                    self.put(name, &short_pseudonym);
                }
            }
            Kind::Command => {
                if let Some((cut, _)) = name.split_at_checked(TASK_NAME) {
                    self.put(cut.trim(), &pseudonym);
                }
                let words = name.split_whitespace().collect::<Vec<_>>();
                if words.len() > 1 {
                    words.iter().for_each(|word| self.learn_parts(key, kind, word));
                }
            }
            Kind::Container => {
                let hexadecimal = name.len() >= 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
                if let (true, Some((short, _))) = (hexadecimal, name.split_at_checked(12)) {
                    self.put(short, &pseudonym);
                }
            }
            Kind::Mount | Kind::Source | Kind::Cgroup => self.learn_parts(key, kind, name),
            _ => {}
        }
        self.put(name, &pseudonym);
        true
    }

    /// Takes in a name whose pseudonym is already made.
    pub(crate) fn learn_as(&mut self, name: &str, pseudonym: &str) {
        if !name.is_empty() && name.len() <= LONGEST {
            self.put(name, pseudonym);
        }
    }

    /// The components of a path or an address of a store: each may be what a line mentions.
    fn learn_parts(&mut self, key: &Key, kind: Kind, name: &str) {
        for part in name.split(['/', ':', '@', '=', ',', '?', '&']) {
            if part.len() > SHORTEST && !is_number(part) {
                let pseudonym = self.pseudonym(key, kind, part);
                self.put(part, &pseudonym);
            }
        }
    }

    fn put(&mut self, name: &str, pseudonym: &str) {
        if self.by_name.len() < MOST_NAMES {
            self.by_name.entry(name.to_lowercase()).or_insert_with(|| pseudonym.to_owned());
        }
        // The kernel's log escapes what is not printable ASCII.
        if !name.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'\\') {
            let escaped = kernel_escaped(name);
            if self.by_name.len() < MOST_NAMES {
                self.by_name.entry(escaped.to_lowercase()).or_insert_with(|| pseudonym.to_owned());
            }
        }
    }

    /// All names are known; from here on they are looked for.
    pub(crate) fn complete(&mut self) {
        let mut names: Vec<(String, String)> = self
            .by_name
            .iter()
            .filter(|(name, _)| name.len() >= SHORTEST && !is_number(name) && !policy::is_word(name))
            .filter(|(name, _)| !policy::is_system_mount(name))
            .map(|(name, pseudonym)| (name.clone(), pseudonym.clone()))
            .collect();
        names.sort();
        let automaton = AhoCorasickBuilder::new()
            .match_kind(MatchKind::LeftmostLongest)
            .ascii_case_insensitive(true)
            .build(names.iter().map(|(name, _)| name.as_bytes()));
        // It fails only beyond the number of states that its ids can count.
        self.finder = automaton.ok().map(|automaton| Finder { automaton, names });
    }

    /// The pseudonym of a name, by what it was first met as.
    pub(crate) fn pseudonym(&self, key: &Key, kind: Kind, name: &str) -> String {
        self.by_name.get(&name.to_lowercase()).cloned().unwrap_or_else(|| match kind {
            Kind::Uuid => key.uuid(name),
            // A path stays one, for whoever parses the line.
            _ if name.starts_with('/') => format!("/{}", key.pseudonym(kind.word(), name)),
            _ => key.pseudonym(kind.word(), name),
        })
    }

    /// The pseudonym of a path: that of the known directory or mount above it, and one for what is below.
    pub(crate) fn path(&self, key: &Key, path: &str) -> String {
        let lower = path.to_lowercase();
        let above = lower.rmatch_indices('/').find_map(|(end, _)| {
            let (above, below) = (lower.get(..end)?, lower.get(end + 1..)?);
            Some((self.by_name.get(above)?, below)).filter(|_| !above.is_empty() && !below.is_empty())
        });
        match (self.by_name.get(&lower), above) {
            (Some(known), _) => known.clone(),
            (None, Some((known, below))) => format!("{known}/{}", key.pseudonym(Kind::Path.word(), below)),
            (None, None) => self.pseudonym(key, Kind::Path, path),
        }
    }

    /// Where names stand in a text, and what stands for them.
    pub(crate) fn find<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = (usize, usize, &'a str)> {
        let all = self.finder.as_ref().map(|finder| {
            finder.automaton.find_iter(text).filter_map(move |found| {
                let (name, pseudonym) = finder.names.get(found.pattern().as_usize())?;
                let stands_alone = !is_word_byte(found.start().checked_sub(1).and_then(|before| text.get(before)))
                    && !is_word_byte(text.get(found.end()));
                (stands_alone || is_distinctive(name)).then_some((found.start(), found.end(), pseudonym.as_str()))
            })
        });
        all.into_iter().flatten()
    }
}

/// Whether it is looked for inside longer words too: `maria7` in `xmaria7y`, but not `train` in `constraint`.
fn is_distinctive(name: &str) -> bool {
    name.len() >= 8 || (name.len() >= 5 && !name.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

fn is_number(name: &str) -> bool {
    name.len() < 8 && name.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_word_byte(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// As `/dev/kmsg` shows it (`Documentation/ABI/testing/dev-kmsg`).
fn kernel_escaped(name: &str) -> String {
    let mut shown = String::with_capacity(name.len());
    for byte in name.bytes() {
        if (b' '..=b'~').contains(&byte) && byte != b'\\' {
            shown.push(char::from(byte));
        } else {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names(known: &[(Kind, &str)]) -> (Key, Names) {
        let (key, mut names) = (Key::new(&[1; 32]), Names::default());
        for (kind, name) in known {
            assert!(names.learn(&key, *kind, name));
        }
        names.complete();
        (key, names)
    }

    fn found(names: &Names, text: &str) -> Vec<(usize, usize)> {
        names.find(text.as_bytes()).map(|(start, end, _)| (start, end)).collect()
    }

    #[test]
    fn a_host_joins_over_its_long_and_its_short_name() {
        let (key, names) = names(&[(Kind::Host, "n7.lab.example.org")]);
        let short = names.pseudonym(&key, Kind::Text, "n7");
        assert_eq!(names.pseudonym(&key, Kind::Host, "N7.lab.example.org"), short);
        assert!(short.starts_with("host-"), "{short}");
    }

    #[test]
    fn a_commands_name_is_found_as_the_kernel_cuts_it() {
        let (_, names) = names(&[(Kind::Command, "pretrain_llm_70b_final")]);
        assert_eq!(found(&names, "Comm: pretrain_llm_70 Tainted"), [(6, 21)]);
    }

    #[test]
    fn short_words_are_found_only_where_they_stand_alone() {
        let (_, names) = names(&[(Kind::User, "strain"), (Kind::User, "error")]);
        assert_eq!(found(&names, "constraint strain error"), [(11, 17)]);
    }

    #[test]
    fn a_name_that_the_kernel_escapes_is_found() {
        let (_, names) = names(&[(Kind::User, "jürgen")]);
        assert_eq!(found(&names, r"user j\xc3\xbcrgen left").len(), 1);
        assert_eq!(found(&names, "user jürgen left").len(), 1);
    }
}
