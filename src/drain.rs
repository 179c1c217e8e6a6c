//! `gpudeck drain` and `undrain`, and the deck's way to the same: plan, show, confirm, act, read back.
//!
//! The one file that holds a key to a real scheduler. Recordings are shown by others.

use std::io::{self, BufRead, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ::actions::{Journal, JournalError, NodeName, Outcome, SlurmCli, SlurmSetup, journal};
use model::{Incident, Plan, Severity};
use serde::Serialize;
use tui::OutcomeKind;

use crate::cli::{DrainArgs, Format, NodeArgs, Scheduler};
use crate::exit::{Code, Failure};
use crate::{check, node, output, past, present, rulebook};

/// How long a node is looked at for a reason to drain it.
const LOOK: Duration = Duration::from_secs(3);

/// Keeps new work off this node.
pub(crate) fn drain(args: &NodeArgs, drain: &DrainArgs) -> Result<ExitCode, Failure> {
    let incident = match (&drain.incident_of, &drain.reason) {
        (Some(recording), _) => worst_of(recording)?,
        (None, Some(_)) => None,
        (None, None) => worst_here(args)?,
    };
    run(args, drain, |scheduler, name, _| {
        let reason = drain.reason.as_deref().unwrap_or_default();
        ::actions::plan_drain(scheduler, name, reason, incident.as_ref(), engine::clock::now())
            .map_err(|error| Failure::new(Code::Usage, format!("{error} (--reason TEXT or --incident-of RECORDING)")))
    })
}

/// Undoes a drain that gpudeck made.
pub(crate) fn undrain(args: &NodeArgs, undrain: &DrainArgs) -> Result<ExitCode, Failure> {
    run(args, undrain, |scheduler, name, journal| {
        let journal = journal.ok_or_else(|| {
            let path = undrain.journal.display();
            Failure::new(Code::NoInput, format!("there is no journal {path}: gpudeck has drained nothing from here"))
        })?;
        ::actions::plan_undrain(scheduler, name, journal, engine::clock::now())
            .map_err(|error| Failure::new(Code::Usage, error))
    })
}

fn run(
    args: &NodeArgs,
    drain: &DrainArgs,
    plan: impl Fn(&SlurmCli, &str, Option<&Journal>) -> Result<Plan, Failure>,
) -> Result<ExitCode, Failure> {
    if !matches!(drain.target.parse(), Ok(model::Entity::Node)) {
        let target = model::text::clean(&drain.target, 80);
        let why =
            format!("cannot drain {target}: only `node` can be drained through Slurm, which knows no single GPUs");
        return Err(Failure::new(Code::Usage, why));
    }
    if !node::named(args)?.is_here() {
        return Err(Failure::new(Code::Usage, "--root names another tree; a node is drained from the node itself"));
    }
    let scheduler = open_scheduler(drain.via)?;
    // Showing a plan changes nothing, not even a journal that is not there.
    if drain.plan && !drain.journal.exists() {
        let plan = plan(&scheduler, &node_name(drain)?, None)?;
        return shown(&plan, drain.format);
    }
    let mut journal = open_journal(&drain.journal)?;
    for unfinished in journal.unfinished() {
        output::complain(&format!(
            "gpudeck: {} of {} (plan {}) was begun and never finished: whether it happened is not known; read the node's state",
            unfinished.verb, unfinished.node, unfinished.id
        ));
    }
    let plan = plan(&scheduler, &node_name(drain)?, Some(&journal))?;
    if drain.plan {
        return shown(&plan, drain.format);
    }
    if drain.format == Format::Text {
        show_plan(&plan, drain.format)?;
    }
    let typed = match &drain.yes {
        Some(name) if name.is_empty() => plan.confirm.clone(),
        Some(name) => name.clone(),
        None => ask(&plan)?,
    };
    let outcome = ::actions::execute(&plan, &typed, &mut journal, &scheduler, &engine::clock::now);
    show_outcome(&plan, &outcome, drain.format)?;
    Ok(ExitCode::from(outcome.exit_code()))
}

fn node_name(drain: &DrainArgs) -> Result<String, Failure> {
    match &drain.node {
        Some(name) => Ok(name.clone()),
        None => Ok(NodeName::of_this_host().map_err(|error| Failure::new(Code::Usage, error))?.to_string()),
    }
}

/// Shows a plan that is not to be carried out; whether it could be is the exit code.
fn shown(plan: &Plan, format: Format) -> Result<ExitCode, Failure> {
    show_plan(plan, format)?;
    Ok(ExitCode::from(u8::from(plan.obstacles().next().is_some())))
}

/// The deck's plan against an incident on this node.
pub(crate) fn plan_for(incident: Option<&Incident>) -> Result<Box<Plan>, String> {
    let incident = incident.ok_or("the incident is gone")?;
    let scheduler = open_scheduler(Scheduler::Slurm).map_err(|error| error.to_string())?;
    let name = NodeName::of_this_host().map_err(|error| error.to_string())?;
    ::actions::plan_drain(&scheduler, name.as_str(), "", Some(incident), engine::clock::now())
        .map(Box::new)
        .map_err(|error| error.to_string())
}

/// Carries a plan of the deck's out. Prints nothing: the screen is the deck's.
pub(crate) fn carry_out(plan: &Plan, typed: &str) -> (String, OutcomeKind) {
    let acted = open_scheduler(Scheduler::Slurm).and_then(|scheduler| {
        let mut journal = open_journal(Path::new(journal::DEFAULT_PATH))?;
        Ok(::actions::execute(plan, typed, &mut journal, &scheduler, &engine::clock::now))
    });
    match acted {
        Ok(outcome) => (words(plan, &outcome), kind(&outcome)),
        Err(failure) => (failure.to_string(), OutcomeKind::Refused),
    }
}

fn open_scheduler(via: Scheduler) -> Result<SlurmCli, Failure> {
    match via {
        Scheduler::Slurm => {
            let slurm_conf = std::env::var_os("SLURM_CONF").map(Into::into);
            SlurmCli::on_this_node(SlurmSetup { slurm_conf, ..SlurmSetup::default() })
                .map_err(|fault| Failure::new(Code::Unavailable, fault))
        }
    }
}

fn open_journal(path: &Path) -> Result<Journal, Failure> {
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::io(format!("cannot create {} for the journal", folder.display()), &error))?;
    }
    Journal::open(path).map_err(|error| {
        let code = match error {
            JournalError::Io { .. } => Code::Permission,
            JournalError::Damaged { .. } => Code::Data,
            JournalError::Busy { .. } => Code::Unavailable,
        };
        Failure::new(code, error)
    })
}

fn worst_of(path: &Path) -> Result<Option<Incident>, Failure> {
    let judgement = past::judge(&past::open(path)?, rulebook::load(None)?);
    Ok(judgement.incidents.into_iter().next())
}

/// The worst that stands on this node now and is worth a drain.
fn worst_here(args: &NodeArgs) -> Result<Option<Incident>, Failure> {
    let judgement = check::watch(args, rulebook::load(None)?, LOOK)?;
    let serious = |incident: &Incident| incident.open() && incident.severity >= Severity::Critical;
    Ok(judgement.incidents.into_iter().find(serious))
}

fn ask(plan: &Plan) -> Result<String, Failure> {
    if let Some(obstacle) = plan.obstacles().next() {
        output::complain(&format!("gpudeck: not possible: {}", model::text::clean(&obstacle.what, 300)));
        return Ok(String::new());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new(Code::Usage, format!("nobody to ask: confirm with --yes {}", plan.confirm)));
    }
    output::print(&format!("\nType {} to {} it, anything else to leave it: ", plan.confirm, plan.verb))?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed).map_err(|error| Failure::io("cannot read the answer", &error))?;
    Ok(typed.trim().to_owned())
}

fn show_plan(plan: &Plan, format: Format) -> Result<(), Failure> {
    match format {
        Format::Text => output::print(&present::plan(plan)),
        Format::Json => output::json(plan),
    }
}

#[derive(Serialize)]
struct Json<'a> {
    plan: &'a Plan,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

fn show_outcome(plan: &Plan, outcome: &Outcome, format: Format) -> Result<(), Failure> {
    match format {
        Format::Text => output::print(&format!("\n{}\n", words(plan, outcome))),
        Format::Json => output::json(&Json { plan, outcome }),
    }
}

fn words(plan: &Plan, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done { state, unrecorded } => {
            let unrecorded = unrecorded.as_ref().map(|why| format!("; not in the journal: {why}")).unwrap_or_default();
            format!("done: {} is {}{unrecorded}", plan.confirm, state.in_words())
        }
        Outcome::AlreadySo { state } => format!("nothing to do: {} is {}", plan.confirm, state.in_words()),
        Outcome::Refused { why } => format!("refused, nothing was changed: {why}"),
        Outcome::Unknown { why } => format!("unknown whether it happened: {why}"),
    }
}

fn kind(outcome: &Outcome) -> OutcomeKind {
    match outcome {
        Outcome::Done { .. } | Outcome::AlreadySo { .. } => OutcomeKind::Done,
        Outcome::Refused { .. } => OutcomeKind::Refused,
        Outcome::Unknown { .. } => OutcomeKind::Unknown,
    }
}
