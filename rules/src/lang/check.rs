//! Resolves a tree's names against the metric catalogue and the event vocabulary, and finds its type.

use model::{EntityKind, Metric, catalogue};

use super::expr::{Ask, Checked, Expr, MetricIx, MetricTable, Over, Owner, Type};
use super::parse::{Ast, Node};
use super::{ExprError, Span};
use crate::error::Fault;
use crate::vocabulary::{self, EventKind};

/// What an expression may speak of.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The kind of the rule's entity.
    pub entity: EntityKind,
    /// The event that is looked at, if any.
    pub event: Option<&'static EventKind>,
    /// Whether the rule has a window.
    pub window: bool,
}

/// Reads and checks a condition.
///
/// # Errors
/// Where it leaves the language, names what does not exist, or mixes types.
pub fn check(text: &str, context: Context, table: &mut MetricTable) -> Result<Checked, ExprError> {
    let ast = super::parse::parse(text)?;
    let mut checked = Checked {
        expr: Expr::Bool(false),
        text: text.trim().to_owned(),
        reads: Vec::new(),
        windows: Vec::new(),
        absences: Vec::new(),
        siblings: false,
        fields: false,
        counts: false,
    };
    let mut checker = Checker { context, table, found: &mut checked };
    let (expr, kind) = checker.any(&ast)?;
    if kind != Type::Bool {
        return Err(mismatch(&ast.span, Type::Bool, kind));
    }
    checked.expr = expr;
    Ok(checked)
}

struct Checker<'a> {
    context: Context,
    table: &'a mut MetricTable,
    found: &'a mut Checked,
}

fn mismatch(span: &Span, expected: Type, found: Type) -> ExprError {
    let fault = Fault::new(format!("expected {}, found {}", expected.word(), found.word()));
    ExprError::new(span.clone(), fault)
}

const FUNCTIONS: [&str; 13] =
    ["rate", "delta", "min", "max", "avg", "median", "count", "has", "absent", "stuck", "lost", "bit", "siblings"];

impl Checker<'_> {
    fn of(&mut self, ast: &Ast, expected: Type) -> Result<Box<Expr>, ExprError> {
        let (expr, found) = self.any(ast)?;
        if found == expected { Ok(Box::new(expr)) } else { Err(mismatch(&ast.span, expected, found)) }
    }

    fn any(&mut self, ast: &Ast) -> Result<(Expr, Type), ExprError> {
        use Type::{Bool, Num, Text};
        Ok(match &ast.node {
            Node::Number(number) => (Expr::Num(*number), Num),
            Node::Text(text) => (Expr::Text(text.clone()), Text),
            Node::Bool(flag) => (Expr::Bool(*flag), Bool),
            Node::Name(name) => self.name(name, &ast.span)?,
            Node::Unary("!", inner) => (Expr::Not(self.of(inner, Bool)?), Bool),
            Node::Unary(_, inner) => (Expr::Minus(self.of(inner, Num)?), Num),
            Node::Binary("&&", left, right) => (Expr::And(self.of(left, Bool)?, self.of(right, Bool)?), Bool),
            Node::Binary("||", left, right) => (Expr::Or(self.of(left, Bool)?, self.of(right, Bool)?), Bool),
            Node::Binary(sign @ ("==" | "!="), left, right) => {
                let (one, kind) = self.any(left)?;
                let other = self.of(right, kind)?;
                self.known_word(left, right)?;
                self.known_word(right, left)?;
                (Expr::Compare(sign, Box::new(one), other), Bool)
            }
            Node::Binary(sign @ ("<" | "<=" | ">" | ">="), left, right) => {
                (Expr::Compare(sign, self.of(left, Num)?, self.of(right, Num)?), Bool)
            }
            Node::Binary(sign, left, right) => {
                let sign = sign.chars().next().unwrap_or('+');
                (Expr::Arith(sign, self.of(left, Num)?, self.of(right, Num)?), Num)
            }
            Node::In(left, items) => {
                let (one, kind) = self.any(left)?;
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    list.push(*self.of(item, kind)?);
                    self.known_word(left, item)?;
                }
                (Expr::In(Box::new(one), list), Bool)
            }
            Node::Choice(condition, yes, no) => {
                let condition = self.of(condition, Bool)?;
                let (yes, kind) = self.any(yes)?;
                (Expr::Choice(condition, Box::new(yes), self.of(no, kind)?), kind)
            }
            Node::Call(name, arguments) => self.call(name, arguments, &ast.span)?,
        })
    }

    fn name(&mut self, name: &str, span: &Span) -> Result<(Expr, Type), ExprError> {
        if let Some(field) = name.strip_prefix("event.") {
            return self.field(field, span);
        }
        let (metric, owner) = self.metric(name, span)?;
        let ix = self.table.intern(name);
        if owner == Owner::Own {
            note(&mut self.found.reads, ix);
        }
        let kind = vocabulary::type_of(metric);
        Ok((Expr::Metric(ix, kind, owner), kind))
    }

    fn field(&mut self, field: &str, span: &Span) -> Result<(Expr, Type), ExprError> {
        let Some(event) = self.context.event else {
            let fault = Fault::new(format!("`event.{field}` in a rule about metrics"))
                .help("say which events with `on = \"…\"`");
            return Err(ExprError::new(span.clone(), fault));
        };
        let Some(kind) = event.field(field) else {
            let names = event.fields.iter().map(|(name, _)| *name);
            let fault = Fault::unknown(&format!("field of the event `{}`", event.name), field, names);
            return Err(ExprError::new(span.clone(), fault));
        };
        self.found.fields = true;
        Ok((Expr::Field(field.to_owned(), kind), kind))
    }

    fn metric(&self, name: &str, span: &Span) -> Result<(&'static Metric, Owner), ExprError> {
        let Some(metric) = Metric::find(name) else {
            let fault = if self.context.event.is_some_and(|event| event.fields.iter().any(|(field, _)| *field == name))
            {
                Fault::new(format!("unknown metric `{name}`")).help(format!("did you mean `event.{name}`?"))
            } else {
                Fault::unknown("metric", name, catalogue::all().map(|metric| metric.name))
            };
            return Err(ExprError::new(span.clone(), fault));
        };
        let owner = match (metric.entity, self.context.entity) {
            (own, here) if own == here => Owner::Own,
            (EntityKind::Node, _) => Owner::Node,
            (EntityKind::Gpu, EntityKind::NvLink) => Owner::Gpu,
            (own, here) => {
                let fault = Fault::new(format!("`{name}` is a metric of a {}, not of a {}", own.word(), here.word()))
                    .help(format!("a rule looks at one entity: write a rule with `entity = \"{}\"`", own.word()));
                return Err(ExprError::new(span.clone(), fault));
            }
        };
        Ok((metric, owner))
    }

    /// A text compared with a state whose words are known must be one of them.
    fn known_word(&self, name: &Ast, text: &Ast) -> Result<(), ExprError> {
        let (Node::Name(name), Node::Text(word)) = (&name.node, &text.node) else { return Ok(()) };
        match vocabulary::words(name) {
            Some(words) if !words.contains(&word.as_str()) => {
                let fault = Fault::unknown(&format!("state of `{name}`"), word, words.iter().copied());
                Err(ExprError::new(text.span.clone(), fault))
            }
            _ => Ok(()),
        }
    }

    fn call(&mut self, name: &str, arguments: &[Ast], span: &Span) -> Result<(Expr, Type), ExprError> {
        use Type::{Bool, Num, Text};
        let over = |over| move |ix| (Expr::Over(over, ix), Num);
        let ask = |ask| move |ix| (Expr::Ask(ask, ix), Bool);
        match name {
            "rate" => self.windowed(name, arguments, span).map(over(Over::Rate)),
            "delta" => self.windowed(name, arguments, span).map(over(Over::Delta)),
            "min" => self.windowed(name, arguments, span).map(over(Over::Min)),
            "max" => self.windowed(name, arguments, span).map(over(Over::Max)),
            "avg" => self.windowed(name, arguments, span).map(over(Over::Avg)),
            "has" if matches!(arguments, [Ast { node: Node::Name(name), .. }] if name.starts_with("event.")) => {
                let [argument] = exactly(name, arguments, span)?;
                match self.any(argument)? {
                    (Expr::Field(field, _), _) => Ok((Expr::HasField(field), Bool)),
                    other => Ok(other),
                }
            }
            "has" => self.subject(name, arguments, span).map(ask(Ask::Has)),
            "stuck" => self.subject(name, arguments, span).map(ask(Ask::Stuck)),
            "lost" => self.subject(name, arguments, span).map(ask(Ask::Lost)),
            "absent" => {
                let ix = self.subject(name, arguments, span)?;
                note(&mut self.found.absences, ix);
                Ok((Expr::Ask(Ask::Absent, ix), Bool))
            }
            "median" => {
                self.found.siblings = true;
                let ix = self.subject(name, arguments, span)?;
                self.numeric(name, ix, span)?;
                Ok((Expr::Median(ix), Num))
            }
            "siblings" => {
                let [condition] = exactly(name, arguments, span)?;
                self.found.siblings = true;
                Ok((Expr::Siblings(self.of(condition, Bool)?), Num))
            }
            "count" => {
                let [] = exactly(name, arguments, span)?;
                self.counted(span)?;
                Ok((Expr::Count, Num))
            }
            "bit" => {
                let [value, bit] = exactly(name, arguments, span)?;
                Ok((Expr::Bit(self.of(value, Num)?, self.of(bit, Num)?), Bool))
            }
            ".startsWith" | ".contains" => {
                let [text, part] = exactly(name, arguments, span)?;
                let (text, part) = (self.of(text, Text)?, self.of(part, Text)?);
                let make = if name == ".contains" { Expr::Contains } else { Expr::StartsWith };
                Ok((make(text, part), Bool))
            }
            unknown => {
                let known = FUNCTIONS.into_iter().chain([".startsWith", ".contains"]);
                Err(ExprError::new(span.clone(), Fault::unknown("function", unknown, known)))
            }
        }
    }

    fn counted(&mut self, span: &Span) -> Result<(), ExprError> {
        if self.context.event.is_none() {
            let fault = Fault::new("`count()` counts events").help("say which events with `on = \"…\"`");
            return Err(ExprError::new(span.clone(), fault));
        }
        self.needs_window("count", span)?;
        self.found.counts = true;
        Ok(())
    }

    fn needs_window(&self, name: &str, span: &Span) -> Result<(), ExprError> {
        if self.context.window {
            return Ok(());
        }
        let fault =
            Fault::new(format!("`{name}()` looks at a stretch of time")).help("add `window = \"5m\"` to the rule");
        Err(ExprError::new(span.clone(), fault))
    }

    /// The one metric that a function is about.
    fn subject(&mut self, name: &str, arguments: &[Ast], span: &Span) -> Result<MetricIx, ExprError> {
        let [argument] = exactly(name, arguments, span)?;
        let Node::Name(metric) = &argument.node else {
            let fault = Fault::new(format!("`{name}()` takes a metric")).help("for example `gpu.temp`");
            return Err(ExprError::new(argument.span.clone(), fault));
        };
        let (_, owner) = self.metric(metric, &argument.span)?;
        if owner != Owner::Own {
            let fault = Fault::new(format!("`{name}()` takes a metric of the rule's own entity"));
            return Err(ExprError::new(argument.span.clone(), fault));
        }
        let ix = self.table.intern(metric);
        note(&mut self.found.reads, ix);
        Ok(ix)
    }

    fn windowed(&mut self, name: &str, arguments: &[Ast], span: &Span) -> Result<MetricIx, ExprError> {
        self.needs_window(name, span)?;
        let ix = self.subject(name, arguments, span)?;
        self.numeric(name, ix, span)?;
        let counter = Metric::find(self.table.name(ix)).is_some_and(Metric::is_counter);
        if name == "rate" && !counter {
            let fault = Fault::new("`rate()` takes a counter, and this metric goes up and down")
                .help("use `delta()`, `min()`, `max()` or `avg()`");
            return Err(ExprError::new(span.clone(), fault));
        }
        note(&mut self.found.windows, ix);
        Ok(ix)
    }

    fn numeric(&self, name: &str, ix: MetricIx, span: &Span) -> Result<(), ExprError> {
        match Metric::find(self.table.name(ix)).map(vocabulary::type_of) {
            Some(Type::Num) | None => Ok(()),
            Some(other) => {
                let fault =
                    Fault::new(format!("`{name}()` takes a metric that is a number, this one is {}", other.word()));
                Err(ExprError::new(span.clone(), fault))
            }
        }
    }
}

fn note(list: &mut Vec<MetricIx>, ix: MetricIx) {
    if !list.contains(&ix) {
        list.push(ix);
    }
}

fn exactly<'a, const N: usize>(name: &str, arguments: &'a [Ast], span: &Span) -> Result<[&'a Ast; N], ExprError> {
    let found: Vec<&Ast> = arguments.iter().collect();
    // The receiver of a method is written before the dot.
    let shown = |count: usize| if name.starts_with('.') { count.saturating_sub(1) } else { count };
    <[&Ast; N]>::try_from(found).map_err(|found| {
        let message = format!("`{name}()` takes {} arguments, found {}", shown(N), shown(found.len()));
        ExprError::new(span.clone(), Fault::new(message))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wrong(text: &str, entity: EntityKind, on: Option<&str>) -> String {
        let context = Context { entity, event: on.and_then(vocabulary::event_kind), window: false };
        let error = check(text, context, &mut MetricTable::default()).unwrap_err();
        format!("{}..{} {}; {}", error.span.start, error.span.end, error.message(), error.help().unwrap_or(""))
    }

    #[test]
    fn a_misspelt_metric_is_told_its_nearest_name() {
        assert_eq!(
            wrong("gpu.tmep > 90", EntityKind::Gpu, None),
            "0..8 unknown metric `gpu.tmep`; did you mean `gpu.temp`?"
        );
        assert_eq!(
            wrong("code == 79", EntityKind::Gpu, Some("xid")),
            "0..4 unknown metric `code`; did you mean `event.code`?"
        );
        assert_eq!(
            wrong("event.cod == 79", EntityKind::Gpu, Some("xid")),
            "0..9 unknown field of the event `xid` `cod`; did you mean `code`?"
        );
    }

    #[test]
    fn kinds_and_types_are_checked() {
        assert!(wrong("gpu.temp > 90", EntityKind::RdmaPort, None).contains("is a metric of a gpu, not of a port"));
        assert!(wrong("gpu.temp", EntityKind::Gpu, None).contains("expected a condition, found a number"));
        assert!(wrong("gpu.state > 3", EntityKind::Gpu, None).contains("expected a number, found a text"));
        assert!(wrong("gpu.state == 'lots'", EntityKind::Gpu, None).contains("did you mean `lost`?"));
        assert!(wrong("rate(gpu.pcie_replay) > 1", EntityKind::Gpu, None).contains("add `window"));
        assert!(wrong("event.code == 1", EntityKind::Gpu, None).contains("say which events"));
        assert!(wrong("rat(gpu.temp) > 1", EntityKind::Gpu, None).contains("did you mean `rate`?"));
        assert!(wrong("bit(gpu.throttle) ", EntityKind::Gpu, None).contains("takes 2 arguments, found 1"));
    }
}
