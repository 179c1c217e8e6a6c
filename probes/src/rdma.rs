//! RDMA ports: state, rate, and every counter that the driver has, by its own name.
//!
//! Facts: Linux `Documentation/ABI/stable/sysfs-class-infiniband`. Drivers differ in what they count and how they name
//! it (mlx5, bnxt_re, irdma, efa, rxe, …): all files are told of, and none needs to be there.

pub mod parse;
mod port;

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Draft, Entity};

use crate::tree::{self, Directory};
use crate::{Node, Polled};
use port::Port;

const DEVICES: &str = "/sys/class/infiniband";
/// How long between two searches for ports and what rarely changes, nanoseconds.
const SEARCH_EVERY_NS: u64 = 60_000_000_000;
/// The most ports told of; a node with virtual functions may have hundreds.
const MOST_PORTS: usize = 1_024;

/// The probe.
#[derive(Debug)]
pub struct Rdma {
    node: Node,
    /// The names of the devices at the last search.
    names: Vec<String>,
    ports: BTreeMap<Entity, Port>,
    /// Ports that are no longer there, to be told gone with the next Frame.
    leaving: Vec<Entity>,
    searched_at: Option<u64>,
}

impl Rdma {
    /// Reads this node.
    pub fn new(node: &Node) -> Self {
        Self { node: node.clone(), names: Vec::new(), ports: BTreeMap::new(), leaving: Vec::new(), searched_at: None }
    }
}

impl Polled for Rdma {
    fn period(&self) -> Duration {
        self.node.interval
    }

    fn read(&mut self, draft: &mut Draft) {
        draft.gone.append(&mut self.leaving);
        let mut state = "ok";
        let names = match Directory::open(&self.node, DEVICES).and_then(|directory| directory.names()) {
            Ok(names) => names,
            Err(error) => {
                // The last driver takes the directory with it: then every port is gone.
                state = tree::state_without_source(&error);
                let probe = Entity::Probe(draft.probe.clone());
                let _missing = tree::told::<()>(Err(error), DEVICES, &probe, draft);
                Vec::new()
            }
        };
        let now = tree::instant(draft);
        if names != self.names || tree::due(self.searched_at, now, SEARCH_EVERY_NS) {
            self.search(&names, draft);
            self.names = names;
            self.searched_at = Some(now);
        }
        for port in self.ports.values_mut() {
            port.read(draft);
        }
        tree::sign(draft, state);
    }
}

impl Rdma {
    fn search(&mut self, names: &[String], draft: &mut Draft) {
        let numbered = names.iter().flat_map(|name| {
            let ports = Directory::open(&self.node, format!("{DEVICES}/{name}/ports"));
            let numbers = ports.and_then(|ports| ports.names()).unwrap_or_default();
            numbers.into_iter().filter_map(move |number| Some((name, number.parse::<u32>().ok()?)))
        });
        let mut before = std::mem::take(&mut self.ports);
        let mut found = BTreeMap::new();
        for (name, number) in numbered.take(MOST_PORTS) {
            // A port that went away while it was looked for is not there.
            let Ok(mut port) = Port::find(&self.node, name, number) else { continue };
            let known = before.remove(&port.entity);
            if known.as_ref().is_none_or(|known| known.info != port.info) {
                draft.entities.push(port.info.clone());
            }
            if let Some(known) = &known {
                port.follow(known);
            }
            port.tell_facts(draft);
            found.insert(port.entity.clone(), port);
        }
        for port in before.into_values() {
            port.tell_lost(draft);
            self.leaving.push(port.entity);
        }
        self.ports = found;
    }
}
