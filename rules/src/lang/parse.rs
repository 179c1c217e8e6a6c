//! Tokens into a tree, by precedence climbing. Loosest first: `?:`, `||`, `&&`, comparisons and `in`, `+ -`, `* / %`,
//! then `!` and unary `-`, then calls.

use super::lexer::{Token, tokens};
use super::{ExprError, MOST_DEPTH, Span};
use crate::error::Fault;

/// A piece of an expression with its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Ast {
    /// What it is.
    pub node: Node,
    /// Where it stands.
    pub span: Span,
}

/// What a piece of an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// A metric or an event field.
    Name(String),
    /// `!x` or `-x`.
    Unary(&'static str, Box<Ast>),
    /// `x + y` and the like.
    Binary(&'static str, Box<Ast>, Box<Ast>),
    /// `x in [a, b]`.
    In(Box<Ast>, Vec<Ast>),
    /// `a ? b : c`.
    Choice(Box<Ast>, Box<Ast>, Box<Ast>),
    /// `f(x, y)`; for `x.f(y)` the receiver is the first argument and the name begins with a dot.
    Call(String, Vec<Ast>),
}

/// Reads an expression.
///
/// # Errors
/// Where the text leaves the language, with what was expected there.
pub fn parse(text: &str) -> Result<Ast, ExprError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let ast = parser.choice()?;
    match parser.peek() {
        Token::End => Ok(ast),
        other => Err(parser.wrong(&format!("expected an operator or the end, found {}", shown(other)))),
    }
}

/// The binary operators by precedence, loosest first.
const LEVELS: [&[&str]; 5] = [&["||"], &["&&"], &["==", "!=", "<=", ">=", "<", ">"], &["+", "-"], &["*", "/", "%"]];
const COMPARING: usize = 2;

struct Parser {
    tokens: Vec<(Token, Span)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(token, _)| token)
    }

    fn span(&self) -> Span {
        self.tokens.get(self.at).map_or(0..0, |(_, span)| span.clone())
    }

    fn wrong(&self, message: &str) -> ExprError {
        ExprError::new(self.span(), Fault::new(message))
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(here) if *here == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), ExprError> {
        if self.take(sign) {
            return Ok(());
        }
        Err(self.wrong(&format!("expected `{sign}`, found {}", shown(self.peek()))))
    }

    fn choice(&mut self) -> Result<Ast, ExprError> {
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(self.wrong(&format!("nested deeper than {MOST_DEPTH}")));
        }
        let condition = self.binary(0)?;
        let ast = if self.take("?") {
            let yes = self.choice()?;
            self.expect(":")?;
            let no = self.choice()?;
            let span = condition.span.start..no.span.end;
            Ast { node: Node::Choice(Box::new(condition), Box::new(yes), Box::new(no)), span }
        } else {
            condition
        };
        self.depth -= 1;
        Ok(ast)
    }

    fn binary(&mut self, level: usize) -> Result<Ast, ExprError> {
        let Some(signs) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        let mut many = 0;
        loop {
            if level == COMPARING && matches!(self.peek(), Token::Name(name) if name == "in") {
                self.at += 1;
                left = self.membership(left)?;
                continue;
            }
            let sign = match self.peek() {
                Token::Sign("=") => {
                    return Err(ExprError::new(self.span(), Fault::new("`=` does not compare").help("write `==`")));
                }
                Token::Sign(sign) => signs.iter().find(|known| *known == sign).copied(),
                _ => None,
            };
            let Some(sign) = sign else { return Ok(left) };
            many += 1;
            if many > 64 {
                return Err(self.wrong("more than 64 operators in a row"));
            }
            self.at += 1;
            let right = self.binary(level + 1)?;
            let span = left.span.start..right.span.end;
            left = Ast { node: Node::Binary(sign, Box::new(left), Box::new(right)), span };
        }
    }

    fn membership(&mut self, left: Ast) -> Result<Ast, ExprError> {
        self.expect("[")?;
        let items = self.list("]")?;
        let span = left.span.start..self.end();
        Ok(Ast { node: Node::In(Box::new(left), items), span })
    }

    fn list(&mut self, close: &str) -> Result<Vec<Ast>, ExprError> {
        let mut items = Vec::new();
        while !self.take(close) {
            if !items.is_empty() {
                self.expect(",")?;
                if self.take(close) {
                    break;
                }
            }
            items.push(self.choice()?);
        }
        Ok(items)
    }

    fn end(&self) -> usize {
        self.at.checked_sub(1).and_then(|last| self.tokens.get(last)).map_or(0, |(_, span)| span.end)
    }

    fn unary(&mut self) -> Result<Ast, ExprError> {
        let start = self.span().start;
        let Some(sign) = ["!", "-"].into_iter().find(|sign| self.take(sign)) else { return self.postfix() };
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(self.wrong(&format!("nested deeper than {MOST_DEPTH}")));
        }
        let inner = self.unary()?;
        self.depth -= 1;
        let span = start..inner.span.end;
        Ok(Ast { node: Node::Unary(sign, Box::new(inner)), span })
    }

    fn postfix(&mut self) -> Result<Ast, ExprError> {
        let mut ast = self.primary()?;
        // `"text".contains("x")` and `(a).contains("x")`; a name has taken its dots already.
        while self.take(".") {
            let Token::Name(method) = self.peek().clone() else {
                return Err(self.wrong("expected a method behind the dot"));
            };
            self.at += 1;
            self.expect("(")?;
            let mut arguments = vec![ast];
            arguments.extend(self.list(")")?);
            let span = arguments[0].span.start..self.end();
            ast = Ast { node: Node::Call(format!(".{method}"), arguments), span };
        }
        Ok(ast)
    }

    fn primary(&mut self) -> Result<Ast, ExprError> {
        let (token, span) = (self.peek().clone(), self.span());
        self.at += 1;
        let node = match token {
            Token::Number(number) => Node::Number(number),
            Token::Text(text) => Node::Text(text),
            Token::Name(name) if name == "true" || name == "false" => Node::Bool(name == "true"),
            Token::Name(name) if self.take("(") => return self.call(name, span),
            Token::Name(name) => Node::Name(name),
            Token::Sign("(") => {
                let inner = self.choice()?;
                self.expect(")")?;
                return Ok(Ast { span: span.start..self.end(), ..inner });
            }
            other => {
                self.at -= 1;
                return Err(self.wrong(&format!("expected a value, found {}", shown(&other))));
            }
        };
        Ok(Ast { node, span })
    }

    fn call(&mut self, name: String, span: Span) -> Result<Ast, ExprError> {
        let method = name.rsplit_once('.').map(|(receiver, method)| (receiver.to_owned(), method.to_owned()));
        let (name, mut arguments) = match method {
            Some((receiver, method)) => {
                let receiver_span = span.start..span.start + receiver.len();
                (format!(".{method}"), vec![Ast { node: Node::Name(receiver), span: receiver_span }])
            }
            None => (name, Vec::new()),
        };
        arguments.extend(self.list(")")?);
        Ok(Ast { node: Node::Call(name, arguments), span: span.start..self.end() })
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Number(number) => format!("`{number}`"),
        Token::Text(text) => format!("the text {:?}", text.chars().take(40).collect::<String>()),
        Token::Name(name) => format!("`{name}`"),
        Token::Sign(sign) => format!("`{sign}`"),
        Token::End => "the end".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn precedence_is_cels() {
        let grouped = |text: &str| format!("{:?}", strip(parse(text).unwrap()));
        assert_eq!(grouped("a || b && c == 1 + 2 * 3"), grouped("a || (b && (c == (1 + (2 * 3))))"));
        assert_eq!(grouped("!a && b"), grouped("(!a) && b"));
        assert_eq!(grouped("1 - 2 - 3"), grouped("(1 - 2) - 3"));
    }

    fn strip(ast: Ast) -> Ast {
        let b = |x: Box<Ast>| Box::new(strip(*x));
        let node = match ast.node {
            Node::Unary(s, x) => Node::Unary(s, b(x)),
            Node::Binary(s, x, y) => Node::Binary(s, b(x), b(y)),
            other => other,
        };
        Ast { node, span: 0..0 }
    }

    #[test]
    fn a_slip_says_where_and_what_was_expected() {
        for (text, span, message) in [
            ("a == ", 5..5, "expected a value, found the end"),
            ("a = 1", 2..3, "`=` does not compare"),
            ("(a", 2..2, "expected `)`, found the end"),
            ("a b", 2..3, "expected an operator or the end, found `b`"),
            ("a in 3", 5..6, "expected `[`, found `3`"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.span.clone(), error.message()), (span, message), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        parse(&"(".repeat(5_000)).unwrap_err();
        parse(&"!".repeat(5_000)).unwrap_err();
        parse(&vec!["1"; 3_000].join("+")).unwrap_err();
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            drop(parse(&text));
        }

        #[test]
        fn anything_near_the_language_is_read_or_refused(text in "[a-z.0-9 ()\\[\\]!&|<>=+*/%?:,'\"-]{0,60}") {
            if let Err(error) = parse(&text) {
                prop_assert!(error.span.start <= text.len() && error.span.end <= text.len());
            }
        }
    }
}
