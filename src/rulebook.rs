//! Which rules judge: the built-in ones, or those in a directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::rules::Rulebook;

use crate::exit::{Code, Failure};

/// The most bytes of one rule file.
const MOST_BYTES: u64 = 4 << 20;

/// The rules of a directory, or the built-in ones.
pub(crate) fn load(directory: Option<&Path>) -> Result<Arc<Rulebook>, Failure> {
    let Some(directory) = directory else { return Ok(Arc::new(Rulebook::builtin())) };
    let files = read(directory)?;
    let named: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    match Rulebook::parse(&named) {
        Ok(rulebook) => Ok(Arc::new(rulebook)),
        Err(errors) => {
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            Err(Failure::new(Code::Data, told.join("\n\n")))
        }
    }
}

/// The rule files at a path: the file itself, or all `.toml` files of the directory, by name.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut paths: Vec<PathBuf> = Vec::new();
    if path.is_dir() {
        let entries =
            fs::read_dir(path).map_err(|error| Failure::io(format!("cannot read {}", path.display()), &error))?;
        paths.extend(
            entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "toml")),
        );
        paths.sort();
        if paths.is_empty() {
            return Err(Failure::new(Code::NoInput, format!("{} holds no .toml rule file", path.display())));
        }
    } else {
        paths.push(path.to_owned());
    }
    paths.iter().map(|path| Ok((path.display().to_string(), text(path)?))).collect()
}

fn text(path: &Path) -> Result<String, Failure> {
    let cannot = |error: std::io::Error| Failure::io(format!("cannot read the rule file {}", path.display()), &error);
    let length = fs::metadata(path).map_err(cannot)?.len();
    if length > MOST_BYTES {
        let found = path.display();
        return Err(Failure::new(
            Code::Data,
            format!("{found} has {length} bytes; a rule file has at most {MOST_BYTES}"),
        ));
    }
    fs::read_to_string(path).map_err(cannot)
}
