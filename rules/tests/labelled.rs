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

fn root_of(log: &str) -> (String, Vec<String>, usize) {
    let incidents = common::judged(log).incidents();
    let first = incidents.first().unwrap_or_else(|| panic!("no incident: {log}"));
    let symptoms = first.symptoms.iter().map(|symptom| symptom.rule.clone()).collect();
    (first.root.rule.clone(), symptoms, incidents.len())
}

#[track_caller]
fn explained(log: &str, root: &str, symptoms: &[&str]) {
    let (found, under, incidents) = root_of(log);
    assert_eq!((found.as_str(), incidents), (root, 1), "{under:?}");
    for symptom in symptoms {
        assert!(under.iter().any(|rule| rule == symptom), "{symptom} is not among {under:?}");
    }
}

#[test]
fn what_is_printed_first_is_not_what_came_first() {
    explained(
        "[10.0] NVRM: Xid (PCI:0000:4f:00): 119, pid=1, name=a, Timeout after 45s of waiting for RPC response from GPU4 GSP! Expected function 76 (GSP_RM_CONTROL) (0x20801702 0x4).\n\
         [10.2] NVRM: Xid (PCI:0000:4f:00): 120, pid=1, name=a, GSP task exception: load access fault",
        "xid.120",
        &["xid.119"],
    );
    explained(
        "[5.0] NVRM: Xid (PCI:0000:4f:00): 45, pid=7, Ch 00000008 caused by previous Xid 149\n\
         [5.1] NVRM: Xid (PCI:0000:4f:00): 149, NVLINK: NETIR_LINK_DOWN Fatal XC0 i0 Link 05 (0x00000004 0x00000001 0x00000000 0x00000000 0x00000000 0x00000000 0x00000000)",
        "xid.149",
        &["xid.45"],
    );
    explained(
        "[7.0] NVRM: Xid (PCI:0000:4f:00): 74, pid=1, NVLink: fatal error detected on link 14(0x0, 0x0, 0x10000, 0x0, 0x0, 0x0, 0x0)\n\
         [7.5] nvidia-nvswitch1: SXid (PCI:0000:06:00.0): 20034, Fatal, Link 48 LTSSM Fault Up",
        "sxid.fatal",
        &["xid.74"],
    );
}

#[test]
fn what_waits_is_explained_by_what_does_not_answer() {
    explained(
        "[842454.066823] INFO: task df:4846 blocked for more than 120 seconds.\n\
         [842454.089661]  request_wait_answer+0x12b/0x210 [fuse]",
        "host.fuse_stack",
        &["host.hung_task"],
    );
    explained(
        "[100.0] nfs: server 10.0.0.5 not responding, still trying\n\
         [220.0] INFO: task python:4846 blocked for more than 120 seconds.",
        "storage.nfs",
        &["host.hung_task"],
    );
}

#[test]
fn a_line_that_does_not_name_its_device_joins_the_one_that_does() {
    let log = "[29459.65] [drm:amdgpu_job_timedout [amdgpu]] *ERROR* ring comp_1.1.0 timeout, signaled seq=813605, emitted seq=813607\n\
               [29459.66] amdgpu 0000:87:00.0: amdgpu: GPU reset begin!\n\
               [29461.27] amdgpu 0000:87:00.0: amdgpu: GPU reset succeeded, trying to resume";
    explained(log, "amd.ring_timeout", &["amd.reset"]);
    let root = common::judged(log).incidents().remove(0).root;
    assert_eq!(root.pci, "0000:87:00.0".parse().ok());
    assert!(root.reason.contains("guess"), "{}", root.reason);
}

#[test]
fn a_port_that_died_takes_the_gpu_along() {
    explained(
        "[100.000] pcieport 0000:00:03.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer, (Requester ID)\n\
         [100.001] pcieport 0000:00:03.0:    [14] CmpltTO                (First)\n\
         [100.100] NVRM: Xid (PCI:0000:02:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.\n\
         [101.100] pcieport 0000:00:03.0: AER: device recovery failed",
        "pcie.aer.fatal",
        &["xid.79", "pcie.aer.recovery_failed"],
    );
}
