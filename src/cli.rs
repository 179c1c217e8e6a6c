//! The command line. Names are fixed: people script them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod record;
mod recording;
pub(crate) use record::{DeckArgs, MarkArgs, RecordArgs, SyncPolicy};
pub(crate) use recording::{ExportArgs, ExportFormat, InfoArgs, MessageEncoding, RecoverArgs, TrimArgs};

/// The cockpit and the black box of a GPU node: what is wrong, since when, why, and what to do.
#[derive(Debug, Parser)]
#[command(
    name = "gpudeck",
    version,
    disable_help_subcommand = true,
    after_help = "Without a command: the deck, live, on this node: attached to the running recorder if there is one.\n\
                  Exit codes: 0 done; 64 wrong usage; 65 unusable data; 66 no such input; 69 something needed is \
                  missing; 70 our own fault; 74 input/output error; 77 not permitted. `check`, `drain` and `undrain` \
                  have their own, see their --help."
)]
pub(crate) struct Cli {
    /// Where the node is.
    #[command(flatten)]
    pub node: NodeArgs,
    /// How the deck finds a recorder.
    #[command(flatten)]
    pub deck: DeckArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Which node, and how it is read.
#[derive(Args, Clone, Debug)]
pub(crate) struct NodeArgs {
    /// Read /sys, /proc and /dev/kmsg below DIR: a container with the host mounted, or a captured tree. Unless DIR/proc
    /// is a live procfs, nothing but files below DIR and an explicit --nvml-lib is read.
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// The NVIDIA management library to load instead of libnvidia-ml.so.1.
    #[arg(long, global = true, value_name = "PATH")]
    pub nvml_lib: Option<PathBuf>,
    /// How long between two readings of fast sources: 1s, 500ms.
    #[arg(long, global = true, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub interval: Duration,
    /// How long between two readings of what a recording keeps around an incident at a finer grain: power, clocks,
    /// traffic of the GPUs. 0 for none; 100ms where nothing is said.
    #[arg(long, global = true, hide = true, value_name = "DURATION", value_parser = duration_or_none)]
    pub burst_interval: Option<Duration>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The deck, live, on this node (what gpudeck does without a command).
    #[command(hide = true)]
    Deck(DeckArgs),
    /// The deck on a built-in recorded incident; without a terminal, its diagnosis.
    #[command(after_help = "Example: gpudeck demo\n         gpudeck demo --list")]
    Demo(DemoArgs),
    /// Headless black box: record this node until stopped.
    #[command(
        after_help = "SIGTERM and SIGINT end the recording; SIGHUP begins another segment; SIGUSR1 is a trigger: what \
                      is around it is kept in full. Command lines of processes are never recorded.\n\
                      Example: gpudeck record --out /var/lib/gpudeck --for 1h\n         \
                      gpudeck record --out /var/lib/gpudeck --socket --max-bytes 4G --max-age 14d"
    )]
    Record(RecordArgs),
    /// A note into the running recording; what is around it is kept in full.
    #[command(after_help = "Exit codes: 0 taken; 69 no recorder is running; 77 it does not let you in.\n\
                      Example: gpudeck mark 'reseated the riser of GPU 3'")]
    Mark(MarkArgs),
    /// The deck on a recording.
    #[command(after_help = "Example: gpudeck replay incident.gdk --at 2026-11-23T02:14:00Z")]
    Replay(ReplayArgs),
    /// The incidents of a recording or of a kernel log file.
    #[command(
        after_help = "Example: gpudeck diagnose incident.gdk\n         dmesg > log && gpudeck diagnose log --format json"
    )]
    Diagnose(DiagnoseArgs),
    /// One-shot health of this node.
    #[command(after_help = "Exit codes: 0 ok, 1 warning, 2 critical, 3 unknown (nothing could be judged).\n\
                      Example: gpudeck check --format json")]
    Check(CheckArgs),
    /// Kernel log lines to events, one JSON object a line.
    #[command(
        after_help = "Example: dmesg | gpudeck decode -\n         gpudeck decode /var/log/kern.log --driver 570.86.15"
    )]
    Decode(DecodeArgs),
    /// A recording in another format.
    #[command(after_help = "Example: gpudeck export incident.gdk --to jsonl --out incident.jsonl\n         \
                            gpudeck export /var/lib/gpudeck --to parquet --out node7.parquet")]
    Export(ExportArgs),
    /// What a recording holds, and whether it is whole.
    #[command(after_help = "Example: gpudeck info incident.gdk")]
    Info(InfoArgs),
    /// Salvage a damaged recording, and say exactly what is lost.
    #[command(after_help = "Example: gpudeck recover torn.gdk --out whole.gdk")]
    Recover(RecoverArgs),
    /// Cut a piece out of a recording, to share it: with pseudonyms for names if asked.
    #[command(
        after_help = "Example: gpudeck trim /var/lib/gpudeck --from 2026-11-23T02:00:00Z --to +30m --redact --out piece.gdk"
    )]
    Trim(TrimArgs),
    /// The rulebook: list it, explain a rule, check your own.
    #[command(after_help = "Example: gpudeck rules show xid.79\n         gpudeck rules check my-rules.toml")]
    Rules(RulesArgs),
    /// Keep new work off this node, through its scheduler.
    #[command(
        after_help = "Exit codes: 0 done or already so; 1 refused; 3 outcome unknown: read the node's state before \
                      trying again.\nWithout --reason or --incident-of the node is watched for a moment and its worst \
                      incident is the reason.\nExample: gpudeck drain node --via slurm --plan --reason 'fan tray'"
    )]
    Drain(DrainArgs),
    /// Undo a drain that gpudeck made.
    #[command(after_help = "Exit codes: 0 done or already so; 1 refused; 3 outcome unknown.\n\
                      Example: gpudeck undrain node --via slurm")]
    Undrain(DrainArgs),
    /// What can be read here, what cannot, and how to mend that.
    #[command(after_help = "Example: gpudeck doctor")]
    Doctor(DoctorArgs),
    /// Run one probe as a worker: Frames on standard output. Started by gpudeck itself.
    #[command(hide = true)]
    Probe(ProbeArgs),
}

/// Text for people or JSON for scripts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For scripts.
    Json,
}

/// `gpudeck demo`
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Which incident; see --list.
    pub name: Option<String>,
    /// List the built-in incidents.
    #[arg(long)]
    pub list: bool,
}

/// `gpudeck replay`
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// A recording: a .gdk file or a directory of segments.
    pub path: PathBuf,
    /// Start at this instant, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// How many times as fast as it happened.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub speed: u32,
    /// Judge by the rule files in DIR instead of the built-in rulebook.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
}

/// `gpudeck diagnose`
#[derive(Args, Debug)]
pub(crate) struct DiagnoseArgs {
    /// A recording, or a kernel log file (dmesg, journalctl -k, syslog); - for standard input.
    pub path: PathBuf,
    /// Judge by the rule files in DIR instead of the built-in rulebook.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// The driver version of a kernel log file, since an Xid's meaning depends on it.
    #[arg(long, value_name = "VERSION")]
    pub driver: Option<String>,
    /// Text or JSON.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// `gpudeck check`
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// Watch for this long before judging: rates need two readings.
    #[arg(long = "for", value_name = "DURATION", default_value = "3s", value_parser = duration)]
    pub length: Duration,
    /// Judge by the rule files in DIR instead of the built-in rulebook.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// Text or JSON.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// `gpudeck decode`
#[derive(Args, Debug)]
pub(crate) struct DecodeArgs {
    /// A kernel log file; - for standard input.
    #[arg(default_value = "-")]
    pub file: PathBuf,
    /// The driver version, since an Xid's meaning depends on it.
    #[arg(long, value_name = "VERSION")]
    pub driver: Option<String>,
    /// JSON lines or a table for people.
    #[arg(long, value_enum, default_value = "json")]
    pub format: Format,
}

/// `gpudeck rules`
#[derive(Args, Debug)]
pub(crate) struct RulesArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: RulesCommand,
}

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// List the rulebook.
    #[command(after_help = "Example: gpudeck rules list --format json")]
    List {
        /// Text or JSON.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Explain one rule.
    #[command(after_help = "Example: gpudeck rules show xid.79")]
    Show {
        /// The rule's id.
        id: String,
    },
    /// Check a rule file, or all of a directory; runs the tests in them.
    #[command(after_help = "Example: gpudeck rules check my-rules.toml")]
    Check {
        /// A .toml file or a directory of them.
        path: PathBuf,
    },
}

/// `gpudeck drain` and `undrain`
#[derive(Args, Debug)]
pub(crate) struct DrainArgs {
    /// What: node.
    pub target: String,
    /// Through whom.
    #[arg(long, value_enum, default_value = "slurm")]
    pub via: Scheduler,
    /// Only show the plan.
    #[arg(long)]
    pub plan: bool,
    /// Do not ask. With a name, only if it is the node's own: a guard against a wrong shell.
    #[arg(long, value_name = "NODE", num_args = 0..=1, default_missing_value = "")]
    pub yes: Option<String>,
    /// The scheduler's name for this node; default: the host name.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Why, as the scheduler will show it.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Take the reason from the worst incident of this recording.
    #[arg(long, value_name = "PATH")]
    pub incident_of: Option<PathBuf>,
    /// The journal of actions.
    #[arg(long, value_name = "FILE", default_value = "/var/lib/gpudeck/journal.jsonl")]
    pub journal: PathBuf,
    /// Text or JSON.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Through whom a node is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scheduler {
    /// scontrol.
    Slurm,
}

/// `gpudeck doctor`
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Text or JSON.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// `gpudeck probe`
#[derive(Args, Debug)]
pub(crate) struct ProbeArgs {
    /// Which probe.
    pub name: String,
}

/// Reads `20s`, `500ms`, `10m`, `1h`, `2d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("`{text}` is not a duration; expected a number and ms, s, m, h or d, such as 20s");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(expected)?;
    let number: u64 = number.parse().map_err(|_| expected())?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(expected()),
    };
    match number.checked_mul(milliseconds) {
        Some(total) if total > 0 => Ok(Duration::from_millis(total)),
        _ => Err(expected()),
    }
}

/// A duration, which may be 0: never.
fn duration_or_none(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s" | "0ms") { Ok(Duration::ZERO) } else { duration(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for wrong in ["", "s", "0s", "1w", "-1s", "99999999999999999999d", "18446744073709551615h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration_or_none("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
