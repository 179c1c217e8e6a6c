//! `gpudeck rules`: list the rulebook, explain a rule, check your own.

use std::path::Path;
use std::process::ExitCode;

use ::rules::{Rule, Rulebook};
use model::Severity;
use serde_json::json;

use crate::cli::{Format, RulesArgs, RulesCommand};
use crate::exit::{Code, Failure};
use crate::{output, rulebook};

/// Does what was asked.
pub(crate) fn run(args: &RulesArgs) -> Result<ExitCode, Failure> {
    match &args.command {
        RulesCommand::List { format } => list(*format),
        RulesCommand::Show { id } => show(id),
        RulesCommand::Check { path } => check(path),
    }
}

fn list(format: Format) -> Result<ExitCode, Failure> {
    let rulebook = Rulebook::builtin();
    match format {
        Format::Text => {
            let lines: Vec<String> = rulebook
                .rules()
                .iter()
                .map(|rule| format!("{:<9} {:<34} {}\n", severity(rule), rule.id, rule.title))
                .collect();
            output::print(&format!(
                "{}\n{} rules, rulebook {}\n",
                lines.concat(),
                rulebook.rules().len(),
                rulebook.hash()
            ))?;
        }
        Format::Json => {
            let rules: Vec<_> = rulebook
                .rules()
                .iter()
                .map(|rule| json!({ "id": rule.id, "title": rule.title, "severity": severity(rule) }))
                .collect();
            output::json(&json!({ "rulebook": rulebook.hash(), "rules": rules }))?;
        }
    }
    output::done()
}

/// A rule without a severity of its own takes that of the event.
fn severity(rule: &Rule) -> &'static str {
    rule.severity.map_or("by event", Severity::word)
}

fn show(id: &str) -> Result<ExitCode, Failure> {
    let rulebook = Rulebook::builtin();
    let Some(rule) = rulebook.get(id) else {
        let alike: Vec<&str> =
            rulebook.rules().iter().map(|rule| rule.id.as_str()).filter(|known| known.contains(id)).take(5).collect();
        let alike = if alike.is_empty() { String::new() } else { format!("; there are {}", alike.join(", ")) };
        return Err(Failure::new(Code::NoInput, format!("there is no rule `{id}`{alike} (gpudeck rules list)")));
    };
    output::print(&format!("{}\n", rule.explain()))?;
    output::done()
}

fn check(path: &Path) -> Result<ExitCode, Failure> {
    let rulebook = rulebook::load(Some(path))?;
    let failures = rulebook.test();
    if failures.is_empty() {
        output::print(&format!("{} rules, all well\n", rulebook.rules().len()))?;
        return output::done();
    }
    let told: Vec<String> = failures.iter().map(ToString::to_string).collect();
    Err(Failure::new(Code::Data, told.join("\n")))
}
