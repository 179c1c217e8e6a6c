//! The test cases inside a rule file: steps with times, readings and events.

use std::str::FromStr;

use model::time::NS_PER_S;
use model::{Action, Entity, EntityKind, Field, Metric, Reading, Severity, Value};
use toml::Spanned;
use toml::de::DeValue;

use super::table::{Table, wrong};
use crate::error::{Fault, RuleError};
use crate::lang::{Span, Type};
use crate::rule::{Expect, RuleTest, TestStep};
use crate::vocabulary::EventKind;

const TEST_KEYS: &[&str] = &["name", "expect", "steps"];
const STEP_KEYS: &[&str] = &["at", "until", "entity", "set", "grow", "event", "fields", "verdict", "injected"];
/// The most repetitions of one step: a test is a case, not a load.
const MOST_REPEATS: u64 = 20_000;

/// The entity that a test speaks of unless it says otherwise.
pub(super) fn default_entity(kind: EntityKind) -> Entity {
    let text = match kind {
        EntityKind::Node => "node",
        EntityKind::Numa => "numa:0",
        EntityKind::Pci => "pci:0000:4f:00.0",
        EntityKind::Gpu => "gpu:GPU-1",
        EntityKind::Mig => "mig:MIG-1",
        EntityKind::NvLink => "nvlink:GPU-1/0",
        EntityKind::NvSwitch => "nvswitch:0000:05:00.0",
        EntityKind::RdmaPort => "port:mlx5_0/1",
        EntityKind::Interface => "netif:eth0",
        EntityKind::Mount => "mount:/data",
        EntityKind::Process => "process:4242@1",
        EntityKind::Container => "container:abc",
        EntityKind::Job => "job:7",
        EntityKind::Probe => "probe:nvml",
    };
    text.parse().expect("each default is a target")
}

pub(super) fn read(
    rule: &Table<'_>,
    kind: EntityKind,
    on: Option<&'static EventKind>,
) -> Result<Vec<RuleTest>, RuleError> {
    let mut tests = Vec::new();
    for value in rule.list("test")? {
        let table = Table::new(rule.source, value, TEST_KEYS)?;
        refuse_strangers(&table)?;
        let expect = table.needed("expect")?;
        let expect = match expect.text {
            "fires" => Expect::Fires,
            "silent" => Expect::Silent,
            "ends" => Expect::Ends,
            other => {
                let fault = Fault::unknown("expectation", other, ["fires", "silent", "ends"].into_iter());
                return Err(table.error(expect.span, fault));
            }
        };
        let mut steps = Vec::new();
        for value in table.list("steps")? {
            steps.push(step(&Table::new(rule.source, value, STEP_KEYS)?, kind, on)?);
        }
        tests.push(RuleTest { name: table.owned("name")?.unwrap_or_default(), expect, steps });
    }
    Ok(tests)
}

fn refuse_strangers(table: &Table<'_>) -> Result<(), RuleError> {
    table.strangers().into_iter().next().map_or(Ok(()), Err)
}

fn step(table: &Table<'_>, kind: EntityKind, on: Option<&'static EventKind>) -> Result<TestStep, RuleError> {
    refuse_strangers(table)?;
    let at_ns = table.duration("at")?.unwrap_or(0);
    let until_ns = table.duration("until")?.unwrap_or(at_ns).max(at_ns);
    if (until_ns - at_ns) / NS_PER_S > MOST_REPEATS {
        return Err(table.error(table.span.clone(), Fault::new(format!("more than {MOST_REPEATS} repetitions"))));
    }
    let entity = match table.text("entity")? {
        None => default_entity(kind),
        Some(placed) => placed
            .text
            .parse()
            .map_err(|error: model::entity::NotATarget| table.error(placed.span, Fault::new(error.to_string())))?,
    };
    let kind = match table.text("event")? {
        None => None,
        Some(placed) if placed.text.is_empty() => on,
        Some(placed) => Some(super::event_kind(table, &placed)?),
    };
    let fields = fields(table, kind)?;
    Ok(TestStep {
        at_ns,
        until_ns,
        entity,
        set: readings(table)?,
        grow: growth(table)?,
        event: kind.map(|kind| (kind, fields)),
        verdict: verdict(table)?,
        injected: table.flag("injected")?,
    })
}

/// An entry of an inner table: its key, where that stands, and its value.
type Entry<'a> = (&'a str, Span, &'a Spanned<DeValue<'a>>);

fn entries<'a>(table: &Table<'a>, key: &str) -> Result<Vec<Entry<'a>>, RuleError> {
    let Some(value) = table.get(key) else { return Ok(Vec::new()) };
    match value.get_ref() {
        DeValue::Table(inner) => {
            Ok(inner.iter().map(|(name, value)| (name.get_ref().as_ref(), name.span(), value)).collect())
        }
        other => Err(wrong(table.source, value.span(), "a table", other)),
    }
}

fn metric(table: &Table<'_>, name: &str, place: Span) -> Result<&'static Metric, RuleError> {
    Metric::find(name).ok_or_else(|| {
        let fault = Fault::unknown("metric", name, model::catalogue::all().map(|metric| metric.name));
        table.error(place, fault)
    })
}

fn readings(table: &Table<'_>) -> Result<Vec<(String, Reading)>, RuleError> {
    let mut found = Vec::new();
    for (name, place, value) in entries(table, "set")? {
        let metric = metric(table, name, place)?;
        let reading = match value.get_ref() {
            DeValue::String(text) => match text.as_ref() {
                "!denied" => Reading::Denied,
                "!unsupported" => Reading::Unsupported,
                "!lost" => Reading::Lost,
                "!stuck" => Reading::Stuck(0, "call".to_owned()),
                text => Reading::from(text),
            },
            DeValue::Boolean(flag) => Reading::from(*flag),
            DeValue::Integer(number) if metric.is_counter() || metric.unit == model::Unit::None => {
                match u64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(count) => Reading::from(count),
                    Err(_) => {
                        return Err(table.error(value.span(), Fault::new("expected a number that is not negative")));
                    }
                }
            }
            other => Reading::from(Value::Number(
                number(other).ok_or_else(|| wrong(table.source, value.span(), "a reading", other))?,
            )),
        };
        found.push((name.to_owned(), reading));
    }
    Ok(found)
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(number) => f64::from_str(number.as_str()).ok(),
        DeValue::Float(number) => f64::from_str(number.as_str()).ok(),
        _ => None,
    }
}

fn growth(table: &Table<'_>) -> Result<Vec<(String, u64)>, RuleError> {
    let mut found = Vec::new();
    for (name, place, value) in entries(table, "grow")? {
        metric(table, name, place)?;
        let DeValue::Integer(number) = value.get_ref() else {
            return Err(wrong(table.source, value.span(), "a whole number", value.get_ref()));
        };
        let step = number
            .as_str()
            .parse()
            .map_err(|_| table.error(value.span(), Fault::new("expected a whole number that is not negative")))?;
        found.push((name.to_owned(), step));
    }
    Ok(found)
}

fn fields(table: &Table<'_>, kind: Option<&'static EventKind>) -> Result<Vec<(String, Field)>, RuleError> {
    let mut found = Vec::new();
    for (name, place, value) in entries(table, "fields")? {
        let known = kind.map_or(&[][..], |kind| kind.fields);
        let Some(expected) = kind.and_then(|kind| kind.field(name)) else {
            let fault = Fault::unknown("field of the event", name, known.iter().map(|(field, _)| *field));
            return Err(table.error(place, fault));
        };
        let field = match (expected, value.get_ref()) {
            (Type::Num, DeValue::Integer(number)) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(Field::Int)
            }
            (Type::Text, DeValue::String(text)) => Some(Field::from(text.as_ref())),
            (Type::Bool, DeValue::Boolean(flag)) => Some(Field::Flag(*flag)),
            _ => None,
        };
        let field = field.ok_or_else(|| wrong(table.source, value.span(), "the field's type", value.get_ref()))?;
        found.push((name.to_owned(), field));
    }
    Ok(found)
}

/// `verdict = "critical/reset_gpu"`.
fn verdict(table: &Table<'_>) -> Result<Option<(Severity, Action)>, RuleError> {
    let Some(placed) = table.text("verdict")? else { return Ok(None) };
    let parsed =
        placed.text.split_once('/').and_then(|(level, action)| Some((level.parse().ok()?, action.parse().ok()?)));
    let fault = || Fault::new("expected a severity and an action").help("for example `critical/reset_gpu`");
    parsed.map(Some).ok_or_else(|| table.error(placed.span, fault()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_entity_has_a_default_of_its_own_kind() {
        for (kind, _) in EntityKind::WORDS {
            assert_eq!(default_entity(*kind).kind(), *kind);
        }
    }
}
