//! Several field values of one GPU in one driver call, by a table.

use model::{Metric, Value};
use nvml_raw::{Device, Field, FieldValue};
use nvml_wrapper::error::NvmlError;

use super::answer::Meaning;
use super::tick::{Tick, whole};

/// What makes a field's value the metric's.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    /// The number as it is.
    As,
    /// So many units each.
    Times(u64),
    /// Thousandths of the unit.
    Milli,
    /// Anything but 0 is yes.
    Flag,
}

impl Scale {
    pub(super) fn value(self, metric: &'static Metric, value: FieldValue) -> Option<Value> {
        Some(match self {
            Self::As => whole(metric, value.as_u64()?),
            Self::Times(units) => whole(metric, value.as_u64()?.checked_mul(units)?),
            Self::Milli => Value::Number(value.as_f64() / 1_000.0),
            Self::Flag => Value::Flag(value.as_u64()? != 0),
        })
    }
}

/// The call to make where the driver does not have the field.
#[derive(Clone, Copy)]
pub(super) struct Other {
    pub(super) name: &'static str,
    pub(super) call: fn(&Device) -> Result<u64, NvmlError>,
}

/// A field and where its value goes.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) metric: &'static Metric,
    pub(super) field: Field,
    pub(super) scale: Scale,
    pub(super) other: Option<Other>,
}

/// Reads the fields of a table, and by their other call those that the driver does not have.
pub(super) fn read(tick: &mut Tick, device: &Device, entries: &[Entry]) {
    let fields: Vec<Field> = entries.iter().map(|entry| entry.field).collect();
    let replies = tick.fields(device, &fields);
    for (entry, reply) in entries.iter().zip(replies) {
        let answer = match (reply, entry.other) {
            (Err(Meaning::Absent), Some(other)) => match tick.attempt(other.name, || (other.call)(device)) {
                Some(answer) => answer.map(FieldValue::Unsigned),
                None => return,
            },
            (reply, _) => reply.map(|reply| reply.value),
        };
        let entity = tick.gpu().clone();
        // A negative count is an answer that cannot be one.
        let answer = answer.and_then(|value| entry.scale.value(entry.metric, value).ok_or(Meaning::Failed));
        tick.take(&entity, entry.metric, answer);
    }
}
