//! A checked expression: names resolved, types known.

/// The type of a piece of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// True or false.
    Bool,
    /// A number.
    Num,
    /// A text.
    Text,
}

impl Type {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Bool => "a condition",
            Self::Num => "a number",
            Self::Text => "a text",
        }
    }
}

/// A metric of the rulebook, as a small number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricIx(pub u16);

/// The metrics that a rulebook mentions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricTable {
    names: Vec<String>,
}

impl MetricTable {
    /// The metric's number; a new one if it was not mentioned before.
    pub fn intern(&mut self, name: &str) -> MetricIx {
        let at = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        MetricIx(u16::try_from(at).unwrap_or(u16::MAX))
    }

    /// The metric's name.
    pub fn name(&self, ix: MetricIx) -> &str {
        self.names.get(usize::from(ix.0)).map_or("?", String::as_str)
    }

    /// Every metric in the order of its number.
    pub fn iter(&self) -> impl Iterator<Item = (MetricIx, &str)> {
        self.names.iter().enumerate().filter_map(|(at, name)| Some((MetricIx(u16::try_from(at).ok()?), name.as_str())))
    }
}

/// A question about the quality of a metric's reading; always answered with yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A good reading exists.
    Has,
    /// There were samples, and none came during the rule's window.
    Absent,
    /// The call that reads it does not come back.
    Stuck,
    /// The entity is gone.
    Lost,
}

/// What is made of a metric's values in the rule's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Counted per second.
    Rate,
    /// Counted, or for a gauge last minus first.
    Delta,
    /// The least.
    Min,
    /// The most.
    Max,
    /// The mean.
    Avg,
}

/// A checked expression.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each mirrors a node of the tree")]
pub enum Expr {
    Num(f64),
    Text(String),
    Bool(bool),
    Metric(MetricIx, Type, Owner),
    Field(String, Type),
    Not(Box<Expr>),
    Minus(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Arith(char, Box<Expr>, Box<Expr>),
    Compare(&'static str, Box<Expr>, Box<Expr>),
    In(Box<Expr>, Vec<Expr>),
    Choice(Box<Expr>, Box<Expr>, Box<Expr>),
    Ask(Ask, MetricIx),
    HasField(String),
    Over(Over, MetricIx),
    Median(MetricIx),
    Siblings(Box<Expr>),
    Count,
    Bit(Box<Expr>, Box<Expr>),
    StartsWith(Box<Expr>, Box<Expr>),
    Contains(Box<Expr>, Box<Expr>),
}

/// Whose metric is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The rule's entity's own.
    Own,
    /// The node's, of which there is one.
    Node,
    /// The GPU's that an NVLink belongs to.
    Gpu,
}

/// A checked expression and what it depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// The expression.
    pub expr: Expr,
    /// The text it was read from.
    pub text: String,
    /// Metrics of the rule's own entity whose change asks for another look.
    pub reads: Vec<MetricIx>,
    /// Metrics of which a window is kept.
    pub windows: Vec<MetricIx>,
    /// Metrics that are watched for absence.
    pub absences: Vec<MetricIx>,
    /// It looks at the entity's siblings.
    pub siblings: bool,
    /// It looks at an event's fields.
    pub fields: bool,
    /// It counts events.
    pub counts: bool,
}
