//! What concerns recording on the command line: `record`, `mark`, and how the deck finds a recorder.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use model::Severity;

use super::duration;
use crate::attach::DEFAULT_SOCKET;

/// When a recording is forced to the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SyncPolicy {
    /// After every Frame.
    Tick,
    /// Every five seconds, and on every event.
    #[default]
    #[value(name = "5s")]
    FiveSeconds,
    /// When the kernel sees fit.
    Off,
}

/// `gpudeck record`
#[derive(Args, Debug)]
pub(crate) struct RecordArgs {
    /// A file (NAME.gdk) or a directory for segments.
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    /// Stop after this long: 20s, 10m, 1h.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub length: Option<Duration>,
    /// When the recording is forced to the device.
    #[arg(long, value_enum, default_value = "5s")]
    pub sync: SyncPolicy,
    /// The most bytes of a directory's segments, kept before anything is written: 500M, 2G. The oldest go first.
    #[arg(long, value_name = "SIZE", default_value = "2G", value_parser = size)]
    pub max_bytes: u64,
    /// Segments older than this go: 12h, 30d.
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = duration)]
    pub max_age: Duration,
    /// Leave so much of the disk free for others; 0 for none. Default: 1G or a twentieth of the disk, whichever is smaller.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub min_free: Option<u64>,
    /// Round nothing: every value and instant stays as it was read. About twice the bytes.
    #[arg(long)]
    pub lossless: bool,
    /// Let decks attach, and take `gpudeck mark`, at this Unix socket.
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = DEFAULT_SOCKET)]
    pub socket: Option<PathBuf>,
    /// An incident of this severity or worse (info, warning, critical, fatal), and any Xid, keeps the minute before and
    /// after it in full, and is bundled.
    #[arg(long, value_name = "SEVERITY", default_value = "critical")]
    pub trigger_severity: Severity,
    /// Judge by the rule files in DIR instead of the built-in rulebook.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// Probes to leave out, separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub without: Vec<String>,
}

/// `gpudeck mark`
#[derive(Args, Debug)]
pub(crate) struct MarkArgs {
    /// What happened, in your words.
    #[arg(required = true, num_args = 1..)]
    pub text: Vec<String>,
    /// The recorder's socket.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// `gpudeck`
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeckArgs {
    /// Judge by the rule files in DIR instead of the built-in rulebook.
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
    /// Attach to the recorder that listens at PATH; without this, to the one at /run/gpudeck/deck.sock if there is one.
    #[arg(long, value_name = "PATH", conflicts_with = "no_attach")]
    pub socket: Option<PathBuf>,
    /// Start our own probes though a recorder is running.
    #[arg(long)]
    pub no_attach: bool,
}

/// Reads `1048576`, `500M`, `2G`, `64MiB`: powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let expected = || format!("`{text}` is not a size; expected a number and K, M, G or T, such as 500M");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or_else(expected)?;
    let number: u64 = number.parse().map_err(|_| expected())?;
    let power = match unit.trim_end_matches('B').trim_end_matches('i') {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return Err(expected()),
    };
    1024_u64.checked_pow(power).and_then(|unit| number.checked_mul(unit)).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_a_number_and_a_power_of_1024() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("500M"), Ok(500 << 20));
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("2G"), Ok(2 << 30));
        for wrong in ["", "M", "-1", "2X", "99999999999999T", "1.5G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
