//! Headers and Frames, redacted piece by piece.

use std::borrow::Cow;

use model::entity::GpuKey;
use model::{
    Entity, EntityInfo, Event, Field, Frame, KernelRecord, MetricName, ProbeFault, Reading, SeriesDef, SeriesKey,
    Untrusted, Value,
};

use super::policy::{self, Kind, Treatment};
use super::texts::is_identifier;
use super::{Redactor, label_of};
use crate::header::{Facts, Header};

impl Redactor<'_> {
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
        let kind = match is_identifier(&event.kind) {
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
            "SUBSYSTEM" => is_identifier(told),
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
}
