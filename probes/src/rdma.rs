//! Rdma.
use std::time::Duration;

use model::Draft;

use crate::{Node, Polled};

/// The probe.
#[derive(Debug)]
pub struct Rdma {
    node: Node,
}

impl Rdma {
    /// Reads this node.
    pub fn new(node: &Node) -> Self {
        Self { node: node.clone() }
    }
}

impl Polled for Rdma {
    fn period(&self) -> Duration {
        self.node.interval
    }

    fn read(&mut self, _draft: &mut Draft) {}
}
