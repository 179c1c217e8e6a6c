//! A `libnvidia-ml.so` that plays a scenario.
//!
//! Built as a `cdylib` this crate exports NVIDIA's management library ABI (the one `nvml-wrapper-sys` describes) over
//! cards that exist only in a TOML file: their load, their processes, and what goes wrong with them and when. Every
//! number is a function of the scenario and its clock, so that two processes reading the same scenario with the same
//! epoch see the same node.
//!
//! Environment:
//! - `GPUDECK_NVML_SIM`: the scenario file; absent: eight healthy H100 in training. A file that cannot be read or is
//!   not a scenario makes `nvmlInit` fail with `NVML_ERROR_UNKNOWN` and says why on standard error.
//! - `GPUDECK_NVML_SIM_EPOCH`: scenario time zero as `CLOCK_MONOTONIC` nanoseconds; absent: the first `nvmlInit`.
//! - `GPUDECK_NVML_SIM_TRACE`: a file that gets one line for each call.
//!
//! The scenario language is described in this crate's `README.md`.

mod abi;
mod card;
mod clock;
mod fault;
mod gpu;
mod library;
mod load;
mod scenario;
mod symbols;

pub use card::Card;
pub use fault::{Calls, EccLocation, Fault, FaultKind, OneOrMany, RecoveryAction, ThrottleReason};
pub use load::Profile;
pub use scenario::{GpuSetup, LoadSpan, Pid, Process, ProcessType, Scenario, ScenarioError};
pub use symbols::{SymbolError, without_symbols};
