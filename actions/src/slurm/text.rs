//! Reads what `scontrol show node NAME` and `squeue` print. Facts: scontrol(1), squeue(1), and what Slurm 22.05 printed
//! (`tests/data`).
//!
//! The text form is read because every Slurm has it: `scontrol --json` came with 23.02 and needs a plugin that may be
//! missing. It is `Key=Value` pairs, several on a line, values with spaces unquoted. `State=` stands before every value
//! that a user can write, and the first of a key counts, so a reason that holds `State=IDLE` forges nothing.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use model::{Stamp, Untrusted};

use crate::scheduler::{Job, NodeStatus};

/// The `squeue --format` that [`read_jobs`] reads: id, user, short state, generic resources. No job name: it may hold a
/// line feed, which squeue prints as it is, and thereby a forged job.
pub const JOB_FORMAT: &str = "%i|%u|%t|%b";

/// Reads `scontrol show node NAME`; times as under `TZ=UTC`. Errs with what is wrong.
pub fn read_node(output: &str, name: &str) -> Result<NodeStatus, String> {
    let found = first_word_of(output, "NodeName=").ok_or("no NodeName= in it")?;
    if found != name {
        return Err(format!("it is about {}, not about {name}", Untrusted::from(found).display(80)));
    }
    if output.lines().filter(|line| line.starts_with("NodeName=")).count() != 1 {
        return Err("it is about several nodes".to_owned());
    }
    let state = first_word_of(output, "State=").ok_or("no State= in it")?;
    let (reason, reason_by, reason_at) = read_reason(output);
    Ok(NodeStatus {
        state: read_state(state)?,
        reason,
        reason_by,
        reason_at,
        host: value(first_word_of(output, "NodeHostName=")),
        gres: value(first_word_of(output, "Gres=")),
    })
}

/// `MIXED+DRAIN`, `IDLE*`, `DOWN*+DRAIN`: words joined by `+`, each with at most a few marks behind it. A star means the
/// same as the flag `NOT_RESPONDING` of newer versions.
fn read_state(state: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut silent = false;
    for marked in state.split('+') {
        let word = marked.trim_end_matches(|mark: char| mark.is_ascii_punctuation() && mark != '_');
        silent |= marked.contains('*');
        let known_form = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        if known_form {
            words.push(word.to_owned());
        } else if !marked.is_empty() {
            return Err(format!("its state is `{}`", Untrusted::from(state).display(80)));
        }
    }
    if silent && !words.iter().any(|word| word == "NOT_RESPONDING") {
        words.push("NOT_RESPONDING".to_owned());
    }
    if words.is_empty() { Err("its state is empty".to_owned()) } else { Ok(words) }
}

/// The line `   Reason=WORDS [USER@TIME]`.
fn read_reason(output: &str) -> (Option<Untrusted>, Option<Untrusted>, Option<Stamp>) {
    let Some(line) = output.lines().find_map(|line| line.trim_start().strip_prefix("Reason=")) else {
        return (None, None, None);
    };
    let line = line.trim_end();
    let mark =
        line.rsplit_once(" [").and_then(|(words, mark)| Some((words, mark.strip_suffix(']')?.rsplit_once('@')?)));
    match mark {
        Some((words, (user, time))) => (Some(words.into()), Some(user.into()), read_time(time)),
        None => (value(Some(line)), None, None),
    }
}

fn read_time(time: &str) -> Option<Stamp> {
    let civil: DateTime = time.parse().ok()?;
    let at = TimeZone::UTC.to_timestamp(civil).ok()?;
    Some(Stamp { mono_ns: None, real_ns: i64::try_from(at.as_nanosecond()).ok() })
}

/// The word behind the first `key` (with its `=`) that stands at the start of a line or behind a space.
fn first_word_of<'a>(output: &'a str, key: &str) -> Option<&'a str> {
    output.split_ascii_whitespace().find_map(|word| word.strip_prefix(key))
}

/// Slurm's ways of saying "nothing" taken out.
fn value(found: Option<&str>) -> Option<Untrusted> {
    found.filter(|word| !matches!(*word, "" | "(null)" | "N/A" | "none")).map(Untrusted::from)
}

/// Reads `squeue --noheader --format=`[`JOB_FORMAT`]. Errs with the line that is none.
pub fn read_jobs(output: &str) -> Result<Vec<Job>, String> {
    output.lines().filter(|line| !line.trim().is_empty()).map(read_job).collect()
}

fn read_job(line: &str) -> Result<Job, String> {
    let fields: Vec<&str> = line.trim().splitn(4, '|').collect();
    let wrong = || format!("`{}` is not a job", Untrusted::from(line).display(80));
    let [id, user, state, gres] = fields.as_slice() else { return Err(wrong()) };
    let is_id = id.starts_with(|first: char| first.is_ascii_digit())
        && id.bytes().all(|byte| byte.is_ascii_digit() || b"_+[]-,%".contains(&byte));
    let is_state = !state.is_empty() && state.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_id || !is_state || id.len() > 64 {
        return Err(wrong());
    }
    Ok(Job { id: (*id).to_owned(), user: (*user).into(), state: (*state).to_owned(), gres: value(Some(gres)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const IDLE: &str = include_str!("../../tests/data/slurm-22.05-node-idle.txt");
    const DRAINING: &str = include_str!("../../tests/data/slurm-22.05-node-draining.txt");
    const DRAINED: &str = include_str!("../../tests/data/slurm-22.05-node-drained.txt");
    const BY_HAND: &str = include_str!("../../tests/data/slurm-22.05-node-down-drained-by-hand.txt");

    #[test]
    fn an_idle_node_has_no_reason() {
        let node = read_node(IDLE, "gpu01").unwrap();
        assert_eq!(node.state, ["IDLE"]);
        assert!(!node.drained() && node.reason.is_none() && node.reason_by.is_none());
        assert_eq!(node.gres.unwrap().raw(), "gpu:h200:4");
        assert_eq!(node.host.unwrap().raw(), "gpu01");
    }

    #[test]
    fn a_drained_node_that_still_works_is_draining() {
        let node = read_node(DRAINING, "gpu01").unwrap();
        assert!(node.draining() && node.drained());
        assert_eq!(node.reason.unwrap().raw(), "gpudeck:0123456789ab GPU has fallen = off; the bus");
        assert_eq!(node.reason_by.unwrap().raw(), "root");
        assert_eq!(node.reason_at.unwrap().rfc3339().unwrap(), "2026-11-23T17:04:40.000Z");
    }

    #[test]
    fn a_drained_node_without_jobs_is_drained_only() {
        let node = read_node(DRAINED, "gpu01").unwrap();
        assert!(!node.draining() && node.drained());
    }

    #[test]
    fn flags_behind_the_base_state_are_all_seen() {
        let node = read_node(BY_HAND, "gpu01").unwrap();
        assert_eq!(node.state, ["DOWN", "DRAIN", "NOT_RESPONDING"]);
        assert_eq!(node.reason.unwrap().raw(), "by hand2");
    }

    #[test]
    fn marks_behind_a_state_are_not_part_of_it() {
        for (text, state) in [
            ("IDLE*", vec!["IDLE", "NOT_RESPONDING"]),
            ("IDLE*+DRAIN", vec!["IDLE", "DRAIN", "NOT_RESPONDING"]),
            ("IDLE+CLOUD+POWERED_DOWN", vec!["IDLE", "CLOUD", "POWERED_DOWN"]),
            ("MIXED-", vec!["MIXED"]),
            ("IDLE~", vec!["IDLE"]),
        ] {
            assert_eq!(read_state(text).unwrap(), state, "{text}");
        }
        assert!(read_state("idle?").is_err() && read_state("").is_err() && read_state("*").is_err());
    }

    #[test]
    fn a_reason_cannot_forge_a_state_or_who_set_it() {
        let forged = IDLE.replace("State=IDLE", "State=IDLE+DRAIN").trim_end().to_owned()
            + "\n   Reason=x State=IDLE [mallory@2020-01-01T00:00:00] [root@2026-11-23T17:04:42]\n             State=IDLE\n\n";
        let node = read_node(&forged, "gpu01").unwrap();
        assert!(node.drained());
        assert_eq!(node.reason_by.unwrap().raw(), "root");
    }

    #[test]
    fn another_node_or_several_are_not_taken_for_ours() {
        assert!(read_node(IDLE, "gpu02").unwrap_err().contains("not about gpu02"));
        assert!(read_node(&format!("{IDLE}{IDLE}"), "gpu01").unwrap_err().contains("several"));
        assert!(read_node("", "gpu01").unwrap_err().contains("NodeName"));
        assert!(read_node("NodeName=gpu01 Arch=x86_64", "gpu01").unwrap_err().contains("State"));
    }

    #[test]
    fn jobs_are_read_and_what_is_none_is_not_guessed() {
        let jobs = read_jobs("17|ada|R|gres:gpu:2\n18_3|bob|CG|N/A\n").unwrap();
        assert_eq!(jobs.len(), 2);
        assert_eq!((jobs[0].id.as_str(), jobs[0].user.raw()), ("17", "ada"));
        assert_eq!(jobs[0].gres.as_ref().unwrap().raw(), "gres:gpu:2");
        assert_eq!((jobs[1].state.as_str(), &jobs[1].gres), ("CG", &None));
        assert_eq!(read_jobs("").unwrap(), []);
        assert!(read_jobs("slurm says hello\n").is_err() && read_jobs("x|ada|R|N/A").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(?s).{0,200}", tail in "(?s)[ =\\[\\]@a-zA-Z*+\n]{0,80}") {
            drop(read_jobs(&text));
            drop(read_node(&text, "gpu01"));
            drop(read_node(&format!("NodeName=gpu01 State=IDLE+{text}\n   Reason={tail}"), "gpu01"));
        }
    }
}
