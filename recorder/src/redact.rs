//! Redaction: a recording that can be handed to somebody else. Names of hosts, users, commands, containers, mounts and the
//! like become pseudonyms that still join: the same name has the same pseudonym in entities, labels, readings, events and
//! kernel lines. Times, PCI addresses, models, versions and every number stay, so that the diagnosis stays the same.
//!
//! What no table of [`policy`] knows is taken for a name; a kernel line that means nothing to any rule is left out. The
//! page for people is `docs/sharing.md`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use model::entity::GpuKey;
use model::{Dictionary, Entity, EntityInfo, Frame, Value};

mod frames;
pub mod key;
pub mod lines;
mod memo;
mod names;
pub mod policy;
mod scrub;
mod texts;

pub use key::{Key, KeyError};
pub use lines::{Known, Meaning};
use memo::Memo;
use names::Names;
pub use policy::Kind;
use policy::Treatment;
use texts::is_usual_interface;

use crate::header::Header;

/// No line and no message is longer; what is, is left out unread, so that hostile text costs no time.
const MOST_SCANNED: usize = 16 << 10;

/// How a piece is to be redacted.
pub struct Redaction<'a> {
    /// What pseudonyms are made with.
    pub key: Key,
    /// Keeps kernel lines and notes that mean nothing to any rule, with the names and addresses in them replaced. What is
    /// in them beside those, nobody has looked at.
    pub keep_lines: bool,
    /// What a kernel line means.
    pub meaning: &'a Meaning<'a>,
}

impl fmt::Debug for Redaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction")
            .field("key", &self.key)
            .field("keep_lines", &self.keep_lines)
            .finish_non_exhaustive()
    }
}

impl Redaction<'_> {
    /// What was done, for the header and for a person: what became pseudonyms, what was left out, what stayed.
    pub fn manifest(&self) -> BTreeMap<String, String> {
        let key = if self.key.is_given() { "given by the sender" } else { "random, kept nowhere" };
        let lines = if self.keep_lines {
            "all kept, names and addresses in them replaced"
        } else {
            "those that a rule reads are kept, names and addresses in them replaced; of the others only the length"
        };
        let notes = if self.keep_lines { "kept, names and addresses in them replaced" } else { "only their length" };
        BTreeMap::from(
            [
                ("method", "pseudonyms by HMAC-SHA-256, 40 bits (UUIDs 122 bits)"),
                ("key", key),
                ("key_fingerprint", self.key.fingerprint().as_str()),
                (
                    "pseudonyms",
                    "hosts, users, commands, containers, pods, jobs, mount points, paths, sources of mounts, serial \
                     numbers, UUIDs, boot ids, IP and hardware addresses, GUIDs, LIDs, interface names that somebody \
                     chose, texts that are not known to be harmless",
                ),
                ("kernel_lines", lines),
                ("notes", notes),
                (
                    "kept",
                    "times, numbers, PCI addresses, pids, models, versions, states, names of drivers and of their \
                     interfaces",
                ),
            ]
            .map(|(name, told)| (name.to_owned(), told.to_owned())),
        )
    }
}

/// Redacts the Frames of one recording: it is shown all of them once, and then hands them out redacted.
#[derive(Debug)]
pub(crate) struct Redactor<'a> {
    redaction: &'a Redaction<'a>,
    names: Names,
    left_out: Cell<u64>,
    /// Texts with the names in them replaced.
    texts: Memo<Vec<u8>, Vec<u8>>,
    /// Ids of devices and what stands for them.
    devices: Memo<String, String>,
}

impl<'a> Redactor<'a> {
    pub(crate) fn new(redaction: &'a Redaction<'a>) -> Self {
        Self {
            redaction,
            names: Names::default(),
            left_out: Cell::new(0),
            texts: Memo::default(),
            devices: Memo::default(),
        }
    }

    /// Kernel lines and notes of which only the length was kept so far.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.get()
    }

    /// Takes in the names that a header tells.
    pub(crate) fn learn_header(&mut self, header: &Header) {
        for (name, fact) in header.host.iter().chain(&header.driver) {
            self.learn_text(policy::fact(name), fact.raw());
        }
    }

    /// Takes in the names that a Frame tells.
    pub(crate) fn learn(&mut self, frame: &Frame, dictionary: &Dictionary) {
        for info in &frame.entities {
            self.learn_entity(&info.entity);
            info.parent.iter().chain(&info.linked).for_each(|entity| self.learn_entity(entity));
            if let Treatment::Name(kind) = label_of(info) {
                self.learn_text(Treatment::Name(kind), info.label.raw());
            }
        }
        frame.declares.iter().for_each(|def| self.learn_entity(&def.key.entity));
        for (id, reading) in &frame.samples {
            if let (Some(text), Some(key)) = (reading.value().and_then(Value::as_text), dictionary.key(*id)) {
                self.learn_text(policy::reading(key.metric.as_str()), text.raw());
            }
        }
        for event in &frame.events {
            event.entity.iter().for_each(|entity| self.learn_entity(entity));
            for (name, field) in &event.fields {
                if let Some(text) = field.as_text() {
                    self.learn_text(policy::field(name), text);
                }
            }
        }
        frame.faults.iter().filter_map(|fault| fault.entity.as_ref()).for_each(|entity| self.learn_entity(entity));
    }

    /// Everything has been shown.
    pub(crate) fn complete(&mut self) {
        self.names.complete();
        self.texts.clear();
    }

    fn learn_text(&mut self, treatment: Treatment, text: &str) {
        match treatment {
            // Words of an unknown metric would be looked for in every line.
            Treatment::Name(Kind::Text) | Treatment::Keep | Treatment::Scrub | Treatment::Note => {}
            Treatment::Name(Kind::Interface) if is_usual_interface(text) => {}
            Treatment::Name(Kind::Mount) if policy::is_system_mount(text) => {}
            Treatment::Name(Kind::Command) => {
                if !self.names.learn(&self.redaction.key, Kind::Command, text) || text.len() > MOST_SCANNED {
                    return;
                }
                // The paths and addresses of a command line, each by its own kind.
                for (start, end, kind) in scrub::find(text.as_bytes()) {
                    if let Some(part) = text.get(start..end).filter(|part| *part != text) {
                        self.names.learn(&self.redaction.key, kind, part);
                    }
                }
            }
            Treatment::Name(kind) => {
                self.names.learn(&self.redaction.key, kind, text);
            }
        }
    }

    fn learn_entity(&mut self, entity: &Entity) {
        let (kind, name) = match entity {
            Entity::Mount(path) => (Kind::Mount, path),
            Entity::Container(id) => (Kind::Container, id),
            Entity::Job(id) => (Kind::Job, id),
            Entity::Interface(name) | Entity::RdmaPort(name, _) => (Kind::Interface, name),
            Entity::Gpu(GpuKey::Uuid(uuid)) | Entity::NvLink(GpuKey::Uuid(uuid), _) | Entity::Mig(uuid) => {
                return self.names.learn_as(uuid, &self.device_id(uuid));
            }
            _ => return,
        };
        self.learn_text(Treatment::Name(kind), name);
    }
}

/// What becomes of an entity's label.
fn label_of(info: &EntityInfo) -> Treatment {
    match info.entity {
        Entity::Node => Treatment::Name(Kind::Host),
        Entity::Process(..) => Treatment::Name(Kind::Command),
        Entity::Container(_) => Treatment::Name(Kind::Container),
        Entity::Job(_) => Treatment::Name(Kind::Job),
        Entity::Mount(_) => Treatment::Name(Kind::Mount),
        Entity::Interface(_) => Treatment::Name(Kind::Interface),
        // Names of products, from pci.ids.
        Entity::Pci(_) => Treatment::Scrub,
        _ if is_ours(info.label.raw()) => Treatment::Keep,
        _ => Treatment::Name(Kind::Label),
    }
}

/// Whether a label is one that gpudeck's probes give: `GPU 3`, `NVLink 17`, `NUMA 0`, `MIG 1g.10gb`.
fn is_ours(label: &str) -> bool {
    const WORDS: &[&str] = &["GPU", "MIG", "NVLink", "NVSwitch", "NUMA", "GI", "CI", "port", "link"];
    let number = |word: &str| word.len() < 12 && word.starts_with(|first: char| first.is_ascii_digit());
    label.split_whitespace().all(|word| WORDS.contains(&word) || number(word))
}

#[cfg(test)]
mod tests;
