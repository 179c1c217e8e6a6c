//! `gpudeck doctor`: what can be read here, what cannot, and how to mend that.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use model::{Dictionary, Entity, NodeState, ProbeFault, Reading, catalogue};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::cli::{DoctorArgs, Format, NodeArgs};
use crate::exit::Failure;
use crate::{node, output};

/// How long the probes are watched: every probe answers within a period, a stuck call shows after two seconds.
const LENGTH: Duration = Duration::from_secs(4);

/// What one probe can read here.
#[derive(Debug, Default, Serialize)]
struct Finding {
    probe: String,
    state: String,
    series: usize,
    unsupported: usize,
    denied: usize,
    took_us: u64,
    problems: Vec<Problem>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Problem {
    call: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<Entity>,
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

/// Runs every probe for a moment and tells what came.
pub(crate) fn run(args: &NodeArgs, doctor: &DoctorArgs) -> Result<ExitCode, Failure> {
    let here = node::named(args)?;
    let runtime = node::runtime()?;
    let findings = runtime.block_on(async {
        let mut session = node::session(args, &here, &[])?;
        let mut seen = Seen::default();
        let end = Instant::now() + LENGTH;
        while let Ok(Some(admitted)) = timeout_at(end, session.next()).await {
            seen.take(&admitted.decoded);
        }
        Ok(seen.findings())
    });
    runtime.shutdown_background();
    let findings = findings?;
    match doctor.format {
        Format::Text => output::print(&text(&findings))?,
        Format::Json => output::json(&findings)?,
    }
    output::done()
}

#[derive(Default)]
struct Seen {
    dictionary: Dictionary,
    state: NodeState,
    series: BTreeMap<String, BTreeMap<model::SeriesId, Reading>>,
    problems: BTreeMap<String, Vec<Problem>>,
}

impl Seen {
    fn take(&mut self, frame: &model::Frame) {
        self.dictionary.follow(frame);
        self.state.apply(frame, &self.dictionary);
        let readings = self.series.entry(frame.probe.clone()).or_default();
        readings.extend(frame.samples.iter().cloned());
        for fault in &frame.faults {
            let about = if frame.probe == "engine" { probe_of(fault) } else { frame.probe.clone() };
            let problem = Problem {
                call: model::text::clean(&fault.call, 120),
                entity: fault.entity.clone(),
                why: fault.why.display(300),
                advice: fault.advice.clone(),
            };
            let problems = self.problems.entry(about).or_default();
            if problems.len() < 50 && !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }

    fn findings(mut self) -> Vec<Finding> {
        probes::worker::NAMES.iter().map(|probe| self.finding(probe)).collect()
    }

    fn finding(&mut self, probe: &str) -> Finding {
        let readings = self.series.remove(probe).unwrap_or_default();
        let count = |wanted: fn(&Reading) -> bool| readings.values().filter(|reading| wanted(reading)).count();
        let told = self.state.text(&Entity::Probe(probe.to_owned()), catalogue::PROBE_STATE);
        let heard = self.state.probes.get(probe);
        Finding {
            probe: probe.to_owned(),
            state: if heard.is_some() {
                told.unwrap_or("ok")
            } else {
                told.filter(|word| *word != "ok").unwrap_or("silent")
            }
            .to_owned(),
            series: readings.len(),
            unsupported: count(|reading| matches!(reading, Reading::Unsupported)),
            denied: count(|reading| matches!(reading, Reading::Denied)),
            took_us: heard.map_or(0, |heard| heard.took_us),
            problems: self.problems.remove(probe).unwrap_or_default(),
        }
    }
}

fn probe_of(fault: &ProbeFault) -> String {
    match &fault.entity {
        Some(Entity::Probe(name)) => name.clone(),
        _ => "engine".to_owned(),
    }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let mark = if finding.problems.is_empty() && finding.state == "ok" { '✓' } else { '!' };
        text.push_str(&format!(
            "{mark} {:<11} {:<9} {} series in {}.{:03} ms",
            finding.probe,
            finding.state,
            finding.series,
            finding.took_us / 1_000,
            finding.took_us % 1_000
        ));
        for (count, word) in [(finding.unsupported, "not offered here"), (finding.denied, "not permitted")] {
            if count > 0 {
                text.push_str(&format!(", {count} {word}"));
            }
        }
        text.push('\n');
        if finding.state == "missing" && finding.problems.is_empty() {
            text.push_str("    the node has nothing of this kind, or its kernel module is not loaded\n");
        }
        for problem in &finding.problems {
            let about = problem.entity.as_ref().map(|entity| format!(" {entity}")).unwrap_or_default();
            text.push_str(&format!("    {}{about}: {}\n", problem.call, problem.why));
            if let Some(advice) = &problem.advice {
                text.push_str(&format!("      → {advice}\n"));
            }
        }
    }
    text
}
