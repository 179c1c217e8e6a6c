//! Recordings to test with: a small node whose series come and go, with every quality and kind of value.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses a part")]

pub mod sealed;
pub mod tmpfs;

use std::path::Path;

use model::{
    BootId, Dictionary, Draft, Entity, EntityInfo, Event, Frame, KernelRecord, Reading, Stamp, Value, catalogue, event,
};
use recorder::{Header, Recording, Sync, Writer};

pub const S: u64 = 1_000_000_000;
pub const EPOCH: i64 = 1_795_000_000_000_000_000;

pub fn stamp(ns: u64) -> Stamp {
    Stamp::new(ns, EPOCH + i64::try_from(ns).unwrap())
}

pub fn header() -> Header {
    Header::new(BootId("b00t".to_owned()), stamp(0), S).host("hostname", "node7").driver("driver_version", "580.1")
}

/// A deterministic source of variety.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

pub fn reading(dice: &mut Dice) -> Reading {
    match dice.roll(10) {
        0 => Reading::Unsupported,
        1 => Reading::Denied,
        2 => Reading::Lost,
        3 => Reading::Stuck(dice.roll(1 << 40), "nvmlDeviceGetTemperature".to_owned()),
        4 => Reading::Stale(Value::Count(dice.roll(100)), dice.roll(S)),
        5 => Reading::from("P0 \u{1b}[31m"),
        6 => Reading::from(true),
        7 => Reading::from(f64::from(u32::try_from(dice.roll(1000)).unwrap()) / 8.0),
        _ => Reading::from(dice.roll(3)),
    }
}

/// `count` Frames of three probes, of which one samples every 60 s, with series and entities that appear late.
pub fn frames(count: u64, seed: u64) -> Vec<Frame> {
    let mut dice = Dice(seed | 1);
    let mut dictionary = Dictionary::default();
    (0..count)
        .map(|number| {
            let at = stamp(S + number / 3 * S + number % 3 * 1_000_000);
            let mut draft = match number % 3 {
                0 => {
                    let mut draft = Draft::new("nvml", at);
                    for gpu in 0..4.min(1 + number / 10) {
                        let entity = Entity::gpu(format!("GPU-{gpu}"));
                        if number % 30 == 0 {
                            draft.entities.push(EntityInfo::new(entity.clone(), format!("GPU {gpu}")));
                        }
                        draft.read(&entity, catalogue::GPU_TEMP, reading(&mut dice));
                        draft.read(&entity, catalogue::GPU_POWER, reading(&mut dice));
                        draft.read(&entity, catalogue::GPU_ENERGY, number * 100 + gpu);
                    }
                    draft
                }
                1 => {
                    let mut draft = Draft::new("process", at);
                    let process = Entity::Process(100 + u32::try_from(number / 12).unwrap(), 5);
                    if number % 12 == 1 {
                        draft.entities.push(EntityInfo::new(process.clone(), "python \u{202e}train.py"));
                    }
                    draft.read(&process, catalogue::GPU_MEM_USED, dice.roll(1 << 30));
                    if number % 12 == 10 {
                        draft.gone.push(process);
                        draft.samples.clear();
                    }
                    draft
                }
                _ => {
                    let mut draft = Draft::new("host", at);
                    if number % 180 == 2 {
                        draft.read(&Entity::Node, catalogue::GPU_UTIL, dice.roll(100));
                    }
                    if dice.roll(5) == 0 {
                        let mut line = Event::new(Stamp { real_ns: None, ..at }, event::KERNEL_LINE);
                        line.record = Some(KernelRecord {
                            text: b"NVRM: Xid (PCI:0000:4f:00): 79, \xff fell off the bus\\x0a".to_vec(),
                            sequence: Some(number),
                            priority: Some(3),
                            facility: Some(0),
                            dictionary: vec![("SUBSYSTEM".to_owned(), "pci".to_owned())],
                            line: None,
                        });
                        draft.events.push(line);
                    }
                    draft.fault("open", None, "no such file");
                    draft
                }
            };
            draft.boot = BootId("b00t".to_owned());
            let mut frame = draft.seal(&mut dictionary);
            frame.seq = number + 1;
            frame
        })
        .collect()
}

pub fn write(path: &Path, frames: &[Frame]) {
    let mut writer = Writer::create(path, &header(), Sync::Off).unwrap();
    for frame in frames {
        assert_eq!(writer.append(frame), recorder::Appended::Written);
    }
    writer.finish().unwrap();
}

/// The Frames with named series, and what damage was met.
pub fn read(path: &Path) -> (Vec<Draft>, Vec<recorder::Damage>) {
    let recording = Recording::open(path).unwrap();
    let mut frames = recording.frames();
    let (mut read, mut damage) = (Vec::new(), Vec::new());
    while let Some(next) = frames.next() {
        match next {
            Ok(frame) => read.push(frame.named(frames.dictionary())),
            Err(found) => damage.push(found),
        }
    }
    (read, damage)
}

/// The same Frames with named series.
pub fn named(frames: &[Frame]) -> Vec<Draft> {
    let mut dictionary = Dictionary::default();
    frames
        .iter()
        .map(|frame| {
            dictionary.follow(frame);
            frame.named(&dictionary)
        })
        .collect()
}
