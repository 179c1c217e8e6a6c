//! What a probe learnt about one series at one instant: a value, or why there is none.
//!
//! "0" and "no answer" never look alike: a [`Reading`] either holds a value or says with its [`Quality`] why it does
//! not. On the wire a good reading is the bare value; everything else is a map with the reason.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::Untrusted;

/// A value in the unit that the catalogue gives for its metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A counter's total or a whole number.
    Count(u64),
    /// A gauge.
    Number(f64),
    /// A yes or no state.
    Flag(bool),
    /// A named state, or information such as a product name.
    Text(Untrusted),
}

impl Value {
    /// The value as a number for comparing and plotting; `None` for text.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            // Above 2^53 neighbours merge, which no plot or threshold can see; counters are subtracted as integers.
            Self::Count(count) => Some(count_as_f64(*count)),
            Self::Number(number) => Some(*number),
            Self::Flag(flag) => Some(f64::from(u8::from(*flag))),
            Self::Text(_) => None,
        }
    }

    /// The counter total, if it is one.
    pub fn as_count(&self) -> Option<u64> {
        match self {
            Self::Count(count) => Some(*count),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&Untrusted> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A whole number as `f64`, rounded to the nearest above 2^53.
#[allow(clippy::cast_precision_loss)]
pub fn count_as_f64(count: u64) -> f64 {
    count as f64
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<u32> for Value {
    fn from(count: u32) -> Self {
        Self::Count(u64::from(count))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{}", if *flag { "yes" } else { "no" }),
            Self::Text(text) => f.write_str(&text.display(200)),
        }
    }
}

/// Why a reading can or cannot be relied on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Read just now.
    Good,
    /// An older value; its age in nanoseconds at the Frame's instant.
    Stale(u64),
    /// This device or driver does not have it.
    Unsupported,
    /// It exists, and we may not read it.
    Denied,
    /// The call that reads it has not come back.
    Stuck {
        /// Monotonic nanoseconds at which the call began.
        since: u64,
        /// The call, e.g. `nvmlDeviceGetTemperature` or `statfs`.
        call: String,
    },
    /// The entity is gone: GPU lost, device removed, daemon dead.
    Lost,
}

/// A value with its quality. Only [`Quality::Good`] and [`Quality::Stale`] come with a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Read just now.
    Good(Value),
    /// An older value, with its age in nanoseconds.
    Stale(Value, u64),
    /// This device or driver does not have it.
    Unsupported,
    /// It exists, and we may not read it.
    Denied,
    /// The call that reads it has not come back: since when (monotonic nanoseconds), and which.
    Stuck(u64, String),
    /// The entity is gone.
    Lost,
}

impl Reading {
    /// The value, if there is one that was read just now.
    pub fn good(&self) -> Option<&Value> {
        match self {
            Self::Good(value) => Some(value),
            _ => None,
        }
    }

    /// The value, fresh or stale.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Good(value) | Self::Stale(value, _) => Some(value),
            _ => None,
        }
    }

    /// The quality alone.
    pub fn quality(&self) -> Quality {
        match self {
            Self::Good(_) => Quality::Good,
            Self::Stale(_, age) => Quality::Stale(*age),
            Self::Unsupported => Quality::Unsupported,
            Self::Denied => Quality::Denied,
            Self::Stuck(since, call) => Quality::Stuck { since: *since, call: call.clone() },
            Self::Lost => Quality::Lost,
        }
    }

    /// The glyph that stands for a missing value in every table, plot and export: `–` unsupported, `⊘` denied, `?`
    /// stuck, `×` lost, `~` stale; `None` when good.
    pub fn glyph(&self) -> Option<char> {
        match self {
            Self::Good(_) => None,
            Self::Stale(..) => Some('~'),
            Self::Unsupported => Some('–'),
            Self::Denied => Some('⊘'),
            Self::Stuck(..) => Some('?'),
            Self::Lost => Some('×'),
        }
    }
}

impl<V: Into<Value>> From<V> for Reading {
    fn from(value: V) -> Self {
        Self::Good(value.into())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u64(*count),
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Text(text) => serializer.serialize_str(text.raw()),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(ReadingVisitor)? {
            Reading::Good(value) => Ok(value),
            _ => Err(de::Error::custom("expected a bare value")),
        }
    }
}

impl Serialize for Reading {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = match self {
            Self::Good(value) => return value.serialize(serializer),
            Self::Stale(..) | Self::Stuck(..) => serializer.serialize_map(Some(2))?,
            Self::Unsupported | Self::Denied | Self::Lost => serializer.serialize_map(Some(1))?,
        };
        match self {
            Self::Good(_) => {}
            Self::Stale(value, age) => {
                map.serialize_entry("quality", "stale")?;
                map.serialize_entry("stale", &(value, age))?;
            }
            Self::Stuck(since, call) => {
                map.serialize_entry("quality", "stuck")?;
                map.serialize_entry("stuck", &(since, call))?;
            }
            Self::Unsupported => map.serialize_entry("quality", "unsupported")?,
            Self::Denied => map.serialize_entry("quality", "denied")?,
            Self::Lost => map.serialize_entry("quality", "lost")?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Reading {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadingVisitor)
    }
}

struct ReadingVisitor;

impl<'de> Visitor<'de> for ReadingVisitor {
    type Value = Reading;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a boolean, a text, or a map that says why there is no value")
    }

    fn visit_u64<E>(self, count: u64) -> Result<Reading, E> {
        Ok(Value::Count(count).into())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Reading, E> {
        u64::try_from(number).map(|count| Value::Count(count).into()).map_err(|_| E::custom("negative whole number"))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Reading, E> {
        Ok(Value::Number(number).into())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Reading, E> {
        Ok(Value::Flag(flag).into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Reading, E> {
        Ok(Value::Text(text.into()).into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reading, A::Error> {
        let (mut quality, mut stale, mut stuck) = (None::<String>, None::<(Value, u64)>, None::<(u64, String)>);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "quality" => quality = Some(map.next_value()?),
                "stale" => stale = Some(map.next_value()?),
                "stuck" => stuck = Some(map.next_value()?),
                _ => {
                    map.next_value::<de::IgnoredAny>()?;
                }
            }
        }
        match (quality.as_deref(), stale, stuck) {
            (Some("stale"), Some((value, age)), _) => Ok(Reading::Stale(value, age)),
            (Some("stuck"), _, Some((since, call))) => Ok(Reading::Stuck(since, call)),
            (Some("unsupported"), ..) => Ok(Reading::Unsupported),
            (Some("denied"), ..) => Ok(Reading::Denied),
            (Some("lost"), ..) => Ok(Reading::Lost),
            (other, ..) => Err(de::Error::custom(format!("unknown quality {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn readings() -> impl Strategy<Value = Reading> {
        let values = prop_oneof![
            any::<u64>().prop_map(Value::Count),
            (-1e12..1e12f64).prop_map(Value::Number),
            any::<bool>().prop_map(Value::Flag),
            any::<String>().prop_map(|text| Value::Text(text.into())),
        ];
        (values, any::<u64>(), any::<String>(), 0..6u8).prop_map(|(value, n, call, which)| match which {
            0 => Reading::Good(value),
            1 => Reading::Stale(value, n),
            2 => Reading::Unsupported,
            3 => Reading::Denied,
            4 => Reading::Stuck(n, call),
            _ => Reading::Lost,
        })
    }

    proptest! {
        #[test]
        fn every_reading_survives_the_wire(reading in readings()) {
            let bytes = rmp_serde::to_vec_named(&reading).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<Reading>(&bytes).unwrap(), reading);
        }
    }

    #[test]
    fn zero_and_no_answer_never_look_alike() {
        let zero = rmp_serde::to_vec_named(&Reading::from(0u64)).unwrap();
        let lost = rmp_serde::to_vec_named(&Reading::Lost).unwrap();
        assert_ne!(zero, lost);
        assert_eq!(Reading::Lost.value(), None);
    }
}
