//! What goes wrong on the made-up node: incidents, and a plan that answers one.

use model::catalogue as metrics;
use model::finding::Proof;
use model::{
    Action, Advice, Class, Confidence, Entity, Evidence, Holder, Incident, Plan, Precondition, Reading, Root, Severity,
    Step, Symptom,
};

use super::{at, gpu, pci};

fn incident(id: &str, severity: Severity, started: u64, root: Root) -> Incident {
    Incident {
        id: id.into(),
        severity,
        started: at(started),
        ended: None,
        last: at(started + 20),
        root,
        symptoms: Vec::new(),
        evidence: Vec::new(),
        class: Class::Bus,
        advice: Vec::new(),
        refuted_by: None,
        hits: Vec::new(),
    }
}

fn root(rule: &str, kind: &str, entity: Entity, title: &str, confidence: Confidence, reason: &str) -> Root {
    Root {
        kind: kind.into(),
        code: None,
        pci: None,
        event: None,
        rule: rule.into(),
        entity,
        title: title.into(),
        confidence,
        reason: reason.into(),
    }
}

pub(super) fn fallen(place: usize, started: u64) -> Incident {
    let entity = gpu(place);
    let mut root = root(
        "gpu-off-the-bus",
        "xid",
        entity.clone(),
        "GPU has fallen off the bus",
        Confidence::High,
        "the driver says so itself (Xid 79), and the device no longer answers on the bus",
    );
    (root.code, root.pci) = (Some(79), Some(pci(place)));
    let line = "NVRM: Xid (PCI:0000:3a:00): 79, pid=41203, name=python, GPU has fallen off the bus.";
    let symptom = |kind: &str, title: &str, entity: Entity, after: u64, count| Symptom {
        kind: kind.into(),
        code: None,
        pci: None,
        rule: "gpu-lost".into(),
        entity,
        title: title.into(),
        severity: model::Severity::Critical,
        at: at(started + after),
        count,
    };
    Incident {
        symptoms: vec![
            symptom("metric", "The driver has lost the GPU", entity.clone(), 0, 1),
            symptom("metric", "NVLinks are down", entity.clone(), 1, 18),
            symptom("metric", "GPU process in uninterruptible sleep", Entity::Process(41_203, 7_003), 12, 3),
        ],
        evidence: vec![
            Evidence { at: at(started), entity: None, what: Proof::Text { text: line.into() } },
            Evidence {
                at: at(started),
                entity: None,
                what: Proof::Values { metric: metrics::GPU_UTIL.into(), values: vec![97.0.into(), 98.0.into(), Reading::Lost] },
            },
        ],
        advice: vec![
            Advice { action: Action::DrainReset, why: "keep new work off the node, let the jobs go, then reset the GPU; a device that stays away needs a cold power cycle".into() },
            Advice { action: Action::Reseat, why: "if it falls off again within a day: slot, riser and power cables".into() },
        ],
        refuted_by: Some("the GPU answers again without a reset, or the kernel line came from user space".into()),
        hits: vec![Entity::Process(41_200 + place as u32, 7_000 + place as u64), Entity::Job("4711".into())],
        ..incident("fallen", Severity::Fatal, started, root)
    }
}

pub(super) fn remap(place: usize) -> Incident {
    let root = root(
        "row-remap-pending",
        "metric",
        gpu(place),
        "A row remap waits for a GPU reset",
        Confidence::High,
        "the driver counts it",
    );
    Incident {
        class: Class::HardwareMemory,
        advice: vec![Advice {
            action: Action::ResetGpu,
            why: "at the next quiet moment; until then the bad row stays in use".into(),
        }],
        ..incident("remap", Severity::Warning, 311, root)
    }
}

pub(super) fn flap(gpus: usize) -> Incident {
    let root = root(
        "port-flap",
        "mlx5",
        Entity::RdmaPort(format!("mlx5_{}", 2.min(gpus - 1)), 1),
        "The RDMA port lost its link",
        Confidence::Medium,
        "the port was down and came back",
    );
    Incident { ended: Some(at(150)), class: Class::Network, ..incident("flap", Severity::Warning, 120, root) }
}

pub(super) fn hang(place: usize, started: u64) -> Incident {
    let root = root(
        "probe-stuck",
        "probe_stuck",
        gpu(place),
        "A driver call does not return",
        Confidence::High,
        "our own watchdog waits for nvmlDeviceGetTemperature",
    );
    Incident {
        class: Class::Driver,
        advice: vec![Advice { action: Action::DrainNode, why: "a hung GSP rarely recovers; other GPUs go on".into() }],
        ..incident("hang", Severity::Critical, started, root)
    }
}

/// A plan that could be carried out.
pub fn plan() -> Plan {
    let condition = |what: &str, holds, found: &str| Precondition { what: what.into(), holds, found: found.into() };
    Plan {
        id: "drain-1".into(),
        verb: "drain".into(),
        target: Entity::Node,
        via: "slurm".into(),
        reason: "gpudeck: GPU 3 has fallen off the bus (xid 79)".into(),
        incident: Some("fallen".into()),
        made: at(600),
        expires_after_s: 120,
        preconditions: vec![
            condition("slurmctld answers", Some(true), "slurmctld at head1 is UP"),
            condition("nobody else drained the node", Some(true), "state MIXED, no reason set"),
        ],
        holders: vec![Holder {
            entity: Entity::Job("4711".into()),
            name: "train-70b".into(),
            owner: Some("alice".into()),
        }],
        steps: vec![Step {
            what: "keep new jobs off; running ones go on".into(),
            command: [
                "scontrol",
                "update",
                "NodeName=gpu-node-17",
                "State=DRAIN",
                "Reason=gpudeck: GPU 3 has fallen off the bus (xid 79)",
            ]
            .map(String::from)
            .to_vec(),
            undo: Some(["scontrol", "update", "NodeName=gpu-node-17", "State=RESUME"].map(String::from).to_vec()),
        }],
        confirm: "gpu-node-17".into(),
    }
}
