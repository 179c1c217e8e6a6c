//! Text of an expression into tokens with spans.

use super::{ExprError, MOST_BYTES, Span};
use crate::error::Fault;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A number.
    Number(f64),
    /// A text in quotes.
    Text(String),
    /// A name, with its dots: `gpu.temp`, `event.code`, `true`.
    Name(String),
    /// An operator or a bracket.
    Sign(&'static str),
    /// The end of the text.
    End,
}

/// Two-character signs first, so that `<=` is not read as `<` and `=`.
const SIGNS: [&str; 23] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",", "?", ":", ".",
    "=",
];

/// The tokens of an expression, with [`Token::End`] behind the last.
///
/// # Errors
/// A character that no token begins with, an open quote, a number that is none, a text longer than
/// [`MOST_BYTES`].
pub fn tokens(text: &str) -> Result<Vec<(Token, Span)>, ExprError> {
    if text.len() > MOST_BYTES {
        let fault = Fault::new(format!("the expression has {} bytes; at most {MOST_BYTES} are read", text.len()));
        return Err(ExprError::new(0..text.len(), fault));
    }
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or(' ');
        let (token, length) = match first {
            space if space.is_whitespace() => {
                at += space.len_utf8();
                continue;
            }
            '"' | '\'' => quoted(rest, first).map_err(|fault| ExprError::new(at..text.len(), fault))?,
            digit if digit.is_ascii_digit() => {
                number(rest).map_err(|(length, fault)| ExprError::new(at..at + length, fault))?
            }
            letter if letter.is_ascii_alphabetic() || letter == '_' => name(rest),
            other => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => (Token::Sign(sign), sign.len()),
                None => {
                    let fault = Fault::new(format!("`{}` is not part of the language", other.escape_default()));
                    return Err(ExprError::new(at..at + other.len_utf8(), fault));
                }
            },
        };
        found.push((token, at..at + length));
        at += length;
    }
    found.push((Token::End, text.len()..text.len()));
    Ok(found)
}

fn quoted(rest: &str, quote: char) -> Result<(Token, usize), Fault> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            end if end == quote => return Ok((Token::Text(text), at + 1)),
            '\\' => match characters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, literal @ ('\\' | '"' | '\''))) => text.push(literal),
                _ => return Err(Fault::new(r#"expected \\, \", \', \n or \t behind the backslash"#)),
            },
            plain => text.push(plain),
        }
    }
    Err(Fault::new("the text has no closing quote"))
}

fn number(rest: &str) -> Result<(Token, usize), (usize, Fault)> {
    let mut length =
        rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'.' || *byte == b'_').count();
    // `1e-3`: the sign belongs to the exponent.
    let digits = rest.get(..length).unwrap_or(rest);
    if digits.ends_with(['e', 'E'])
        && !digits.starts_with("0x")
        && rest.get(length..).is_some_and(|r| r.starts_with(['-', '+']))
    {
        length += 1 + rest.bytes().skip(length + 1).take_while(u8::is_ascii_digit).count();
    }
    let digits = rest.get(..length).unwrap_or(rest).replace('_', "");
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        // Masks and codes have at most 32 bits, which an f64 holds exactly.
        Some(hex) => u32::from_str_radix(hex, 16).ok().map(f64::from),
        None => digits.parse().ok().filter(|number: &f64| number.is_finite()),
    };
    match value {
        Some(value) => Ok((Token::Number(value), length)),
        None => Err((length, Fault::new(format!("`{digits}` is not a number")).help("write 90, 0.5, 1e9 or 0xff"))),
    }
}

fn name(rest: &str) -> (Token, usize) {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = rest.as_bytes();
    let mut length = bytes.iter().take_while(|byte| part(**byte)).count();
    // A dot belongs to the name when another part follows it.
    while bytes.get(length) == Some(&b'.') && bytes.get(length + 1).is_some_and(|byte| part(*byte)) {
        length += 1 + bytes.iter().skip(length + 1).take_while(|byte| part(**byte)).count();
    }
    (Token::Name(rest.get(..length).unwrap_or(rest).to_owned()), length)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Vec<Token> {
        tokens(text).unwrap().into_iter().map(|(token, _)| token).collect()
    }

    #[test]
    fn names_keep_their_dots_and_numbers_their_exponents() {
        assert_eq!(
            read("gpu.temp>=1e-3"),
            [Token::Name("gpu.temp".into()), Token::Sign(">="), Token::Number(0.001), Token::End]
        );
        assert_eq!(read("0x40"), [Token::Number(64.0), Token::End]);
        assert_eq!(read(r#"'a\'b'"#), [Token::Text("a'b".into()), Token::End]);
    }

    #[test]
    fn what_is_no_token_says_where() {
        assert_eq!(tokens("a # b").unwrap_err().span, 2..3);
        assert_eq!(tokens("1.2.3").unwrap_err().span, 0..5);
        assert_eq!(tokens("'open").unwrap_err().message(), "the text has no closing quote");
    }
}
