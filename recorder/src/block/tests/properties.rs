//! Whatever Frames go in come back, and no bytes are too bad.

use model::{BootId, Entity, Event, Frame, Reading, SeriesDef, SeriesId, SeriesKey, Stamp, Value};
use proptest::prelude::*;

use super::*;
use crate::schema::Schema;

const SERIES: u32 = 9;

pub(super) fn schema(series: u32) -> Schema {
    let mut schema = Schema::default();
    for id in 0..series {
        let metric = model::MetricName::raw(["gpu_power", "gpu_temp", "link_tx"][(id % 3) as usize]);
        let key = SeriesKey { entity: Entity::gpu(format!("GPU-{}", id / 3)), metric };
        assert!(schema.add(SeriesDef { id: SeriesId(id * 7 % 31 + 3), key }));
    }
    schema
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0..5u64).prop_map(Value::Count),
        1 => any::<u64>().prop_map(Value::Count),
        1 => Just(Value::Count(u64::MAX)),
        4 => (0..400i32).prop_map(|n| Value::Number(f64::from(n) / 10.0)),
        2 => (0..400i32).prop_map(|n| Value::Number(f64::from(n) * 0.1)),
        1 => any::<f64>().prop_map(Value::Number),
        1 => prop_oneof![Just(-0.0), Just(f64::NAN), Just(f64::INFINITY)].prop_map(Value::Number),
        1 => any::<bool>().prop_map(Value::Flag),
        2 => "[a-c]{0,2}".prop_map(|text| Value::Text(text.into())),
    ]
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        12 => value().prop_map(Reading::Good),
        1 => (value(), any::<u64>()).prop_map(|(value, age)| Reading::Stale(value, age)),
        1 => Just(Reading::Unsupported),
        1 => Just(Reading::Denied),
        1 => (any::<u64>(), "[a-c]{0,2}").prop_map(|(since, call)| Reading::Stuck(since, call)),
        1 => Just(Reading::Lost),
    ]
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (proptest::option::of(any::<u64>()), proptest::option::of(any::<i64>()))
        .prop_map(|(mono_ns, real_ns)| Stamp { mono_ns, real_ns })
}

/// Values that go on from the one before, as those of a node do, or leap.
fn kind_of(id: u32, reading: Reading) -> Reading {
    match (id % 3, reading) {
        (0, Reading::Good(Value::Number(number))) => Reading::Good(Value::Count(number.to_bits() >> 50)),
        (_, other) => other,
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    let ids = prop_oneof![
        2 => Just((0..SERIES).collect::<Vec<_>>()),
        1 => proptest::collection::vec(0..SERIES, 0..12),
    ];
    let samples = ids.prop_flat_map(|ids| ids.into_iter().map(|id| (Just(id), reading())).collect::<Vec<_>>());
    (samples, stamp(), any::<u64>(), any::<u64>(), 0..3u8, any::<bool>()).prop_map(
        |(samples, at, seq, took_us, which, burst)| Frame {
            probe: format!("probe{which}"),
            boot: BootId(format!("boot{}", which / 2)),
            seq,
            at,
            took_us,
            declares: Vec::new(),
            entities: Vec::new(),
            gone: (which == 2).then(|| Entity::gpu("GPU-9")).into_iter().collect(),
            samples: samples
                .into_iter()
                .map(|(id, reading)| (SeriesId(id * 7 % 31 + 3), kind_of(id, reading)))
                .collect(),
            events: (which == 1)
                .then(|| Event::new(at, model::event::MARK).with("text", "hello"))
                .into_iter()
                .collect(),
            faults: Vec::new(),
            burst,
        },
    )
}

pub(super) fn sealed(frames: &[Frame], schema: &Schema) -> Sealed {
    let mut builder = Builder::default();
    frames.iter().for_each(|frame| builder.push(frame));
    assert_eq!(builder.frames(), frames.len());
    builder.seal(schema)
}

/// As bytes, so that what is not a number equals itself.
fn wire(frames: &[Frame]) -> Vec<u8> {
    rmp_serde::to_vec_named(frames).unwrap()
}

/// Everything that a block can be asked.
fn ask(block: &Block) {
    let mut sum = 0i64;
    let _ = block.scan(&mut |column| sum = column.numbers().iter().fold(sum, |sum, number| sum.wrapping_add(*number)));
    let _ = block.frames();
    for id in block.ids().collect::<Vec<_>>() {
        let _ = block.series(id);
    }
    let _ = block.state_at(u64::MAX / 2, &mut |_, _, _| ());
    let _ = block.last(&mut |_, _, _| ());
    let _ = block.summaries();
    let _ = block.extras();
    let _ = block.heads().count();
}

/// The table of streams with checksums that fit whatever the streams are, so that decoders see them.
fn forge(bytes: &mut [u8], checked: usize, streams: usize) {
    let mut at = checked;
    for stream in 0..streams {
        let line = checked - (streams - stream) * 24;
        let length = bytes[line + 16..].first_chunk().map_or(0, |n| u32::from_le_bytes(*n)) as usize;
        let sum = bytes.get(at..at.saturating_add(length)).map_or(0, crc32c::crc32c);
        bytes[line + 20..line + 24].copy_from_slice(&sum.to_le_bytes());
        at = at.saturating_add(length);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn frames_come_back_as_they_were(frames in proptest::collection::vec(frame(), 0..14)) {
        let schema = schema(SERIES);
        let sealed = sealed(&frames, &schema);
        let block = Block::open(sealed.bytes, sealed.checked, &schema).unwrap();
        prop_assert_eq!(wire(&block.frames().unwrap()), wire(&frames));
        let samples: usize = frames.iter().map(|frame| frame.samples.len()).sum();
        prop_assert_eq!(block.info().samples, samples as u64);
        for def in schema.defs() {
            let of = |frame: &Frame| {
                let at = frame.at;
                frame.samples.iter().filter(|(id, _)| *id == def.id).map(|(_, reading)| (at, reading.clone())).collect::<Vec<_>>()
            };
            let expected: Vec<_> = frames.iter().flat_map(of).collect();
            let found = block.series(def.id).unwrap();
            prop_assert_eq!(rmp_serde::to_vec(&found).unwrap(), rmp_serde::to_vec(&expected).unwrap());
        }
    }

    #[test]
    fn the_state_is_the_last_reading_at_or_before_an_instant(
        frames in proptest::collection::vec(frame(), 0..14),
        at: u64,
    ) {
        let schema = schema(SERIES);
        let sealed = sealed(&frames, &schema);
        let block = Block::open(sealed.bytes, sealed.checked, &schema).unwrap();
        for until in [at, 0, u64::MAX] {
            let mut expected = std::collections::BTreeMap::new();
            for frame in frames.iter().filter(|frame| frame.at.axis_ns() <= until) {
                expected.extend(frame.samples.iter().map(|(id, reading)| (*id, (reading.clone(), frame.at))));
            }
            let (mut found, mut last) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
            block.state_at(until, &mut |id, reading, at| { found.insert(id, (reading, at)); }).unwrap();
            prop_assert_eq!(format!("{found:?}"), format!("{expected:?}"));
            block.last(&mut |id, reading, at| { last.insert(id, (reading, at)); }).unwrap();
            let same = format!("{last:?}") == format!("{expected:?}");
            prop_assert!(until != u64::MAX || same);
        }
    }

    #[test]
    fn a_damaged_block_is_refused_and_never_wrong(
        frames in proptest::collection::vec(frame(), 1..8),
        at: proptest::sample::Index,
        bit in 0..8u32,
    ) {
        let schema = schema(SERIES);
        let sealed = sealed(&frames, &schema);
        let mut bytes = sealed.bytes;
        let at = sealed.checked + at.index(bytes.len() - sealed.checked);
        bytes[at] ^= 1 << bit;
        let found = Block::open(bytes, sealed.checked, &schema).and_then(|block| block.frames());
        prop_assert!(found.is_err());
    }

    #[test]
    fn no_bytes_behind_a_forged_checksum_are_too_bad(
        frames in proptest::collection::vec(frame(), 1..8),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        in_index: bool,
    ) {
        let schema = schema(SERIES);
        let sealed = sealed(&frames, &schema);
        let checked = sealed.checked;
        let streams = index::open(&sealed.bytes[..checked], sealed.bytes.len() as u64).unwrap().1.len();
        let mut bytes = sealed.bytes;
        for (at, byte) in changes {
            let at = if in_index { at.index(checked) } else { checked + at.index(bytes.len() - checked) };
            bytes[at] = byte;
        }
        forge(&mut bytes, checked, streams);
        if let Ok(block) = Block::open(bytes, checked, &schema) {
            ask(&block);
        }
    }
}

#[test]
fn series_that_the_schema_lacks_are_left_out() {
    let schema = schema(2);
    let mut frame = model::Draft::new("nvml", Stamp::new(1, 2)).seal(&mut model::Dictionary::default());
    frame.samples = vec![(SeriesId(999), 1u64.into()), (schema.defs()[1].id, 2u64.into())];
    let sealed = sealed(std::slice::from_ref(&frame), &schema);
    let block = Block::open(sealed.bytes, sealed.checked, &schema).unwrap();
    assert_eq!(block.frames().unwrap()[0].samples, frame.samples[1..]);
    assert_eq!(block.info().samples, 1);
}
