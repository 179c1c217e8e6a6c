//! Drain and reshare: plan, guard, execute, verify, undo, journal. The only code that changes a node.
//!
//! ```text
//! Incident ──► plan_drain / plan_undrain ──► Plan (shown) ──► typed name ──► execute ──► Outcome
//!                       │ reads                                  re-checks, journals, acts, reads back, journals
//!                       ▼                                                    │
//!                  Scheduler ◄──────────────────────────────────────────────┘
//! ```
//!
//! Everything that changes something is behind [`Scheduler`], and the only one that reaches a real scheduler is
//! [`SlurmCli`], which has one constructor, [`SlurmCli::on_this_node`]. Whoever shows a recording (replay, report,
//! diagnose) must not call it: without it a Plan can be neither made nor carried out. What an action may and may not
//! do is written in `docs/actions.md`.

pub mod drain;
pub mod execute;
pub mod journal;
pub mod mark;
mod program;
pub mod scheduler;
pub mod slurm;

pub use drain::{ActionError, plan_drain, plan_undrain};
pub use execute::{Clock, Outcome, Settled, execute, settle};
pub use journal::{Journal, JournalError};
pub use scheduler::{Fault, Job, NodeName, NodeStatus, Scheduler};
pub use slurm::{SlurmCli, SlurmSetup};
