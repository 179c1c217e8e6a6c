//! Rule files (TOML) into a [`Rulebook`]: every key known, every name resolved, every complaint with its place.
//!
//! A file holds `[[rule]]` tables; `docs/rules-howto.md` says what each key means.

mod cases;
mod resolve;
mod table;

use model::{Action, Class, Confidence, EntityKind, Severity};
use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Fault, RuleError, SourceFile};
use crate::lang::check::{Context, check};
use crate::lang::expr::MetricTable;
use crate::lang::{Checked, Span};
use crate::rule::{Clear, Relation, Rule, RuleAdvice, Rulebook};
use crate::vocabulary::{self, EVENTS, EventKind};
use resolve::{resolve, twice};
use table::{Placed, Table};

/// The most rules that a rulebook holds.
const MOST_RULES: usize = 10_000;
/// The longest file that is read, in bytes.
const MOST_FILE_BYTES: usize = 4 << 20;

/// Faults of TOML's syntax that are told of one file: one open quote makes many.
const MOST_FAULTS: usize = 8;

const MINUTE: u64 = 60 * model::time::NS_PER_S;

/// As a key: the entity that the event itself names, where the rule's is another.
pub(crate) const SUBJECT: &str = "subject";

const RULE_KEYS: &[&str] = &[
    "id",
    "title",
    "meaning",
    "severity",
    "class",
    "entity",
    "on",
    "when",
    "for",
    "window",
    "count",
    "fold",
    "key",
    "clear",
    "clear_on",
    "clear_for",
    "over_after",
    "fallback",
    "confidence",
    "names_cause",
    "explains",
    "refuted_by",
    "advice",
    "references",
    "test",
];

/// What is resolved once every rule is known.
struct Names {
    edges: Vec<(Placement, String, u64, Relation)>,
    with: Vec<(usize, Placement, String, bool)>,
}

#[derive(Clone)]
struct Placement {
    file: usize,
    span: Span,
}

impl Rulebook {
    /// Reads a rulebook from its files, each by name and text.
    ///
    /// # Errors
    /// Everything that is wrong in them, in the order of the files: syntax, unknown keys, metrics, fields and words
    /// (with the nearest known one), wrong types and entity kinds, ids that stand twice, edges to nowhere or in a circle.
    pub fn parse(files: &[(impl AsRef<str>, impl AsRef<str>)]) -> Result<Self, Vec<RuleError>> {
        let mut sources: Vec<SourceFile> = files
            .iter()
            .map(|(name, text)| SourceFile { name: name.as_ref().to_owned(), text: text.as_ref().into() })
            .collect();
        sources.sort_by(|one, other| one.name.cmp(&other.name));
        let mut book = Self { rules: Vec::new(), metrics: MetricTable::default(), hash: hash(&sources) };
        let mut names = Vec::new();
        let mut errors = Vec::new();
        for (file, source) in sources.iter().enumerate() {
            read_file(file, source, &mut book, &mut names, &mut errors);
        }
        twice(&book, &sources, &names, &mut errors);
        resolve(&mut book, &sources, names, &mut errors);
        if errors.is_empty() { Ok(book) } else { Err(errors) }
    }
}

fn hash(sources: &[SourceFile]) -> String {
    let mut hasher = Sha256::new();
    for source in sources {
        hasher.update(source.name.as_bytes());
        hasher.update([0]);
        hasher.update(source.text.as_bytes());
        hasher.update([0]);
    }
    hex(&hasher.finalize(), 32)
}

/// The first `most` bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8], most: usize) -> String {
    bytes.iter().take(most).map(|byte| format!("{byte:02x}")).collect()
}

fn read_file(
    file: usize,
    source: &SourceFile,
    book: &mut Rulebook,
    names: &mut Vec<(Placement, Names)>,
    errors: &mut Vec<RuleError>,
) {
    if source.text.len() > MOST_FILE_BYTES {
        errors.push(RuleError::at(
            source,
            0..0,
            Fault::new(format!("the file is longer than {MOST_FILE_BYTES} bytes")),
        ));
        return;
    }
    let (document, mut faults) = DeTable::parse_recoverable(&source.text);
    faults.sort_by_key(|fault| fault.span().map(|span| span.start));
    if !faults.is_empty() {
        errors.extend(faults.iter().take(MOST_FAULTS).map(|fault| {
            let message = fault.message().trim().replace('\n', "; ");
            RuleError::at(source, fault.span().unwrap_or(0..0), Fault::new(message))
        }));
        return;
    }
    for (key, value) in document.get_ref().iter() {
        if key.get_ref() != "rule" {
            errors.push(RuleError::at(source, key.span(), Fault::unknown("key", key.get_ref(), ["rule"].into_iter())));
            continue;
        }
        let DeValue::Array(rules) = value.get_ref() else {
            errors.push(table::wrong(source, value.span(), "tables headed `[[rule]]`", value.get_ref()));
            continue;
        };
        for value in rules.iter() {
            if book.rules.len() >= MOST_RULES {
                errors.push(RuleError::at(source, value.span(), Fault::new(format!("more than {MOST_RULES} rules"))));
                return;
            }
            let mut unresolved = Names { edges: Vec::new(), with: Vec::new() };
            match read_rule(file, source, value, &mut book.metrics, &mut unresolved, errors) {
                Ok(rule) => {
                    book.rules.push(rule);
                    names.push((Placement { file, span: value.span() }, unresolved));
                }
                Err(error) => errors.push(error),
            }
        }
    }
}

fn read_rule(
    file: usize,
    source: &SourceFile,
    value: &Spanned<DeValue<'_>>,
    metrics: &mut MetricTable,
    names: &mut Names,
    errors: &mut Vec<RuleError>,
) -> Result<Rule, RuleError> {
    let table = Table::new(source, value, RULE_KEYS)?;
    errors.extend(table.strangers());
    let id = table.needed("id")?;
    if !id.text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)) {
        let fault =
            Fault::new(format!("`{}` is not an id", id.text)).help("use small letters, digits, `.`, `_` and `-`");
        return Err(table.error(id.span, fault));
    }
    let entity = entity_kind(&table, &table.needed("entity")?)?;
    let on = match table.text("on")? {
        Some(placed) => Some(event_kind(&table, &placed)?),
        None => None,
    };
    let window_ns = table.duration("window")?.unwrap_or(0);
    let context = Context { entity, event: on, window: window_ns > 0 };
    let when = condition(&table, "when", context, metrics)?;
    let when = match (when, on) {
        (Some(when), _) => when,
        // `on` alone: each such event.
        (None, Some(_)) => check("true", context, metrics).expect("a literal is a condition"),
        (None, None) => {
            return Err(table
                .needed("when")
                .map_or_else(|error| error, |placed| table.error(placed.span, Fault::new("empty"))));
        }
    };
    let count = table.whole("count")?.unwrap_or(1).max(1);
    let rule = Rule {
        id: id.text.to_owned(),
        title: table.needed("title")?.text.to_owned(),
        meaning: table.needed("meaning")?.text.split_whitespace().collect::<Vec<_>>().join(" "),
        severity: severity(&table, on.is_some())?,
        class: {
            let placed = table.needed("class")?;
            table.word(&placed, Class::ALL.iter().map(|class| class.word()).collect(), "class")?
        },
        entity,
        on,
        hold_ns: table.duration("for")?.unwrap_or(0),
        window_ns,
        count,
        fold_ns: table.duration("fold")?.unwrap_or(10 * MINUTE),
        key: event_field(&table, "key", on)?,
        clear: clear(&table, context, metrics)?,
        clear_ns: table.duration("clear_for")?.unwrap_or(0),
        over_after_ns: table.duration("over_after")?,
        fallback: table.flag("fallback")?,
        confidence: confidence(&table)?,
        names_cause: event_field(&table, "names_cause", on)?,
        explains: Vec::new(),
        refuted_by: table.owned("refuted_by")?,
        advice: advice(file, &table, context, metrics, names)?,
        references: table.texts("references")?.into_iter().map(|placed| placed.text.to_owned()).collect(),
        tests: cases::read(&table, entity, on)?,
        place: (
            source.name.clone(),
            source.text.get(..value.span().start).map_or(0, |before| before.matches('\n').count()) + 1,
        ),
        when,
    };
    edges(file, &table, names)?;
    contradictions(&table, &rule)?;
    Ok(rule)
}

/// Keys that do not go together: each would make a rule that never fires or never ends as written.
fn contradictions(table: &Table<'_>, rule: &Rule) -> Result<(), RuleError> {
    let at = |key: &str| table.get(key).map_or_else(|| table.span.clone(), Spanned::span);
    let refuse = |key: &str, why: &str, help: &str| Err(table.error(at(key), Fault::new(why).help(help)));
    if rule.on.is_some() && rule.hold_ns > 0 {
        return refuse("for", "an event has no duration, so `for` never holds", "use `count` and `window`");
    }
    if rule.on.is_none() && rule.count > 1 {
        return refuse("count", "`count` counts events", "say which with `on`, or use `for`");
    }
    if rule.count > 1 && rule.window_ns == 0 {
        return refuse("count", "`count` needs a window", "add `window = \"10m\"`");
    }
    if rule.over_after_ns.is_some() && rule.on.is_none() {
        return refuse(
            "over_after",
            "a state is over when it is seen to be, not after a time",
            "use `clear` and `clear_for`",
        );
    }
    if rule.over_after_ns.is_some() && rule.clear.is_some() {
        return refuse("over_after", "`over_after` and `clear` contradict each other", "keep one of them");
    }
    if rule.when.expr == crate::lang::expr::Expr::Bool(false) {
        return refuse("when", "this never holds", "write a condition");
    }
    if rule.severity.is_none() && rule.on.is_none() {
        return refuse("severity", "only events have a verdict", "write info, warning, critical or fatal");
    }
    Ok(())
}

fn entity_kind(table: &Table<'_>, placed: &Placed<'_>) -> Result<EntityKind, RuleError> {
    EntityKind::from_word(placed.text).ok_or_else(|| {
        let words = EntityKind::WORDS.iter().map(|(_, word)| *word);
        table.error(placed.span.clone(), Fault::unknown("entity kind", placed.text, words))
    })
}

fn event_kind(table: &Table<'_>, placed: &Placed<'_>) -> Result<&'static EventKind, RuleError> {
    vocabulary::event_kind(placed.text).ok_or_else(|| {
        let fault = Fault::unknown("kind of event", placed.text, EVENTS.iter().map(|kind| kind.name));
        table.error(placed.span.clone(), fault)
    })
}

fn event_field(table: &Table<'_>, key: &str, on: Option<&'static EventKind>) -> Result<Option<String>, RuleError> {
    let Some(placed) = table.text(key)? else { return Ok(None) };
    let fields = on.map_or(&[][..], |kind| kind.fields);
    if on.is_some_and(|kind| kind.field(placed.text).is_some() || placed.text == SUBJECT) {
        return Ok(Some(placed.text.to_owned()));
    }
    let fault = Fault::unknown("field of the event", placed.text, fields.iter().map(|(name, _)| *name));
    Err(table.error(placed.span, fault))
}

fn condition(
    table: &Table<'_>,
    key: &str,
    context: Context,
    metrics: &mut MetricTable,
) -> Result<Option<Checked>, RuleError> {
    let Some(placed) = table.text(key)? else { return Ok(None) };
    check(placed.text, context, metrics).map(Some).map_err(|error| {
        let start = placed.span.start + error.span.start;
        table.error(start..(placed.span.start + error.span.end).min(placed.span.end).max(start), error.fault)
    })
}

fn severity(table: &Table<'_>, events: bool) -> Result<Option<Severity>, RuleError> {
    let placed = table.needed("severity")?;
    if placed.text == "verdict" && events {
        return Ok(None);
    }
    let words = Severity::ALL.iter().map(|severity| severity.word()).chain(["verdict"]).collect();
    table.word(&placed, words, "severity").map(Some)
}

fn confidence(table: &Table<'_>) -> Result<Confidence, RuleError> {
    let Some(placed) = table.text("confidence")? else { return Ok(Confidence::Medium) };
    let all = [Confidence::Low, Confidence::Medium, Confidence::High];
    all.into_iter().find(|confidence| confidence.word() == placed.text).ok_or_else(|| {
        let words = all.into_iter().map(Confidence::word);
        table.error(placed.span, Fault::unknown("confidence", placed.text, words))
    })
}

fn clear(table: &Table<'_>, context: Context, metrics: &mut MetricTable) -> Result<Option<Clear>, RuleError> {
    let on = match table.text("clear_on")? {
        Some(placed) => Some(event_kind(table, &placed)?),
        None => None,
    };
    let context = Context { event: on.or(context.event), ..context };
    match condition(table, "clear", context, metrics)? {
        // Without `clear_on` a condition on fields speaks of the rule's own events.
        Some(expr) if expr.fields => Ok(Some(Clear { on: context.event, expr })),
        Some(expr) => Ok(Some(Clear { on, expr })),
        None => Ok(on.map(|kind| {
            let expr = check("true", context, metrics).expect("a literal is a condition");
            Clear { on: Some(kind), expr }
        })),
    }
}

fn advice(
    file: usize,
    table: &Table<'_>,
    context: Context,
    metrics: &mut MetricTable,
    names: &mut Names,
) -> Result<Vec<RuleAdvice>, RuleError> {
    let mut found = Vec::new();
    for (at, value) in table.list("advice")?.into_iter().enumerate() {
        let advice = Table::new(table.source, value, &["action", "why", "unless", "with", "without"])?;
        if let Some(stranger) = advice.strangers().into_iter().next() {
            return Err(stranger);
        }
        let placed = advice.needed("action")?;
        let action = if placed.text == "verdict" && context.event.is_some() {
            None
        } else {
            let words = Action::ALL.iter().map(|action| action.word()).chain(["verdict"]).collect();
            Some(advice.word(&placed, words, "action")?)
        };
        for (key, wanted) in [("with", true), ("without", false)] {
            for id in advice.texts(key)? {
                names.with.push((at, Placement { file, span: id.span }, id.text.to_owned(), wanted));
            }
        }
        let unless = condition(&advice, "unless", Context { event: None, window: false, ..context }, metrics)?;
        let why = advice.needed("why")?.text.to_owned();
        let written = |key| Ok(advice.texts(key)?.into_iter().map(|id| id.text.to_owned()).collect());
        let (with_written, without_written) = (written("with")?, written("without")?);
        let (with, without) = (Vec::new(), Vec::new());
        found.push(RuleAdvice { action, why, unless, with, without, with_written, without_written });
    }
    if found.is_empty() {
        let fault = Fault::new("`advice` is missing").help("add `advice = [{ action = \"monitor\", why = \"…\" }]`");
        return Err(table.error(table.span.start..table.span.start + 1, fault));
    }
    Ok(found)
}

fn edges(file: usize, table: &Table<'_>, names: &mut Names) -> Result<(), RuleError> {
    for value in table.list("explains")? {
        let edge = Table::new(table.source, value, &["rule", "within", "relation"])?;
        if let Some(stranger) = edge.strangers().into_iter().next() {
            return Err(stranger);
        }
        let within = edge.duration("within")?.unwrap_or(MINUTE);
        let relation = match edge.text("relation")? {
            None => Relation::Same,
            Some(placed) => Relation::WORDS
                .iter()
                .find(|(_, word)| *word == placed.text)
                .map(|(relation, _)| *relation)
                .ok_or_else(|| {
                    let words = Relation::WORDS.iter().map(|(_, word)| *word);
                    edge.error(placed.span, Fault::unknown("relation", placed.text, words))
                })?,
        };
        let Some(value) = edge.get("rule") else {
            return Err(edge
                .needed("rule")
                .err()
                .unwrap_or_else(|| edge.error(value.span(), Fault::new("`rule` is missing"))));
        };
        let rules = match value.get_ref() {
            DeValue::Array(_) => edge.texts("rule")?,
            _ => vec![edge.needed("rule")?],
        };
        for placed in rules {
            names.edges.push((Placement { file, span: placed.span }, placed.text.to_owned(), within, relation));
        }
    }
    Ok(())
}
