//! How far the decoder agrees with a second opinion on real kernel lines (`tests/data/README.md`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_precision_loss)]

use serde_json::Value;

struct Line {
    id: String,
    kind: String,
    expected: serde_json::Map<String, Value>,
    line: String,
}

fn lines() -> Vec<Line> {
    let text = include_str!("data/kernel-lines.jsonl");
    text.lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            let word = |name: &str| row[name].as_str().unwrap().to_owned();
            Line {
                id: word("id"),
                kind: word("kind"),
                expected: row["expected"].as_object().unwrap().clone(),
                line: word("line"),
            }
        })
        .collect()
}

fn decoded(line: &str) -> Option<Value> {
    let event = decode::parse_line(line.as_bytes(), 1)?;
    let event = decode::Decoder::new().event(&event);
    (event.kind != model::event::KERNEL_LINE).then(|| decode::json(&event))
}

/// What differs: the kind, or a field that the second opinion has and we have not, or not so.
fn difference(line: &Line, object: &Value) -> Option<String> {
    if object["kind"] != line.kind.as_str() {
        return Some(format!("kind {} instead of {}", object["kind"], line.kind));
    }
    let field = line.expected.iter().find(|(name, value)| object.get(name) != Some(value))?;
    Some(format!("field {} is {:?} instead of {}", field.0, object.get(field.0), field.1))
}

#[test]
fn we_agree_on_at_least_98_of_100_lines_and_say_nothing_of_the_meaningless() {
    let lines = lines();
    let (mut agreed, mut negatives) = (0usize, 0usize);
    for line in &lines {
        let object = decoded(&line.line);
        if line.kind == "negative" {
            assert!(object.is_none(), "{}: {} gives {object:?}", line.id, line.line);
            negatives += 1;
            agreed += 1;
            continue;
        }
        match object.as_ref().map_or_else(|| Some("nothing decoded".to_owned()), |object| difference(line, object)) {
            None => agreed += 1,
            Some(difference) => println!("{}: {difference}: {}", line.id, line.line),
        }
    }
    println!("{agreed} of {} agree, {negatives} negatives", lines.len());
    assert!(negatives >= 15 && lines.len() >= 390);
    assert!(agreed as f64 >= 0.98 * lines.len() as f64, "only {agreed} of {}", lines.len());
}

#[test]
fn every_line_carries_a_judgement_and_says_who_wrote_it() {
    for line in lines().iter().filter(|line| line.kind != "negative") {
        let Some(object) = decoded(&line.line) else { continue };
        for name in ["level", "action", "title", "line", "entity"] {
            assert!(!object[name].is_null(), "{}: {name} of {object}", line.id);
        }
        assert!(object.get("injected").is_some());
    }
}
