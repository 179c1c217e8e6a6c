//! One module per family of kernel lines, tried in order: each reads a line by its grammar or leaves it to the next.

mod aer;
mod amdgpu;
mod host;
mod memory;
mod nic;
mod nvrm;
mod stack;
mod storage;
mod sxid;
mod xid;

use std::borrow::Cow;

use model::{Entity, Field, Fields, GpuKey, Verdict};

use crate::knowledge::{self, DriverVersion};
use crate::scan::{Scan, address};

/// What a reading may depend on beside the line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Context {
    pub(crate) driver: Option<DriverVersion>,
}

type Family = fn(&str, Context) -> Option<Decoded>;

/// In order: a line that begins like a device line is first asked whether it is an AER line, since every driver's device
/// can report one.
const FAMILIES: &[Family] = &[
    xid::read,
    sxid::read,
    nvrm::read,
    aer::read,
    amdgpu::read,
    nic::read,
    host::read,
    memory::read,
    storage::read,
    stack::read,
];

/// The first reading of a line's text, which is trimmed.
pub(crate) fn read(text: &str, context: Context) -> Option<Decoded> {
    FAMILIES.iter().find_map(|family| family(text, context))
}

/// What a line says.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    pub(crate) kind: &'static str,
    pub(crate) entity: Option<Entity>,
    pub(crate) fields: Fields,
    pub(crate) verdict: Option<Verdict>,
}

impl Decoded {
    /// Of this kind, about the node, judged as the common row of the kind.
    fn new(kind: &'static str) -> Self {
        let verdict = knowledge::line(kind, None).map(knowledge::LineEntry::verdict);
        Self { kind, entity: Some(Entity::Node), fields: Fields::new(), verdict }
    }

    fn with(mut self, name: &'static str, field: impl Into<Field>) -> Self {
        self.fields.insert(Cow::Borrowed(name), field.into());
        self
    }

    fn with_some(self, name: &'static str, field: Option<impl Into<Field>>) -> Self {
        match field {
            Some(field) => self.with(name, field),
            None => self,
        }
    }

    fn about(self, entity: Entity) -> Self {
        Self { entity: Some(entity), ..self }
    }

    /// Field `event`, and judged by it.
    fn event(self, event: &'static str) -> Self {
        self.judged(event).with("event", event)
    }

    /// Judged by this row of the kind.
    fn judged(self, event: &str) -> Self {
        let verdict = knowledge::line(self.kind, Some(event)).map(knowledge::LineEntry::verdict);
        Self { verdict, ..self }
    }

    fn verdict(self, verdict: Verdict) -> Self {
        Self { verdict: Some(verdict), ..self }
    }

    /// Field `pci` as the line writes it, and about the PCI function there.
    fn at_pci(self, pci: &str) -> Self {
        self.placed(pci, Entity::Pci)
    }

    /// Field `pci` as the line writes it, and about the GPU there.
    fn at_gpu(self, pci: &str) -> Self {
        self.placed(pci, |pci| Entity::Gpu(GpuKey::Pci(pci)))
    }

    fn placed(self, pci: &str, entity: impl Fn(model::PciAddress) -> Entity) -> Self {
        let placed = self.with("pci", pci);
        match address(pci) {
            Some(address) => placed.about(entity(address)),
            None => placed,
        }
    }
}

/// The head of a `dev_printk` line: `driver 0000:4f:00.0: text`, with the interface's name for a network device
/// (`mlx5_core 0000:53:00.0 enp83s0f0np0: text`).
#[derive(Clone, Copy, Debug)]
struct Device<'a> {
    driver: &'a str,
    pci: &'a str,
    netif: Option<&'a str>,
    text: &'a str,
}

fn device(text: &str) -> Option<Device<'_>> {
    let mut scan = Scan::new(text);
    let driver = scan.some(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))?;
    scan.take(" ")?;
    let pci = scan.pci()?;
    let netif = if scan.maybe(" ") { Some(scan.some(|c| !c.is_whitespace() && c != ':')?) } else { None };
    scan.take(":")?;
    scan.spaces();
    Some(Device { driver, pci, netif, text: scan.rest() })
}

/// Whether the text holds any of these.
fn holds_any(text: &str, needles: &[&str]) -> bool {
    needles.iter().any(|needle| text.contains(needle))
}
