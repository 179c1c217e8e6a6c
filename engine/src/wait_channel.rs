//! What the kernel says a process waits on (proc(5): `/proc/PID/task/TID/wchan` and `stat`).

use std::fs;
use std::path::Path;

/// The kernel function that the most deeply stuck thread of a process waits in: one in uninterruptible sleep if there is
/// one, else any that names a function. `None` when the kernel does not tell.
pub(crate) fn of_process(pid: u32) -> Option<String> {
    let mut sleeping = None;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten().take(256) {
        let Some(function) = wait_function(&task.path()) else { continue };
        if is_uninterruptible(&task.path()) {
            return Some(function);
        }
        sleeping.get_or_insert(function);
    }
    sleeping
}

fn wait_function(task: &Path) -> Option<String> {
    let text = fs::read_to_string(task.join("wchan")).ok()?;
    let function = text.trim();
    (!function.is_empty() && function != "0").then(|| function.chars().take(64).collect())
}

fn is_uninterruptible(task: &Path) -> bool {
    let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
    // The state follows the command name in brackets, which may itself hold brackets and spaces.
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('D'))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_that_does_not_exist_waits_on_nothing() {
        assert_eq!(super::of_process(u32::MAX), None);
    }
}
