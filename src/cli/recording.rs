//! What is done with a recording on the command line: `export`, `info`, `recover`, `trim`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Format;
use crate::trim::When;

/// What a recording can be exported to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One JSON object a line: everything that is recorded.
    Jsonl,
    /// A table of samples, and one of events in NAME.events.csv.
    Csv,
    /// A directory of tables by day and node, for DuckDB, pandas and Spark.
    Parquet,
    /// A channel for each entity, for Foxglove and PlotJuggler.
    Mcap,
    /// Every sample with its time, for backfilling Prometheus.
    Openmetrics,
}

/// How the messages of an MCAP file are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageEncoding {
    /// JSON with a schema: Foxglove and PlotJuggler.
    Json,
    /// MessagePack: smaller; PlotJuggler.
    Msgpack,
}

/// `gpudeck export`
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// A recording.
    pub path: PathBuf,
    /// To which format.
    #[arg(long, value_enum)]
    pub to: ExportFormat,
    /// Where to, a name that is not there yet; - for standard output.
    #[arg(long, value_name = "PATH", default_value = "-")]
    pub out: PathBuf,
    /// How the messages of --to mcap are encoded; default: json.
    #[arg(long, value_enum)]
    pub encoding: Option<MessageEncoding>,
}

/// `gpudeck info`
#[derive(Args, Debug)]
pub(crate) struct InfoArgs {
    /// A recording.
    pub path: PathBuf,
    /// Text or JSON.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// `gpudeck recover`
#[derive(Args, Debug)]
pub(crate) struct RecoverArgs {
    /// The damaged recording.
    pub path: PathBuf,
    /// Where the whole one goes.
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
}

/// `gpudeck trim`
#[derive(Args, Debug)]
pub(crate) struct TrimArgs {
    /// The recording; it is not changed.
    pub path: PathBuf,
    /// From when: RFC 3339, or -10m for that long before --to. Default: its start.
    #[arg(long, value_name = "TIME", value_parser = When::parse, allow_hyphen_values = true)]
    pub from: Option<When>,
    /// Until when: RFC 3339, or +10m for that long after --from. Default: its end.
    #[arg(long, value_name = "TIME", value_parser = When::parse, allow_hyphen_values = true)]
    pub to: Option<When>,
    /// Replace names of hosts, users, commands, mounts, addresses and the like by pseudonyms that still join, and leave
    /// out kernel lines that no rule reads.
    #[arg(long)]
    pub redact: bool,
    /// Make the pseudonyms with the key in FILE (at least 16 bytes), so that pieces cut with it join; default: a random
    /// key that is kept nowhere.
    #[arg(long, value_name = "FILE", requires = "redact")]
    pub key_file: Option<PathBuf>,
    /// Keep kernel lines that no rule reads and notes, with the names that are known replaced. Read them before you share.
    #[arg(long, requires = "redact")]
    pub keep_lines: bool,
    /// Where the piece goes.
    #[arg(long, value_name = "FILE.gdk")]
    pub out: PathBuf,
}
