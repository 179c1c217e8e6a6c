//! A TOML table of which every key is known, every value typed, and every complaint placed.

use std::str::FromStr;

use model::time::NS_PER_S;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Fault, RuleError, SourceFile};
use crate::lang::Span;

/// A table being read, with where complaints go.
pub(super) struct Table<'a> {
    pub(super) source: &'a SourceFile,
    pub(super) table: &'a DeTable<'a>,
    pub(super) span: Span,
    pub(super) known: &'a [&'a str],
}

/// A text of the file, with the place of its content.
pub(super) struct Placed<'a> {
    pub(super) text: &'a str,
    pub(super) span: Span,
}

type Outcome<T> = Result<T, RuleError>;

impl<'a> Table<'a> {
    pub(super) fn new(source: &'a SourceFile, value: &'a Spanned<DeValue<'a>>, known: &'a [&'a str]) -> Outcome<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(Self { source, table, span: value.span(), known }),
            other => Err(wrong(source, value.span(), "a table", other)),
        }
    }

    pub(super) fn error(&self, span: Span, fault: Fault) -> RuleError {
        RuleError::at(self.source, span, fault)
    }

    /// Complaints about keys that are not known.
    pub(super) fn strangers(&self) -> Vec<RuleError> {
        self.table
            .iter()
            .filter(|(key, _)| !self.known.contains(&key.get_ref().as_ref()))
            .map(|(key, _)| self.error(key.span(), Fault::unknown("key", key.get_ref(), self.known.iter().copied())))
            .collect()
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        debug_assert!(self.known.contains(&key), "{key}");
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    pub(super) fn text(&self, key: &str) -> Outcome<Option<Placed<'a>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        placed(self.source, value).map(Some)
    }

    pub(super) fn needed(&self, key: &str) -> Outcome<Placed<'a>> {
        self.text(key)?.filter(|placed| !placed.text.trim().is_empty()).ok_or_else(|| {
            self.error(self.head(), Fault::new(format!("`{key}` is missing")).help(format!("add `{key} = \"…\"`")))
        })
    }

    /// The place of the table's first line: marking a whole rule would hide the message.
    fn head(&self) -> Span {
        self.span.start..self.span.end.min(self.span.start + 1)
    }

    pub(super) fn owned(&self, key: &str) -> Outcome<Option<String>> {
        Ok(self.text(key)?.map(|placed| placed.text.to_owned()))
    }

    pub(super) fn flag(&self, key: &str) -> Outcome<bool> {
        match self.get(key) {
            None => Ok(false),
            Some(value) => match value.get_ref() {
                DeValue::Boolean(flag) => Ok(*flag),
                other => Err(wrong(self.source, value.span(), "true or false", other)),
            },
        }
    }

    pub(super) fn whole(&self, key: &str) -> Outcome<Option<u64>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Integer(number) => match u64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(self.error(value.span(), Fault::new("expected a whole number that is not negative"))),
            },
            other => Err(wrong(self.source, value.span(), "a whole number", other)),
        }
    }

    /// A duration in nanoseconds: `30s`, `10m`, `24h`, `500ms`, `7d`.
    pub(super) fn duration(&self, key: &str) -> Outcome<Option<u64>> {
        let Some(placed) = self.text(key)? else { return Ok(None) };
        duration(placed.text).map(Some).ok_or_else(|| {
            let fault =
                Fault::new(format!("`{}` is not a duration", placed.text)).help("write 500ms, 30s, 10m, 24h or 7d");
            self.error(placed.span, fault)
        })
    }

    /// A word of a closed list.
    pub(super) fn word<T: FromStr<Err = String>>(
        &self,
        placed: &Placed<'_>,
        words: Vec<&str>,
        what: &str,
    ) -> Outcome<T> {
        placed
            .text
            .parse()
            .map_err(|_: String| self.error(placed.span.clone(), Fault::unknown(what, placed.text, words.into_iter())))
    }

    pub(super) fn list(&self, key: &str) -> Outcome<Vec<&'a Spanned<DeValue<'a>>>> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        match value.get_ref() {
            DeValue::Array(items) => Ok(items.iter().collect()),
            other => Err(wrong(self.source, value.span(), "a list", other)),
        }
    }

    pub(super) fn texts(&self, key: &str) -> Outcome<Vec<Placed<'a>>> {
        self.list(key)?.into_iter().map(|value| placed(self.source, value)).collect()
    }
}

pub(super) fn wrong(source: &SourceFile, span: Span, expected: &str, found: &DeValue<'_>) -> RuleError {
    let found = match found {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    RuleError::at(source, span, Fault::new(format!("expected {expected}, found {found}")))
}

/// A text value. Its content's place is known exactly unless it holds escapes.
fn placed<'a>(source: &SourceFile, value: &'a Spanned<DeValue<'a>>) -> Outcome<Placed<'a>> {
    let DeValue::String(text) = value.get_ref() else {
        return Err(wrong(source, value.span(), "a text", value.get_ref()));
    };
    let span = value.span();
    let written = source.text.get(span.clone()).unwrap_or("");
    let offset = written.find(text.as_ref()).filter(|_| !text.is_empty());
    let span = offset.map_or_else(|| span.clone(), |offset| span.start + offset..span.start + offset + text.len());
    Ok(Placed { text, span })
}

/// Nanoseconds of `500ms`, `30s`, `10m`, `24h`, `7d`.
pub(super) fn duration(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text.get(..digits)?.parse().ok()?;
    let unit = match text.get(digits..)? {
        "ms" => NS_PER_S / 1_000,
        "s" => NS_PER_S,
        "m" => 60 * NS_PER_S,
        "h" => 3_600 * NS_PER_S,
        "d" => 86_400 * NS_PER_S,
        _ => return None,
    };
    number.checked_mul(unit)
}
