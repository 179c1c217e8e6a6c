//! The kernel log: a line now and then, and a storm of them when a GPU is gone.

use model::{Event, KernelRecord, Stamp, event};

use crate::layout::address;
use crate::load::{LOST_GPU, Load};
use crate::meter::Meter;

/// The lines of one second, with the microseconds after its start at which the kernel wrote them.
pub(crate) fn lines(meter: &mut Meter, load: Load, storm_began: bool, sequence: &mut u64) -> Vec<(u64, KernelRecord)> {
    let Some(gpu) = address(LOST_GPU) else { return Vec::new() };
    let mut texts = Vec::new();
    if storm_began {
        texts.push((
            2,
            format!("NVRM: Xid (PCI:{}): 79, pid=41203, name=python, GPU has fallen off the bus.", short(gpu)),
        ));
        texts.push((2, format!("NVRM: GPU {gpu}: GPU has fallen off the bus.")));
    }
    if load.storm {
        for _ in 0..4 {
            let id = meter.one_of(1 << 16);
            texts.push((
                3,
                format!("pcieport 0000:5c:01.0: AER: Corrected error message received from {gpu} id {id:04x}"),
            ));
        }
        texts.push((4, format!("{gpu}: PCIe Bus Error: severity=Corrected, type=Data Link Layer, (Receiver ID)")));
    }
    if meter.happens(75) {
        let number = meter.one_of(1 << 14);
        texts.push(match meter.one_of(4) {
            0 => (
                6,
                format!("perf: interrupt took too long ({number} > 2500), lowering kernel.perf_event_max_sample_rate"),
            ),
            1 => (6, format!("docker0: port 1(veth{number:05x}) entered forwarding state")),
            2 => (6, format!("nvidia-uvm: Loaded the UVM driver, major device number {}.", number % 512)),
            _ => (5, format!("audit: type=1400 audit({number}): apparmor=\"STATUS\" operation=\"profile_replace\"")),
        });
    }
    let mut written = |(priority, text): (u8, String)| {
        *sequence += 1;
        let record = KernelRecord {
            text: text.into_bytes(),
            sequence: Some(*sequence),
            priority: Some(priority),
            facility: Some(0),
            dictionary: Vec::new(),
            line: None,
        };
        (meter.one_of(900_000), record)
    };
    let mut lines: Vec<_> = texts.into_iter().map(&mut written).collect();
    lines.sort_by_key(|(after, record)| (*after, record.sequence));
    lines
}

/// As the driver writes an address: without its function.
fn short(address: model::PciAddress) -> String {
    let text = address.to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(device, _)| device.to_owned())
}

/// A line as an event.
pub(crate) fn event(at: Stamp, record: KernelRecord) -> Event {
    Event { record: Some(record), ..Event::new(at, event::KERNEL_LINE) }
}
