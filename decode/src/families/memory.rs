//! Out of memory. Formats: Linux `mm/oom_kill.c`, from 2.6 (`oomkilladj`, `Kill process N (x) score`) to 6.12
//! (`oom-kill:constraint=…`, `Killed process N (x) total-vm:…`).

use super::{Context, Decoded, holds_any};
use crate::scan::Scan;

pub(super) fn read(text: &str, _: Context) -> Option<Decoded> {
    summary(text).or_else(|| kill(text)).or_else(|| invoked(text))
}

/// `oom-kill:constraint=CONSTRAINT_MEMCG,…,task_memcg=/a,task=postgres,pid=12345,uid=1000`
fn summary(text: &str) -> Option<Decoded> {
    let said = text.strip_prefix("oom-kill:")?;
    let constraint = said.split_once("constraint=").and_then(|(_, after)| after.split(',').next());
    let (before, task) = said.rsplit_once(",task=")?;
    // A task's name may hold commas and equals signs; the last pid is the kernel's.
    let (name, rest) = task.rsplit_once(",pid=")?;
    let pid = Scan::new(rest).int()?;
    let group = before.rsplit_once("task_memcg=").map(|(_, group)| group);
    let decoded = Decoded::new("oom_kill").with("pid", pid).with("name", name);
    Some(decoded.with_some("constraint", constraint).with_some("memcg", group))
}

/// `[Memory cgroup out of memory: ]Kill(ed) process N[, UID 1000,] (name)[,] …`
fn kill(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    let cgroup = scan.maybe("Memory cgroup out of memory");
    if cgroup || scan.maybe("Out of memory") {
        // `Out of memory (oom_kill_allocating_task): Killed …`
        scan.until(": ")?;
    }
    if !(scan.maybe("Killed process ") || scan.maybe("Kill process ")) {
        return None;
    }
    let pid = scan.int()?;
    if !scan.maybe(" (") {
        scan.until(", (")?;
    }
    let behind = scan.rest();
    let ends = [") ", "), "].iter().filter_map(|end| behind.find(end)).min();
    let name = match ends {
        Some(end) => behind.split_at_checked(end).map(|(name, _)| name)?,
        None => behind.strip_suffix(')')?,
    };
    Some(Decoded::new("oom_kill").with("pid", pid).with("name", name).with("cgroup", cgroup))
}

/// `postgres invoked oom-killer: gfp_mask=…`
fn invoked(text: &str) -> Option<Decoded> {
    let (name, after) = text.split_once(" invoked oom-killer:")?;
    // A task's name has at most 15 bytes; anything longer quotes the line.
    let fits = !name.is_empty() && name.len() <= 16 && holds_any(after, &["gfp_mask", "gfp="]);
    fits.then(|| Decoded::new("oom_invoked").with("name", name))
}
