//! Segments of sections, put together by hand.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use model::{BootId, Dictionary, Draft, Frame, NodeState, SeriesDef, SeriesId, SeriesKey, Stamp};
use recorder::block::Builder;
use recorder::format::section::{self, Section};
use recorder::format::{self, seal_header_of, seal_record};
use recorder::schema::Schema;
use recorder::sections::{Directory, Entry, JournalHeader, SchemaSection, pack};
use recorder::{Header, SegmentId};

/// A segment in the making, in memory.
pub struct Sealer {
    pub bytes: Vec<u8>,
    pub chain: u32,
    pub id: [u8; 16],
    pub directory: Directory,
    schema: Schema,
    ids: HashMap<SeriesKey, SeriesId>,
    source: Dictionary,
    /// Translated before, by sequence number.
    known: HashMap<u64, Frame>,
    /// How many series stand in schema sections.
    told: usize,
    /// How many series there were when each journal began.
    begun: HashMap<u32, usize>,
}

impl Sealer {
    pub fn new(header: &Header, seed: u8) -> Self {
        let id = [seed; 16];
        let (bytes, chain) = seal_header_of(format::MAGIC, format::SECTIONS_MAJOR, id, &header.to_bytes().unwrap());
        let (directory, schema, ids) = (Directory::default(), Schema::default(), HashMap::new());
        Self {
            bytes,
            chain,
            id,
            directory,
            schema,
            ids,
            source: Dictionary::default(),
            known: HashMap::new(),
            told: 0,
            begun: HashMap::new(),
        }
    }

    /// Another segment that knows the series of this one by the same ids.
    pub fn next(&self, header: &Header, seed: u8) -> Self {
        let mut next = Self::new(header, seed);
        next.ids = self.ids.clone();
        next.source = self.source.clone();
        next
    }

    pub fn section(&mut self, entry: Entry, payload: &[u8], checked: usize) {
        self.flagged(entry, 0, payload, checked);
    }

    pub fn flagged(&mut self, mut entry: Entry, flags: u8, payload: &[u8], checked: usize) {
        let offset = self.bytes.len() as u64;
        let number = u32::try_from(self.directory.sections.len()).unwrap();
        let seqs = (entry.first_seq, entry.last_seq);
        let head = Section { kind: entry.kind, flags, number, checked, seqs, ..Section::default() };
        self.bytes.extend(section::seal_section(self.chain, offset, head, payload).unwrap());
        self.bytes.extend(payload);
        (entry.offset, entry.length) = (offset, payload.len() as u64);
        self.directory.sections.push(entry);
    }

    /// The Frame in the segment's ids.
    pub fn translate(&mut self, frame: &Frame) -> Frame {
        if let Some(known) = self.known.get(&frame.seq).filter(|_| frame.seq > 0) {
            return known.clone();
        }
        self.source.follow(frame);
        let mut samples = Vec::new();
        for (id, reading) in &frame.samples {
            let key = self.source.key(*id).unwrap().clone();
            let next = SeriesId(u32::try_from(self.ids.len()).unwrap());
            let id = *self.ids.entry(key.clone()).or_insert(next);
            self.schema.add(SeriesDef { id, key });
            samples.push((id, reading.clone()));
        }
        let own = Frame { declares: Vec::new(), samples, ..frame.clone() };
        self.known.insert(frame.seq, own.clone());
        own
    }

    /// A schema section of the series that no section before it has.
    fn declare(&mut self) {
        let new = self.schema.defs()[self.told..].to_vec();
        if !new.is_empty() {
            let first = u32::try_from(self.told).ok();
            self.told += new.len();
            let payload = pack(&SchemaSection { first, ..SchemaSection::new(new) }).unwrap();
            let entry = Entry { kind: section::SCHEMA, ..Entry::default() };
            self.section(entry, &payload, payload.len());
        }
    }

    pub fn block(&mut self, frames: &[Frame]) {
        self.columns(section::BLOCK, frames);
    }

    pub fn columns(&mut self, kind: u8, frames: &[Frame]) {
        let (mut builder, mut entry) = (Builder::default(), Entry { kind, ..Entry::default() });
        for frame in frames {
            let frame = self.translate(frame);
            builder.push(&frame);
            entry.count(&frame);
            if kind == section::BLOCK {
                if self.directory.frames == 0 {
                    self.directory.first = frame.at;
                }
                self.directory.last = frame.at;
                self.directory.frames += 1;
                self.directory.samples += frame.samples.len() as u64;
                self.directory.events += frame.events.len() as u64;
                *self.directory.frames_by_probe.entry(frame.probe.clone()).or_default() += 1;
                for event in &frame.events {
                    *self.directory.events_by_kind.entry(event.kind.to_string()).or_default() += 1;
                }
            }
        }
        self.declare();
        let sealed = builder.seal(&self.schema);
        self.section(entry, &sealed.bytes, sealed.checked);
    }

    /// What is in force after these Frames.
    pub fn context(&mut self, frames: &[Frame], boot: &BootId) {
        let (state, latest) = in_force(frames);
        let mut by_read: BTreeMap<(u64, String), Draft> = BTreeMap::new();
        let probes: HashSet<_> = state.probes.keys().cloned().collect();
        for (key, (probe, reading, at)) in latest {
            let draft = by_read.entry((at.axis_ns(), probe.clone())).or_insert_with(|| Draft::new(probe, at));
            draft.samples.push((key, reading));
        }
        for probe in probes {
            let last = &state.probes[&probe];
            let draft = by_read.entry((last.at.axis_ns(), probe.clone())).or_insert_with(|| Draft::new(probe, last.at));
            (draft.took_us, draft.faults) = (last.took_us, last.faults.clone());
        }
        let mut own = Draft::new("recorder", state.at);
        own.entities = state.inventory.iter().cloned().collect();
        let mut context = Vec::new();
        let mut dictionary = self.source.clone();
        for draft in std::iter::once(own).chain(by_read.into_values()) {
            let mut frame = Draft { boot: boot.clone(), ..draft }.seal(&mut dictionary);
            frame.declares.clear();
            context.push(self.translate(&frame));
        }
        self.declare();
        let payload = pack(&context).unwrap();
        self.section(Entry { kind: section::CONTEXT, ..Entry::default() }, &payload, payload.len());
    }

    pub fn close(&mut self) {
        let payload = rmp_serde::to_vec_named(&self.directory).unwrap();
        let offset = self.bytes.len() as u64;
        let entry = Entry { kind: section::DIRECTORY, ..Entry::default() };
        self.section(entry, &payload, payload.len());
        self.bytes.extend(section::seal_tail(self.chain, offset));
    }

    /// A journal of Frames of which this segment knows the series by `translate`.
    pub fn journal(&mut self, number: u32, frames: &[Frame], packed: bool, end: bool) -> Vec<u8> {
        let header = JournalHeader { segment: SegmentId(self.id).to_string(), number, ..JournalHeader::default() };
        let map = rmp_serde::to_vec_named(&header).unwrap();
        let (mut bytes, mut chain) =
            seal_header_of(format::JOURNAL_MAGIC, format::SECTIONS_MAJOR, [number.to_le_bytes()[0]; 16], &map);
        let mut put = |kind, payload: &[u8]| {
            let (record, next) = seal_record(kind, 0, payload, chain).unwrap();
            bytes.extend(record);
            chain = next;
        };
        let mut context = Draft::new("recorder", Stamp::default()).seal(&mut Dictionary::default());
        let told = *self.begun.entry(number).or_insert(self.schema.len());
        context.declares = self.schema.defs()[..told].to_vec();
        let mut declared: HashSet<SeriesId> = context.declares.iter().map(|def| def.id).collect();
        put(format::CONTEXT, &context.to_wire().unwrap());
        let mut stream = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        for frame in frames {
            let mut frame = self.translate(frame);
            let new = frame.samples.iter().map(|(id, _)| *id).filter(|id| declared.insert(*id));
            let def = |id| self.schema.defs()[self.schema.place(id).unwrap() as usize].clone();
            frame.declares = new.map(def).collect();
            let wire = frame.to_wire().unwrap();
            if packed {
                use std::io::Write;
                stream.write_all(&wire).unwrap();
                stream.flush().unwrap();
                let chunk = std::mem::take(stream.get_mut());
                put(format::FRAMES_Z, &chunk);
            } else {
                put(format::FRAME, &wire);
            }
        }
        if end {
            put(format::END, &[0x80]);
        }
        bytes
    }
}

type Readings = BTreeMap<SeriesKey, (String, model::Reading, Stamp)>;

/// The state after these Frames, and which probe read each series last.
fn in_force(frames: &[Frame]) -> (NodeState, Readings) {
    let (mut state, mut dictionary, mut latest) = (NodeState::default(), Dictionary::default(), Readings::new());
    for frame in frames {
        dictionary.follow(frame);
        state.apply(frame, &dictionary);
        latest.retain(|key, _| !frame.gone.contains(&key.entity));
        for (id, reading) in &frame.samples {
            let key = dictionary.key(*id).unwrap().clone();
            latest.insert(key, (frame.probe.clone(), reading.clone(), frame.at));
        }
    }
    (state, latest)
}

/// A closed segment with blocks of so many Frames.
pub fn sealed(frames: &[Frame], each: usize) -> Vec<u8> {
    let mut sealer = Sealer::new(&super::header(), 7);
    for block in frames.chunks(each) {
        sealer.block(block);
    }
    sealer.close();
    sealer.bytes
}

/// A directory of closed segments, each of so many blocks of so many Frames.
pub fn write_segments(directory: &Path, frames: &[Frame], each: usize, blocks: usize) {
    write_recording(directory, frames, each, blocks, 0);
}

/// The same, with the last Frames in a journal of the last segment only.
pub fn write_recording(directory: &Path, frames: &[Frame], each: usize, blocks: usize, unsealed: usize) {
    let boot = super::header().boot;
    let mut before: Option<Sealer> = None;
    let blocked = frames.len().saturating_sub(unsealed);
    let begins = (0..frames.len()).step_by(each * blocks);
    for (number, begin) in begins.enumerate() {
        let header = Header { ordinal: number as u64 + 1, ..super::header() };
        let seed = u8::try_from(number % 250).unwrap() + 1;
        let mut sealer = before.map_or_else(|| Sealer::new(&header, seed), |before| before.next(&header, seed));
        if number > 0 {
            sealer.context(&frames[..begin], &boot);
        }
        let end = (begin + each * blocks).min(frames.len());
        let until = end.min(blocked.max(begin));
        for block in frames[begin..until].chunks(each) {
            sealer.block(block);
        }
        let path = directory.join(format!("seg-{number:04}.gdk"));
        if until < end {
            fs::write(journal_path(&path, 0), sealer.journal(0, &frames[until..end], true, false)).unwrap();
        } else {
            sealer.close();
        }
        fs::write(path, &sealer.bytes).unwrap();
        before = Some(sealer);
    }
}

pub fn journal_path(segment: &Path, number: u32) -> PathBuf {
    PathBuf::from(format!("{}.j{number:06}", segment.display()))
}
