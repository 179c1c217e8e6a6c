//! An OpenMetrics exposition (prometheus.io/docs/specs/om) of every sample with its time, for backfilling a database:
//! `promtool tsdb create-blocks-from openmetrics`.
//!
//! The specification wants a family's lines together, and within it those of each series, by rising time; a recording has
//! them by time alone. So the recording is read once and its points are set aside on disk, compressed ([`spill`]), and
//! written out family by family. What an exposition cannot say is left out and counted in `gpudeck_export_left_out`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Write};

use model::catalogue::{Kind, Metric, Unit};
use model::text::clean;
use model::{Reading, SeriesKey, Stamp, Untrusted, Value};

use super::row::{PerSeries, told};
use super::{Exported, walk};
use crate::open::Recording;

mod spill;
use spill::{Point, Spill};

/// The family of metrics that the catalogue does not know; those with text are apart.
const OTHER: (&str, &str) = ("gpudeck_other", "gpudeck_other_text");

/// The family that counts what is left out.
const LEFT_OUT: &str = "gpudeck_export_left_out";

/// More states than this of one series are not states; every point has a line for each.
const MOST_STATES: usize = 64;

/// No label is longer, in graphemes.
const MOST_GRAPHEMES: usize = 1_000;

/// Writes a whole recording. `spill` is an empty file that nobody else uses; it takes a few bytes for each sample.
///
/// # Errors
/// The output or the spill takes nothing.
pub fn openmetrics(recording: &Recording, spill: File, mut out: impl Write) -> io::Result<Exported> {
    let node = recording.header().host.get("hostname").map(|name| label("node", name.raw()));
    let mut families = Families::new(node, Spill::new(spill)?);
    let mut places = PerSeries::default();
    let mut exported = Exported::default();
    exported.damage = walk(recording, |frame, dictionary| {
        for (id, reading) in &frame.samples {
            let Some(key) = dictionary.key(*id) else { continue };
            let place = *places.of(*id, || families.place(key));
            match families.take(place, frame.at, reading) {
                Ok(point) => {
                    families.spill.push(place, point)?;
                    exported.samples += 1;
                }
                Err(why) => {
                    *families.left_out.entry((key.metric.as_str().to_owned(), why)).or_default() += 1;
                    exported.left_out += 1;
                }
            }
        }
        // An exposition has no place for events.
        exported.left_out += frame.events.len() as u64;
        Ok(())
    })?;
    families.write(&mut out)?;
    out.flush()?;
    Ok(exported)
}

/// What the specification calls a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Gauge,
    Counter,
    StateSet,
    Info,
    Unknown,
}

impl Type {
    /// Of a metric with such a value.
    fn of(metric: Option<&Metric>, value: &Value) -> Self {
        match (value, metric.map(|metric| metric.kind)) {
            (Value::Text(_), Some(Kind::State)) => Self::StateSet,
            (Value::Text(_), _) => Self::Info,
            (_, Some(Kind::Counter { .. })) => Self::Counter,
            (_, Some(_)) => Self::Gauge,
            (_, None) => Self::Unknown,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::StateSet => "stateset",
            Self::Info => "info",
            Self::Unknown => "unknown",
        }
    }

    /// What a sample's name has behind its family's.
    fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Info => "_info",
            _ => "",
        }
    }
}

/// A series: the labels of its lines, its last point's time, the texts it had.
#[derive(Debug)]
struct Series {
    metric: Option<&'static Metric>,
    labels: String,
    /// Its family's type, decided by the first value of any of the family's series.
    family: Option<(&'static str, Type)>,
    last_ms: i64,
    states: Vec<Untrusted>,
}

struct Families {
    node: Option<String>,
    spill: Spill,
    places: HashMap<SeriesKey, usize>,
    series: Vec<Series>,
    types: BTreeMap<&'static str, Type>,
    left_out: BTreeMap<(String, &'static str), u64>,
    last_ms: i64,
}

impl Families {
    fn new(node: Option<String>, spill: Spill) -> Self {
        let (places, series) = (HashMap::new(), Vec::new());
        Self { node, spill, places, series, types: BTreeMap::new(), left_out: BTreeMap::new(), last_ms: 0 }
    }

    /// The place of a series, made if it is met for the first time.
    fn place(&mut self, key: &SeriesKey) -> usize {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        let metric = key.metric.metric();
        let mut labels: Vec<String> = self.node.iter().cloned().collect();
        labels.push(label("entity", &key.entity.to_string()));
        if metric.is_none_or(|metric| metric.name != key.metric.as_str()) {
            labels.push(label("name", key.metric.as_str()));
        }
        let (labels, states) = (labels.join(","), Vec::new());
        self.series.push(Series { metric, labels, family: None, last_ms: i64::MIN, states });
        let place = self.series.len() - 1;
        self.places.insert(key.clone(), place);
        place
    }

    /// The point that a reading comes to, or why it is left out.
    fn take(&mut self, place: usize, at: Stamp, reading: &Reading) -> Result<Point, &'static str> {
        let series = self.series.get_mut(place).ok_or("unknown series")?;
        let told = told(reading);
        let value = told.value.ok_or(told.quality)?;
        let real = at.real_ns.ok_or("no wall clock")?;
        // A stale value is of the time when it was read.
        let age = i64::try_from(told.age_ns.unwrap_or(0)).unwrap_or(i64::MAX);
        let at_ms = real.saturating_sub(age).div_euclid(1_000_000);
        if at_ms < 0 {
            return Err("before 1970");
        }
        let found = Type::of(series.metric, value);
        let name = match (series.metric, found) {
            (Some(metric), _) => metric.openmetrics,
            (None, Type::Info) => OTHER.1,
            (None, _) => OTHER.0,
        };
        let (_, family) = *series.family.get_or_insert_with(|| (name, *self.types.entry(name).or_insert(found)));
        if family != found {
            return Err("another sort of value");
        }
        if at_ms <= series.last_ms {
            return Err(if told.quality == "stale" { "stale" } else { "not after the one before" });
        }
        let point = match value {
            Value::Count(count) => Point::count(at_ms, *count),
            Value::Number(number) if family == Type::Counter && !(number.is_finite() && *number >= 0.0) => {
                return Err("not a counter's value");
            }
            Value::Number(number) => Point::number(at_ms, *number),
            Value::Flag(flag) => Point::count(at_ms, u64::from(*flag)),
            Value::Text(text) => {
                let known = series.states.iter().position(|state| state == text);
                let state = match known {
                    Some(state) => state,
                    None if series.states.len() < MOST_STATES => {
                        series.states.push(text.clone());
                        series.states.len() - 1
                    }
                    None => return Err("too many states"),
                };
                Point::state(at_ms, state)
            }
        };
        series.last_ms = at_ms;
        self.last_ms = self.last_ms.max(at_ms);
        Ok(point)
    }

    /// All of it, family by family.
    fn write(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.spill.settle()?;
        let mut order: Vec<(&str, Type, usize)> = Vec::with_capacity(self.series.len());
        for (place, series) in self.series.iter().enumerate() {
            order.extend(series.family.map(|(name, family)| (name, family, place)));
        }
        order.sort_by_key(|(name, _, place)| (*name, self.series.get(*place).map(|series| series.labels.as_str())));
        let mut current = "";
        for (name, family, place) in order {
            let Some(series) = self.series.get(place) else { continue };
            if name != current {
                head(out, name, family, series.metric)?;
                current = name;
            }
            self.spill.points(place, |point| series.line(out, name, family, point))?;
        }
        if !self.left_out.is_empty() {
            writeln!(out, "# TYPE {LEFT_OUT} gauge\n# HELP {LEFT_OUT} Samples of the recording that are not in this.")?;
            for ((metric, why), count) in &self.left_out {
                let at = seconds(self.last_ms);
                writeln!(out, "{LEFT_OUT}{{{},{}}} {count} {at}", label("metric", metric), label("why", why))?;
            }
        }
        writeln!(out, "# EOF")
    }
}

impl Series {
    fn line(&self, out: &mut impl Write, name: &str, family: Type, point: Point) -> io::Result<()> {
        let (labels, suffix, at) = (&self.labels, family.suffix(), seconds(point.at_ms));
        match (family, point.value) {
            (Type::StateSet, spill::PointValue::State(now)) => {
                // The one that holds stands first: some readers keep but one line of a series and an instant.
                let (holds, others): (Vec<_>, Vec<_>) = self.states.iter().enumerate().partition(|(at, _)| *at == now);
                for (place, state) in holds.into_iter().chain(others) {
                    let (state, is) = (label(name, state.raw()), u8::from(place == now));
                    writeln!(out, "{name}{{{labels},{state}}} {is} {at}")?;
                }
                Ok(())
            }
            (_, spill::PointValue::State(now)) => {
                let text = self.states.get(now).map(Untrusted::raw).unwrap_or_default();
                writeln!(out, "{name}{suffix}{{{labels},{}}} 1 {at}", label("value", text))
            }
            (_, spill::PointValue::Count(count)) => writeln!(out, "{name}{suffix}{{{labels}}} {count} {at}"),
            (_, spill::PointValue::Number(value)) => {
                writeln!(out, "{name}{suffix}{{{labels}}} {} {at}", number(value))
            }
        }
    }
}

/// What comes before a family's lines.
fn head(out: &mut impl Write, name: &str, family: Type, metric: Option<&Metric>) -> io::Result<()> {
    writeln!(out, "# TYPE {name} {}", family.word())?;
    let unit = metric.map_or("", |metric| unit(metric.unit));
    let with_unit = !matches!(family, Type::StateSet | Type::Info) && !unit.is_empty();
    if with_unit && name.strip_suffix(unit).is_some_and(|stem| stem.ends_with('_')) {
        writeln!(out, "# UNIT {name} {unit}")?;
    }
    let meaning = metric.map_or("A metric that this gpudeck does not know", |metric| metric.meaning);
    writeln!(out, "# HELP {name} {}", escaped(meaning))
}

/// The word for a unit at the end of a family's name.
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::None => "",
        Unit::Percent => "percent",
        Unit::Bytes => "bytes",
        Unit::BytesPerSecond => "bytes_per_second",
        Unit::Watts => "watts",
        Unit::Joules => "joules",
        Unit::Millijoules => "millijoules",
        Unit::Celsius => "celsius",
        Unit::Megahertz => "megahertz",
        Unit::Nanoseconds => "nanoseconds",
        Unit::Microseconds => "microseconds",
        Unit::Milliseconds => "milliseconds",
        Unit::Seconds => "seconds",
        Unit::GigabitsPerSecond => "gigabits_per_second",
        Unit::GigatransfersPerSecond => "gigatransfers_per_second",
        Unit::Lanes => "lanes",
    }
}

/// Seconds since 1970 with milliseconds, which is what databases keep.
fn seconds(at_ms: i64) -> String {
    format!("{}.{:03}", at_ms / 1_000, at_ms % 1_000)
}

fn number(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        number.to_string()
    }
}

/// A label; text from outside has its control and reordering characters made visible.
fn label(name: &str, value: &str) -> String {
    format!("{name}=\"{}\"", escaped(&clean(value, MOST_GRAPHEMES)))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_to_their_line() {
        assert_eq!(label("entity", "mount:/a\"b\\c\nd"), "entity=\"mount:/a\\\"b\\\\c␊d\"");
    }

    #[test]
    fn numbers_are_as_the_specification_has_them() {
        assert_eq!((number(0.5), number(f64::INFINITY), number(f64::NAN)), ("0.5".into(), "+Inf".into(), "NaN".into()));
        assert_eq!(seconds(1_795_451_640_023), "1795451640.023");
    }
}
