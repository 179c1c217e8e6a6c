//! FUSE.
use crate::{Node, Outlet};
/// Runs the probe until it is asked to stop.
pub fn run(_node: &Node, _outlet: &Outlet) {}
