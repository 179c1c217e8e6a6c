//! `gpudeck export`: a recording in other formats (`docs/export.md`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::recorder::Recording;
use ::recorder::export::{self, Encoding, Exported};

use crate::cli::{ExportArgs, ExportFormat, MessageEncoding};
use crate::exit::{Code, Failure};
use crate::{output, past};

/// Writes it, and says on standard error what could not be read of the recording.
pub(crate) fn run(args: &ExportArgs) -> Result<ExitCode, Failure> {
    if args.encoding.is_some() && args.to != ExportFormat::Mcap {
        return Err(Failure::new(Code::Usage, "--encoding is for --to mcap; the other formats have one each"));
    }
    let recording = past::open(&args.path)?;
    let exported = match args.to {
        ExportFormat::Jsonl => stream(args, |out| export::jsonl(&recording, out))?,
        ExportFormat::Csv => csv(args, &recording)?,
        ExportFormat::Mcap => {
            let encoding = match args.encoding {
                Some(MessageEncoding::Msgpack) => Encoding::MessagePack,
                Some(MessageEncoding::Json) | None => Encoding::Json,
            };
            stream(args, |out| export::mcap(&recording, out, encoding))?
        }
        ExportFormat::Openmetrics => {
            let spill = spill(args)?;
            stream(args, |out| export::openmetrics(&recording, spill, out))?
        }
        ExportFormat::Parquet => parquet(args, &recording)?,
    };
    for damage in &exported.damage {
        output::complain(&format!("gpudeck: {damage}; everything else is exported"));
    }
    if exported.left_out > 0 {
        let Exported { left_out, samples, .. } = exported;
        let why = match args.to {
            ExportFormat::Csv => "events have a table of their own: give a file to --out",
            _ => "samples without a value and events have no place in it; gpudeck_export_left_out counts the samples",
        };
        output::complain(&format!("gpudeck: {samples} samples exported, {left_out} left out: {why}"));
    }
    output::done()
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// Into one file, or to standard output.
fn stream(args: &ExportArgs, write: impl FnOnce(&mut dyn Write) -> io::Result<Exported>) -> Result<Exported, Failure> {
    if is_stdout(&args.out) {
        let mut out = BufWriter::new(io::stdout().lock());
        return match write(&mut out).and_then(|exported| out.flush().map(|()| exported)) {
            Ok(exported) => Ok(exported),
            Err(error) => output::settle(Err(error)).map(|()| Exported::default()),
        };
    }
    let mut out = BufWriter::new(create(&args.out)?);
    write(&mut out).and_then(|exported| out.flush().map(|()| exported)).map_err(|error| half(&[&args.out], &error))
}

/// The samples in the file that was asked for, the events beside it; to standard output, the samples alone.
fn csv(args: &ExportArgs, recording: &Recording) -> Result<Exported, Failure> {
    if is_stdout(&args.out) {
        return stream(args, |out| export::csv(recording, out, None));
    }
    let beside = beside(&args.out);
    let mut events = BufWriter::new(create(&beside)?);
    let mut samples = BufWriter::new(create(&args.out).inspect_err(|_| remove(&beside))?);
    export::csv(recording, &mut samples, Some(&mut events)).map_err(|error| half(&[&args.out, &beside], &error))
}

/// `run.csv` has its events in `run.events.csv`.
fn beside(path: &Path) -> PathBuf {
    let extension = path.extension().map_or_else(|| "csv".into(), std::ffi::OsStr::to_os_string);
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push(".events.");
    name.push(extension);
    path.with_file_name(name)
}

fn parquet(args: &ExportArgs, recording: &Recording) -> Result<Exported, Failure> {
    if is_stdout(&args.out) {
        return Err(Failure::new(Code::Usage, "Parquet is a directory of files: give its name to --out"));
    }
    export::parquet(recording, &args.out).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(&args.out),
        _ => half(&[&args.out], &error),
    })
}

/// A file without a name beside the output, where there is room for what is exported anyway.
fn spill(args: &ExportArgs) -> Result<File, Failure> {
    let spill = match args.out.parent().filter(|_| !is_stdout(&args.out)) {
        Some(parent) if parent.as_os_str().is_empty() => tempfile::tempfile_in("."),
        Some(parent) => tempfile::tempfile_in(parent),
        None => tempfile::tempfile(),
    };
    spill.map_err(|error| Failure::io("cannot create a file to sort in", &error))
}

/// A new file that its owner alone may read.
fn create(path: &Path) -> Result<File, Failure> {
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags).open(path);
    file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => Failure::io(format!("cannot create {}", path.display()), &error),
    })
}

fn exists(path: &Path) -> Failure {
    let path = path.display();
    Failure::new(Code::Usage, format!("{path} exists and is not overwritten; give another name to --out"))
}

/// Half an export looks like a whole one: it is removed.
fn half(made: &[&Path], error: &io::Error) -> Failure {
    for path in made {
        remove(path);
    }
    let names: Vec<String> = made.iter().map(|path| path.display().to_string()).collect();
    Failure::io(format!("cannot write {}; what was written of it is removed", names.join(" and ")), error)
}

/// Removes what this made.
fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        output::complain(&format!("gpudeck: {} is left and not whole: {error}", path.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_of_a_table_lie_beside_it() {
        assert_eq!(beside(Path::new("/x/run.csv")), Path::new("/x/run.events.csv"));
        assert_eq!(beside(Path::new("run")), Path::new("run.events.csv"));
    }
}
