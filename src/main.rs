//! The `gpudeck` command: one file per subcommand, wiring only.

use std::process::ExitCode;

use clap::Parser;

mod attach;
mod check;
mod cli;
mod deck;
mod decode;
mod demo;
mod diagnose;
mod doctor;
mod drain;
mod exit;
mod export;
mod incidents;
mod info;
mod last_look;
mod log_file;
mod mark;
mod node;
mod output;
mod past;
mod present;
mod probe;
mod record;
mod recover;
mod replay;
mod rulebook;
mod rules;
mod source;
mod terminal;
mod trim;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::usage(&error),
    };
    match run(&cli) {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}

fn run(cli: &cli::Cli) -> Result<ExitCode, exit::Failure> {
    use cli::Command;
    if cli.command.is_some() && cli.deck != cli::DeckArgs::default() {
        let why =
            "--rules, --socket and --no-attach stand behind the command they are for: gpudeck COMMAND --rules DIR";
        return Err(exit::Failure::new(exit::Code::Usage, why));
    }
    match &cli.command {
        None => deck::live(&cli.node, &cli.deck),
        Some(Command::Deck(args)) => deck::live(&cli.node, args),
        Some(Command::Demo(args)) => demo::run(args),
        Some(Command::Record(args)) => record::run(&cli.node, args),
        Some(Command::Mark(args)) => mark::run(args),
        Some(Command::Replay(args)) => replay::run(args),
        Some(Command::Diagnose(args)) => diagnose::run(args),
        Some(Command::Check(args)) => check::run(&cli.node, args),
        Some(Command::Decode(args)) => decode::run(args),
        Some(Command::Export(args)) => export::run(args),
        Some(Command::Info(args)) => info::run(args),
        Some(Command::Recover(args)) => recover::run(args),
        Some(Command::Trim(args)) => trim::run(args),
        Some(Command::Rules(args)) => rules::run(args),
        Some(Command::Drain(args)) => drain::drain(&cli.node, args),
        Some(Command::Undrain(args)) => drain::undrain(&cli.node, args),
        Some(Command::Doctor(args)) => doctor::run(&cli.node, args),
        Some(Command::Probe(args)) => probe::run(&cli.node, args),
    }
}
