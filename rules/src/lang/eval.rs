//! What an expression says of one entity now: true, false, or unknown.

use super::expr::{Ask, Expr, MetricIx, Over, Owner, Type};

/// A value while evaluating. `Unknown` says that there is no answer, never that the answer is no.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Val<'a> {
    /// No answer.
    Unknown,
    /// Yes or no.
    Bool(bool),
    /// A number.
    Num(f64),
    /// A text.
    Text(&'a str),
}

impl Val<'_> {
    /// As the type that the expression expects: a driver may write a flag as 0 and 1, or a state as yes and no.
    pub fn cast(self, kind: Type) -> Self {
        match (kind, self) {
            (Type::Bool, Self::Num(number)) => Self::Bool(number != 0.0),
            (Type::Num, Self::Bool(flag)) => Self::Num(f64::from(u8::from(flag))),
            (Type::Bool, Self::Bool(_)) | (Type::Num, Self::Num(_)) | (Type::Text, Self::Text(_)) => self,
            _ => Self::Unknown,
        }
    }
}

/// What an expression can ask of the world. Every answer may be unknown.
pub trait Scope {
    /// The metric's value, if it was read well not long ago.
    fn metric(&self, metric: MetricIx, owner: Owner) -> Val<'_>;
    /// A question about a reading's quality.
    fn ask(&self, ask: Ask, metric: MetricIx) -> bool;
    /// A number made of the metric's window.
    fn over(&self, over: Over, metric: MetricIx) -> Val<'_>;
    /// The median of the entity's siblings.
    fn median(&self, metric: MetricIx) -> Val<'_>;
    /// How many siblings meet a condition.
    fn siblings(&self, condition: &Expr) -> Val<'_>;
    /// A field of the event looked at.
    fn field(&self, name: &str) -> Val<'_>;
    /// How many such events the window holds.
    fn count(&self) -> Val<'_>;
}

/// The expression's value in a scope.
pub fn eval<'a>(expr: &'a Expr, scope: &'a dyn Scope) -> Val<'a> {
    match expr {
        Expr::Num(number) => Val::Num(*number),
        Expr::Text(text) => Val::Text(text),
        Expr::Bool(flag) => Val::Bool(*flag),
        Expr::Metric(metric, kind, owner) => scope.metric(*metric, *owner).cast(*kind),
        Expr::Field(name, kind) => scope.field(name).cast(*kind),
        Expr::Not(inner) => match eval(inner, scope) {
            Val::Bool(flag) => Val::Bool(!flag),
            _ => Val::Unknown,
        },
        Expr::Minus(inner) => match eval(inner, scope) {
            Val::Num(number) => Val::Num(-number),
            _ => Val::Unknown,
        },
        Expr::And(left, right) => decided_by(false, left, right, scope),
        Expr::Or(left, right) => decided_by(true, left, right, scope),
        Expr::Arith(sign, left, right) => arithmetic(*sign, eval(left, scope), eval(right, scope)),
        Expr::Compare(sign, left, right) => compare(sign, eval(left, scope), eval(right, scope)),
        Expr::In(left, items) => {
            let one = eval(left, scope);
            let mut answer = Val::Bool(false);
            for item in items {
                match compare("==", one, eval(item, scope)) {
                    Val::Bool(true) => return Val::Bool(true),
                    Val::Bool(_) => {}
                    _ => answer = Val::Unknown,
                }
            }
            answer
        }
        Expr::Choice(condition, yes, no) => match eval(condition, scope) {
            Val::Bool(true) => eval(yes, scope),
            Val::Bool(false) => eval(no, scope),
            _ => Val::Unknown,
        },
        Expr::Ask(ask, metric) => Val::Bool(scope.ask(*ask, *metric)),
        Expr::HasField(name) => Val::Bool(scope.field(name) != Val::Unknown),
        Expr::Over(over, metric) => scope.over(*over, *metric),
        Expr::Median(metric) => scope.median(*metric),
        Expr::Siblings(condition) => scope.siblings(condition),
        Expr::Count => scope.count(),
        Expr::Bit(value, bit) => match (eval(value, scope), eval(bit, scope)) {
            (Val::Num(value), Val::Num(bit)) => has_bit(value, bit),
            _ => Val::Unknown,
        },
        Expr::StartsWith(text, part) => {
            texts(eval(text, scope), eval(part, scope), |text, part| text.starts_with(part))
        }
        Expr::Contains(text, part) => texts(eval(text, scope), eval(part, scope), |text, part| text.contains(part)),
    }
}

/// Kleene's `&&` (decided by false) and `||` (decided by true).
fn decided_by<'a>(decisive: bool, left: &'a Expr, right: &'a Expr, scope: &'a dyn Scope) -> Val<'a> {
    let left = eval(left, scope);
    if left == Val::Bool(decisive) {
        return left;
    }
    match (left, eval(right, scope)) {
        (_, Val::Bool(right)) if right == decisive => Val::Bool(decisive),
        (Val::Bool(_), Val::Bool(_)) => Val::Bool(!decisive),
        _ => Val::Unknown,
    }
}

fn arithmetic<'a>(sign: char, left: Val<'_>, right: Val<'_>) -> Val<'a> {
    let (Val::Num(left), Val::Num(right)) = (left, right) else { return Val::Unknown };
    let number = match sign {
        '+' => left + right,
        '-' => left - right,
        '*' => left * right,
        '/' => left / right,
        _ => left % right,
    };
    // Division by nought has no answer.
    if number.is_finite() { Val::Num(number) } else { Val::Unknown }
}

fn compare<'a>(sign: &str, left: Val<'_>, right: Val<'_>) -> Val<'a> {
    let order = match (left, right) {
        (Val::Num(left), Val::Num(right)) => left.partial_cmp(&right),
        (Val::Text(left), Val::Text(right)) => Some(left.cmp(right)),
        (Val::Bool(left), Val::Bool(right)) => Some(left.cmp(&right)),
        _ => None,
    };
    let Some(order) = order else { return Val::Unknown };
    Val::Bool(match sign {
        "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })
}

fn texts<'a>(text: Val<'_>, part: Val<'_>, holds: fn(&str, &str) -> bool) -> Val<'a> {
    match (text, part) {
        (Val::Text(text), Val::Text(part)) => Val::Bool(holds(text, part)),
        _ => Val::Unknown,
    }
}

/// Bit `bit` of a whole number; of masks wider than an `f64` holds exactly there is no answer.
fn has_bit<'a>(value: f64, bit: f64) -> Val<'a> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !(0.0..EXACT).contains(&value) || !(0.0..53.0).contains(&bit) || bit.fract() != 0.0 {
        return Val::Unknown;
    }
    Val::Bool((value / bit.exp2()).floor() % 2.0 == 1.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use model::EntityKind;

    use super::super::check::{Context, check};
    use super::super::expr::MetricTable;
    use super::*;

    /// A scope in which `gpu.temp` is 91, `gpu.throttle` is 0x48, `gpu.state` is "ok" and nothing else is known.
    struct Little(MetricTable);

    impl Scope for Little {
        fn metric(&self, metric: MetricIx, _: Owner) -> Val<'_> {
            match self.0.name(metric) {
                "gpu.temp" => Val::Num(91.0),
                "gpu.throttle" => Val::Num(72.0),
                "gpu.state" => Val::Text("ok"),
                _ => Val::Unknown,
            }
        }
        fn ask(&self, _: Ask, _: MetricIx) -> bool {
            false
        }
        fn over(&self, _: Over, _: MetricIx) -> Val<'_> {
            Val::Unknown
        }
        fn median(&self, _: MetricIx) -> Val<'_> {
            Val::Unknown
        }
        fn siblings(&self, _: &Expr) -> Val<'_> {
            Val::Num(0.0)
        }
        fn field(&self, _: &str) -> Val<'_> {
            Val::Unknown
        }
        fn count(&self) -> Val<'_> {
            Val::Unknown
        }
    }

    fn answer(text: &str) -> Option<bool> {
        let mut table = MetricTable::default();
        let context = Context { entity: EntityKind::Gpu, event: None, window: false };
        let checked = check(text, context, &mut table).unwrap();
        match eval(&checked.expr, &Little(table)) {
            Val::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    #[test]
    fn unknown_is_neither_true_nor_false() {
        assert_eq!(answer("gpu.power > 1"), None);
        assert_eq!(answer("!(gpu.power > 1)"), None);
        assert_eq!(answer("gpu.power > 1 && gpu.temp > 95"), Some(false));
        assert_eq!(answer("gpu.power > 1 && gpu.temp > 90"), None);
        assert_eq!(answer("gpu.power > 1 || gpu.temp > 90"), Some(true));
        assert_eq!(answer("gpu.power in [1, 2]"), None);
        assert_eq!(answer("gpu.temp / 0 > 1"), None);
    }

    #[test]
    fn numbers_texts_and_bits_are_told_apart() {
        assert_eq!(answer("bit(gpu.throttle, 3) && bit(gpu.throttle, 6) && !bit(gpu.throttle, 0)"), Some(true));
        assert_eq!(answer("gpu.state.startsWith('o') && !gpu.state.contains('x')"), Some(true));
        assert_eq!(answer("gpu.temp - 1 == 90 ? gpu.state == 'ok' : false"), Some(true));
        assert_eq!(answer("gpu.temp in [90, 91] && gpu.temp % 2 == 1"), Some(true));
    }
}
