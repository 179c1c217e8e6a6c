//! Host.
use std::time::Duration;

use model::Draft;

use crate::{Node, Polled};

/// The probe.
#[derive(Debug)]
pub struct Host {
    node: Node,
}

impl Host {
    /// Reads this node.
    pub fn new(node: &Node) -> Self {
        Self { node: node.clone() }
    }
}

impl Polled for Host {
    fn period(&self) -> Duration {
        self.node.interval
    }

    fn read(&mut self, _draft: &mut Draft) {}
}
