//! `gpudeck check`: one-shot health of this node.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ::rules::Rulebook;
use model::{Coverage, Incident};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::cli::{CheckArgs, Format, NodeArgs};
use crate::exit::Failure;
use crate::incidents::{Health, Judge, Judgement};
use crate::{node, output, present, rulebook};

#[derive(Serialize)]
struct Json<'a> {
    verdict: &'static str,
    incidents: &'a [Incident],
    coverage: &'a Coverage,
}

/// Watches for a moment, judges, and says so by text or JSON and by the exit code.
pub(crate) fn run(args: &NodeArgs, check: &CheckArgs) -> Result<ExitCode, Failure> {
    let rulebook = rulebook::load(check.rules.as_deref())?;
    let judgement = watch(args, rulebook, check.length)?;
    let health = Health::of(&judgement);
    match check.format {
        Format::Text => {
            output::print(&format!("{}\n\n{}", health.word(), present::judgement(&judgement)))?;
        }
        Format::Json => output::json(&Json {
            verdict: health.word(),
            incidents: &judgement.incidents,
            coverage: &judgement.coverage,
        })?,
    }
    Ok(ExitCode::from(health.code()))
}

/// Judges what a session on the node sees in this time.
pub(crate) fn watch(args: &NodeArgs, rulebook: Arc<Rulebook>, length: Duration) -> Result<Judgement, Failure> {
    let here = node::named(args)?;
    let runtime = node::runtime()?;
    let judgement = runtime.block_on(async {
        let mut session = node::session(args, &here, &[])?;
        let mut judge = Judge::new(rulebook, None);
        let end = Instant::now() + length;
        while let Ok(Some(admitted)) = timeout_at(end, session.next()).await {
            judge.decoded(&admitted.decoded);
        }
        Ok(judge.finish())
    });
    // A worker that is stuck in a driver call ends by itself when the call returns; nobody waits for it.
    runtime.shutdown_background();
    judgement
}
