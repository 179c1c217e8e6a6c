//! Errors in a rule file, for people: which file, where in it, what was found, what was expected, what was perhaps meant.
//!
//! `Display` is one line for a log or a script (`gpu.toml:12:9: …`); as a [`miette::Diagnostic`] the same error draws
//! the line with a mark under the spot.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// What is wrong in a rule file.
#[derive(Clone, Debug)]
pub struct RuleError {
    /// The file, by the name it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What was found, and what was expected.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    source: Box<NamedSource<Arc<str>>>,
    span: Range<usize>,
}

impl RuleError {
    /// The same message at a spot of a file.
    pub(crate) fn at(source: &SourceFile, span: Range<usize>, fault: Fault) -> Self {
        let start = span.start.min(source.text.len());
        let before = source.text.get(..start).unwrap_or(&source.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Self {
            file: source.name.clone(),
            line,
            column,
            message: fault.message,
            help: fault.help,
            source: Box::new(NamedSource::new(&source.name, source.text.clone())),
            span: start..span.end.clamp(start, source.text.len()),
        }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RuleError {}

impl Diagnostic for RuleError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source.as_ref())
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(Some("here".to_owned()), self.span.clone()))))
    }
}

/// A rule file as it was read.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    pub(crate) name: String,
    pub(crate) text: Arc<str>,
}

/// What is wrong, before it is known where in the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// A name that is not in a list: names the nearest one that is.
    pub(crate) fn unknown<'a>(what: &str, found: &str, known: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = known.collect();
        let fault = Self::new(format!("unknown {what} `{}`", found.chars().take(80).collect::<String>()));
        match nearest(found, known.iter().copied()) {
            Some(near) => fault.help(format!("did you mean `{near}`?")),
            None => {
                let list = known.get(..12).unwrap_or(&known);
                fault.help(format!("known are: {}", list.join(", ")))
            }
        }
    }
}

/// The known name with the fewest edits, if few enough to be a slip of the finger.
pub(crate) fn nearest<'a>(found: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = found.chars().count().div_ceil(3).clamp(1, 6);
    known
        .map(|name| (edits(found, name), name))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, name)| (*distance, name.len().abs_diff(found.len())))
        .map(|(_, name)| name)
}

/// The edits between two names - letters put in, left out, changed, or two swapped - on at most 64 characters.
fn edits(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.chars().take(64).collect();
    let other: Vec<char> = other.chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for i in 1..=one.len() {
        let mut next = vec![i];
        for j in 1..=other.len() {
            let replaced = row[j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut least = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        let known = ["gpu.temp", "gpu.power", "gpu.util"];
        assert_eq!(nearest("gpu.tmep", known.into_iter()), Some("gpu.temp"));
        assert_eq!(nearest("gpu.temperature", known.into_iter()), None);
        assert_eq!(nearest("x", known.into_iter()), None);
    }

    #[test]
    fn an_error_says_where_in_the_file() {
        let source = SourceFile { name: "a.toml".into(), text: "one\ntwö x".into() };
        let error = RuleError::at(&source, 9..10, Fault::new("bad").help("do this"));
        assert_eq!(error.to_string(), "a.toml:2:5: bad; do this");
    }
}
