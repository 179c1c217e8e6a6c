//! Redaction: a recording that can be handed to somebody else. Names of hosts, users, commands, containers, mounts and the
//! like become pseudonyms that still join: the same name has the same pseudonym in entities, labels, readings, events and
//! kernel lines. Times, PCI addresses, models, versions and every number stay, so that the diagnosis stays the same.
//!
//! What no table of [`policy`] knows is taken for a name; a kernel line that means nothing to any rule is left out. The
//! page for people is `docs/sharing.md`.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use model::entity::GpuKey;
use model::{
    BootId, Dictionary, Entity, EntityInfo, Event, Field, Frame, KernelRecord, MetricName, ProbeFault, Reading,
    SeriesDef, SeriesKey, Untrusted, Value,
};
use regex::Regex;

pub mod key;
pub mod lines;
mod names;
pub mod policy;
mod scrub;

pub use key::{Key, KeyError};
pub use lines::{Known, Meaning};
use names::Names;
pub use policy::Kind;
use policy::Treatment;

use crate::header::{Facts, Header};

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
}

impl<'a> Redactor<'a> {
    pub(crate) fn new(redaction: &'a Redaction<'a>) -> Self {
        Self { redaction, names: Names::default(), left_out: Cell::new(0) }
    }

    /// Kernel lines and notes of which only the length was kept so far.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.get()
    }

    // Learning.

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

    // Redacting.

    /// The header with its facts redacted, and the manifest.
    pub(crate) fn header(&self, header: &Header) -> Header {
        let facts = |facts: &Facts| {
            facts.iter().map(|(name, fact)| (name.clone(), self.text(policy::fact(name), fact).into_owned())).collect()
        };
        Header {
            boot: self.boot(&header.boot),
            host: facts(&header.host),
            driver: facts(&header.driver),
            redaction: Some(self.redaction.manifest()),
            ..header.clone()
        }
    }

    /// A Frame without the names of anybody. `dictionary`: what its series are.
    pub(crate) fn frame<'d>(&self, frame: Frame, key_of: impl Fn(model::SeriesId) -> Option<&'d SeriesKey>) -> Frame {
        let sample = |(id, reading)| {
            // A series that nobody knows has no metric, and what no table knows is a name.
            let treatment = key_of(id).map_or(Treatment::Name(Kind::Text), |key| policy::reading(key.metric.as_str()));
            (id, self.reading(treatment, reading))
        };
        Frame {
            probe: self.probe(&frame.probe),
            boot: self.boot(&frame.boot),
            declares: frame.declares.iter().map(|def| self.def(def)).collect(),
            entities: frame.entities.iter().map(|info| self.info(info)).collect(),
            gone: frame.gone.iter().map(|entity| self.entity(entity)).collect(),
            samples: frame.samples.into_iter().map(sample).collect(),
            events: frame.events.iter().map(|event| self.event(event)).collect(),
            faults: frame.faults.iter().map(|fault| self.fault(fault)).collect(),
            ..frame
        }
    }

    fn def(&self, def: &SeriesDef) -> SeriesDef {
        let metric = match def.key.metric.metric() {
            Some(_) => def.key.metric.clone(),
            None => MetricName::raw(self.scrubbed(def.key.metric.as_str(), &[])),
        };
        SeriesDef { id: def.id, key: SeriesKey { entity: self.entity(&def.key.entity), metric } }
    }

    fn info(&self, info: &EntityInfo) -> EntityInfo {
        EntityInfo {
            entity: self.entity(&info.entity),
            label: self.label(info),
            parent: info.parent.as_ref().map(|parent| self.entity(parent)),
            pci: info.pci,
            numa: info.numa,
            linked: info.linked.iter().map(|entity| self.entity(entity)).collect(),
        }
    }

    fn label(&self, info: &EntityInfo) -> Untrusted {
        match &info.entity {
            // The label repeats the name.
            Entity::RdmaPort(device, port) if info.label.raw() == format!("{device}/{port}") => {
                format!("{}/{port}", self.interface(device)).into()
            }
            _ => self.text(label_of(info), &info.label).into_owned(),
        }
    }

    fn entity(&self, entity: &Entity) -> Entity {
        let gpu = |key: &GpuKey| match key {
            GpuKey::Uuid(uuid) => GpuKey::Uuid(self.device_id(uuid)),
            GpuKey::Pci(pci) => GpuKey::Pci(*pci),
        };
        match entity {
            Entity::Node | Entity::Numa(_) | Entity::Pci(_) | Entity::NvSwitch(_) | Entity::Process(..) => {
                entity.clone()
            }
            Entity::Gpu(key) => Entity::Gpu(gpu(key)),
            Entity::NvLink(key, link) => Entity::NvLink(gpu(key), *link),
            Entity::Mig(uuid) => Entity::Mig(self.device_id(uuid)),
            Entity::RdmaPort(device, port) => Entity::RdmaPort(self.interface(device), *port),
            Entity::Interface(name) => Entity::Interface(self.interface(name)),
            Entity::Mount(path) if policy::is_system_mount(path) => entity.clone(),
            Entity::Mount(path) => Entity::Mount(self.pseudonym(Kind::Mount, path)),
            Entity::Container(id) => Entity::Container(self.pseudonym(Kind::Container, id)),
            Entity::Job(id) => Entity::Job(self.pseudonym(Kind::Job, id)),
            Entity::Probe(name) => Entity::Probe(self.probe(name)),
        }
    }

    /// `GPU-…`, `MIG-…`, `MIG-GPU-…/1/0`: another UUID, the rest as it is.
    fn device_id(&self, id: &str) -> String {
        static SHAPE: OnceLock<Regex> = OnceLock::new();
        let shape = SHAPE.get_or_init(|| {
            Regex::new(r"^((?:MIG-)?(?:GPU-)?)(.*?)((?:/\d{1,4}){0,2})$").expect("the expression is tested")
        });
        let part =
            |captures: &regex::Captures<'_>, group| captures.get(group).map_or("", |part| part.as_str()).to_owned();
        match shape.captures(id) {
            Some(parts) if !part(&parts, 2).is_empty() => {
                format!("{}{}{}", part(&parts, 1), self.redaction.key.uuid(&part(&parts, 2)), part(&parts, 3))
            }
            _ => self.redaction.key.uuid(id),
        }
    }

    /// The kernel's own names for interfaces say nothing; those that somebody gave, and those with a hardware address in
    /// them, do.
    fn interface(&self, name: &str) -> String {
        if is_usual_interface(name) { name.to_owned() } else { self.pseudonym(Kind::Interface, name) }
    }

    fn probe(&self, name: &str) -> String {
        let ours = name.len() <= 24
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'0'..=b'9'));
        if ours { name.to_owned() } else { self.pseudonym(Kind::Label, name) }
    }

    fn boot(&self, boot: &BootId) -> BootId {
        if boot.0.is_empty() { boot.clone() } else { BootId(self.redaction.key.uuid(&boot.0)) }
    }

    fn reading(&self, treatment: Treatment, reading: Reading) -> Reading {
        let value = |value: Value| match value {
            Value::Text(text) => Value::Text(self.text(treatment, &text).into_owned()),
            number => number,
        };
        match reading {
            Reading::Good(good) => Reading::Good(value(good)),
            Reading::Stale(stale, age) => Reading::Stale(value(stale), age),
            Reading::Stuck(since, call) => Reading::Stuck(since, self.scrubbed(&call, &[])),
            other => other,
        }
    }

    fn event(&self, event: &Event) -> Event {
        let fields = event.fields.iter().map(|(name, field)| (name.clone(), self.field(name, field))).collect();
        let kind = match policy_word(&event.kind) {
            true => event.kind.clone(),
            false => Cow::Owned(self.pseudonym(Kind::Text, &event.kind)),
        };
        let redacted =
            Event { kind, entity: event.entity.as_ref().map(|entity| self.entity(entity)), fields, ..event.clone() };
        match &event.record {
            Some(record) => Event { record: Some(self.record(event, record)), ..redacted },
            None => redacted,
        }
    }

    fn field(&self, name: &str, field: &Field) -> Field {
        match field {
            Field::Text(text) => Field::Text(self.text(policy::field(name), text).into_owned()),
            Field::List(list) => Field::List(list.iter().map(|field| self.field(name, field)).collect()),
            other => other.clone(),
        }
    }

    /// A kernel line that means something still means the same, or it is left out.
    fn record(&self, event: &Event, record: &KernelRecord) -> KernelRecord {
        let known = (self.redaction.meaning)(event);
        let names = known.as_ref().map_or(&[][..], |known| known.names.as_slice());
        let redacted = KernelRecord {
            text: self.scrubbed_bytes(&record.text, names),
            dictionary: record.dictionary.iter().map(|(name, told)| (name.clone(), self.device(name, told))).collect(),
            ..record.clone()
        };
        let means = |record: &KernelRecord| {
            let event = Event { record: Some(record.clone()), ..event.clone() };
            (self.redaction.meaning)(&event).map(|known| known.gist)
        };
        match known {
            Some(known) if means(&redacted).as_ref() == Some(&known.gist) => redacted,
            None if self.redaction.keep_lines => redacted,
            _ => KernelRecord { text: self.leave_out(record.text.len()).into_bytes(), ..redacted },
        }
    }

    /// The values of a record's dictionary: `SUBSYSTEM=pci`, `DEVICE=+pci:0000:4f:00.0`, `DEVICE=c195:0`.
    fn device(&self, name: &str, told: &str) -> String {
        let usual = match name {
            "SUBSYSTEM" => policy_word(told),
            "DEVICE" => {
                told.strip_prefix("+pci:").is_some_and(|pci| pci.parse::<model::PciAddress>().is_ok())
                    || (told.len() < 16 && told.bytes().skip(1).all(|byte| byte.is_ascii_digit() || byte == b':'))
            }
            _ => false,
        };
        if usual { told.to_owned() } else { self.pseudonym(Kind::Text, told) }
    }

    fn fault(&self, fault: &ProbeFault) -> ProbeFault {
        // What a worker said before it died may be anything.
        let why = if fault.call == "worker" { Treatment::Note } else { Treatment::Scrub };
        ProbeFault {
            call: self.scrubbed(&fault.call, &[]),
            entity: fault.entity.as_ref().map(|entity| self.entity(entity)),
            why: self.text(why, &fault.why).into_owned(),
            advice: fault.advice.as_ref().map(|advice| self.scrubbed(advice, &[])),
        }
    }

    fn text<'t>(&self, treatment: Treatment, text: &'t Untrusted) -> Cow<'t, Untrusted> {
        let raw = text.raw();
        // An empty text is the answer that there is none.
        if raw.is_empty() {
            return Cow::Borrowed(text);
        }
        let told = match treatment {
            Treatment::Keep => return Cow::Borrowed(text),
            Treatment::Note if !self.redaction.keep_lines => self.leave_out(raw.len()),
            Treatment::Scrub | Treatment::Note => self.scrubbed(raw, &[]),
            Treatment::Name(Kind::Interface) => self.interface(raw),
            Treatment::Name(Kind::Mount) if policy::is_system_mount(raw) => return Cow::Borrowed(text),
            Treatment::Name(Kind::Uuid) => self.device_id(raw),
            Treatment::Name(kind) => self.pseudonym(kind, raw),
        };
        Cow::Owned(told.into())
    }

    fn leave_out(&self, bytes: usize) -> String {
        self.left_out.set(self.left_out.get() + 1);
        lines::left_out(bytes)
    }

    fn pseudonym(&self, kind: Kind, name: &str) -> String {
        self.names.pseudonym(&self.redaction.key, kind, name.trim())
    }

    fn scrubbed(&self, text: &str, also: &[(Kind, String)]) -> String {
        String::from_utf8_lossy(&self.scrubbed_bytes(text.as_bytes(), also)).into_owned()
    }

    /// The text with every name replaced, in one pass, so that no pseudonym is taken for a name again.
    fn scrubbed_bytes(&self, text: &[u8], also: &[(Kind, String)]) -> Vec<u8> {
        if text.len() > MOST_SCANNED {
            return self.leave_out(text.len()).into_bytes();
        }
        let mut places: Vec<(usize, usize, Cow<'_, str>)> =
            self.names.find(text).map(|(start, end, pseudonym)| (start, end, Cow::Borrowed(pseudonym))).collect();
        for (start, end, kind) in scrub::find(text) {
            let name = text.get(start..end).unwrap_or_default();
            places.push((start, end, Cow::Owned(self.in_text(kind, &String::from_utf8_lossy(name)))));
        }
        for (kind, name) in also.iter().filter(|(_, name)| !name.is_empty()) {
            for start in occurrences(text, name.as_bytes()) {
                places.push((start, start + name.len(), Cow::Owned(self.in_text(*kind, name))));
            }
        }
        if places.is_empty() {
            return text.to_vec();
        }
        // Of those that overlap the first counts, and of those the longest.
        places.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
        let (mut shown, mut until) = (Vec::with_capacity(text.len()), 0);
        for (start, end, pseudonym) in places {
            if start >= until {
                shown.extend_from_slice(text.get(until..start).unwrap_or_default());
                shown.extend_from_slice(pseudonym.as_bytes());
                until = end;
            } else if end > until {
                // The rest of a name that begins inside another.
                until = end;
            }
        }
        shown.extend_from_slice(text.get(until..).unwrap_or_default());
        shown
    }

    fn in_text(&self, kind: Kind, name: &str) -> String {
        match kind {
            Kind::Interface => self.interface(name),
            Kind::Path => self.names.path(&self.redaction.key, name),
            kind => self.pseudonym(kind, name),
        }
    }
}

/// Where a name stands by itself in a text.
fn occurrences<'t>(text: &'t [u8], name: &'t [u8]) -> impl Iterator<Item = usize> + 't {
    let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    text.windows(name.len()).enumerate().filter_map(move |(start, found)| {
        let alone =
            !word(start.checked_sub(1).and_then(|before| text.get(before))) && !word(text.get(start + name.len()));
        (found == name && alone).then_some(start)
    })
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

/// Whether it is an identifier as programs have them.
fn policy_word(text: &str) -> bool {
    text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-' | b'0'..=b'9'))
}

/// The names that the kernel, udev and the RDMA drivers give by themselves (systemd.net-naming-scheme(7)); `enx…` holds a
/// hardware address and is not among them.
fn is_usual_interface(name: &str) -> bool {
    static USUAL: OnceLock<Regex> = OnceLock::new();
    let usual = USUAL.get_or_init(|| {
        let numbered = r"(?:eth|em|ib|bond|usb|wlan|mlx[45]_|mlx5_bond_|bnxt_re|irdma|rxe|siw|hfi1_|qedr|efa_|erdma_|mana_|hns_|cxgb4_|i40iw|ionic_)\d{1,4}";
        let placed = r"(?:en|ib|ro|roce|rdma|wl)(?:o\d{1,5}|(?:P\d{1,5})?(?:p\d{1,3})?s\d{1,5})(?:[fdvi]\d{1,5}|np\d{1,5}|n\d{1,5})*";
        let expression = format!(r"^(?:lo|docker0|{numbered}|{placed})(?:[.:]\d{{1,4}})?$");
        Regex::new(&expression).expect("the expression is tested")
    });
    usual.is_match(name)
}

#[cfg(test)]
mod tests;
