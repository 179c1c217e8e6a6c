//! An event as the object that `gpudeck decode --format json` prints: what scripts rely on. `docs/decoding.md` lists it.

use model::{Event, Field, Provenance};
use serde_json::{Map, Value};

/// One object: `line`, `kind`, the fields as the line says them, then what we add: `injected` (`null`: a plain text that
/// does not tell), `entity`, `at`, `mono_ns`, and our judgement `level`, `action`, `title`.
pub fn json(event: &Event) -> Value {
    let mut object = Map::new();
    if let Some(line) = event.record.as_ref().and_then(|record| record.line) {
        object.insert("line".to_owned(), line.into());
    }
    object.insert("kind".to_owned(), event.kind.as_ref().into());
    for (name, field) in &event.fields {
        object.insert(name.to_string(), value(field));
    }
    let injected = match event.record.as_ref().map(model::KernelRecord::provenance) {
        Some(Provenance::Kernel) => Value::Bool(false),
        Some(Provenance::Injected) => Value::Bool(true),
        Some(Provenance::Untold) | None => Value::Null,
    };
    object.insert("injected".to_owned(), injected);
    object.insert("entity".to_owned(), event.entity.as_ref().map(ToString::to_string).into());
    object.insert("at".to_owned(), event.at.rfc3339().into());
    if let Some(mono) = event.at.mono_ns {
        object.insert("mono_ns".to_owned(), mono.into());
    }
    if let Some(verdict) = &event.verdict {
        object.insert("level".to_owned(), verdict.level.word().into());
        object.insert("action".to_owned(), verdict.action.word().into());
        object.insert("title".to_owned(), verdict.title.clone().into());
    }
    Value::Object(object)
}

fn value(field: &Field) -> Value {
    match field {
        Field::Flag(flag) => (*flag).into(),
        Field::Int(int) => (*int).into(),
        Field::Number(number) => (*number).into(),
        Field::Text(text) => text.raw().into(),
        Field::List(list) => list.iter().map(value).collect(),
        Field::Null(()) => Value::Null,
    }
}
