//! Slurm: what `scontrol` and `squeue` print, and the thin layer that runs them.

mod cli;
mod text;

pub use cli::{SlurmCli, SlurmSetup};
pub use text::{JOB_FORMAT, read_jobs, read_node};
