//! Pcie.
use std::time::Duration;

use model::Draft;

use crate::{Node, Polled};

/// The probe.
#[derive(Debug)]
pub struct Pcie {
    node: Node,
}

impl Pcie {
    /// Reads this node.
    pub fn new(node: &Node) -> Self {
        Self { node: node.clone() }
    }
}

impl Polled for Pcie {
    fn period(&self) -> Duration {
        self.node.interval
    }

    fn read(&mut self, _draft: &mut Draft) {}
}
