//! Real sequences of kernel lines: the labelled root must come out first, with its symptoms under it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use model::{Incident, PciAddress};
use serde_json::Value;

fn labelled() -> Vec<Value> {
    let text = include_str!("data/incidents.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn log(case: &Value) -> String {
    let lines: Vec<&str> = case["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    lines.join("\n")
}

fn pci(label: &Value) -> Option<PciAddress> {
    label["pci"].as_str().map(|pci| pci.parse().unwrap())
}

fn fits(label: &Value, kind: &str, code: Option<i64>, at: Option<PciAddress>) -> bool {
    let device = match (pci(label), at) {
        (Some(wanted), Some(found)) => wanted.same_device(found),
        (Some(_), None) => false,
        (None, _) => true,
    };
    label["kind"] == kind && label["code"].as_i64().is_none_or(|wanted| code == Some(wanted)) && device
}

fn shown(incidents: &[Incident]) -> String {
    let one = |incident: &Incident| {
        let symptoms: Vec<&str> = incident.symptoms.iter().map(|symptom| symptom.rule.as_str()).collect();
        format!("{} on {} ({:?}), symptoms {symptoms:?}", incident.root.rule, incident.root.entity, incident.severity)
    };
    incidents.iter().map(one).collect::<Vec<_>>().join("\n    ")
}

#[test]
fn the_labelled_root_comes_first_with_its_class_and_action() {
    for case in labelled() {
        let incidents = common::judged(&log(&case)).incidents();
        let (name, label) = (&case["id"], &case["root_cause"]);
        let first = incidents.first().unwrap_or_else(|| panic!("{name}: no incident"));
        let root = &first.root;
        assert!(fits(label, &root.kind, root.code, root.pci), "{name}: {label}\n    {}", shown(&incidents));
        if let Some(event) = label["event"].as_str() {
            assert_eq!(root.event.as_deref(), Some(event), "{name}");
        }
        assert_eq!(first.class.word(), case["fault_class"].as_str().unwrap(), "{name}");
        let action = case["action"].as_str().unwrap();
        if let Some(wanted) = action.split(' ').next().filter(|word| word.contains('_')) {
            assert_eq!(first.advice[0].action.word(), wanted, "{name}");
        }
    }
}

#[test]
fn the_labelled_symptoms_are_folded_under_the_root() {
    for case in labelled() {
        let incidents = common::judged(&log(&case)).incidents();
        for label in case["symptoms"].as_array().unwrap() {
            let found =
                incidents[0].symptoms.iter().any(|symptom| fits(label, &symptom.kind, symptom.code, symptom.pci));
            assert!(found, "{}: {label}\n    {}", case["id"], shown(&incidents));
        }
    }
}

#[test]
fn what_lies_apart_is_not_attached() {
    // An AER pair at another port, 34 minutes after a GPU fell off the bus.
    let case = labelled().into_iter().find(|case| case["id"] == "i02").unwrap();
    let incidents = common::judged(&log(&case)).incidents();
    assert!(incidents[0].symptoms.iter().all(|symptom| symptom.kind != "aer"), "{}", shown(&incidents));
    // A switch's harmless notice beside a GPU that could not be initialised.
    let case = labelled().into_iter().find(|case| case["id"] == "i17").unwrap();
    let incidents = common::judged(&log(&case)).incidents();
    assert!(incidents[0].symptoms.is_empty(), "{}", shown(&incidents));
}
