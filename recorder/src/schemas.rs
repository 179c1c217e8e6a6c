//! The series of each segment, read when they are first needed. Segments of one recorder mostly tell the same: the same
//! bytes are parsed once.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use model::{Entity, MetricName, SeriesDef, SeriesId, SeriesKey};

use crate::format::section::{DIRECTORY, SCHEMA};
use crate::layout::{self, Layout, Piece};
use crate::open::Damage;
use crate::schema::Schema;
use crate::sections::{self, SchemaSection};
use crate::segment::Segment;

/// How many schemas are kept.
const MOST_KEPT: usize = 8;
/// For how many series that a lost section may have told of there is place, so that blocks that have them can be read.
const SPARE: usize = 1 << 13;

/// The series of one segment.
#[derive(Debug, Default)]
pub(crate) struct Series {
    pub(crate) schema: Arc<Schema>,
    /// Schema sections that cannot be read.
    pub(crate) damage: Vec<Damage>,
    /// How many sections it was made of.
    sections: usize,
}

/// What the sections held, and what they were parsed to.
type Kept = (Vec<Vec<u8>>, Arc<Schema>);

/// Schemas that were read before.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Vec<Kept>>);

/// Whether a series stands for one whose declaration is lost.
pub(crate) fn is_lost(key: &SeriesKey) -> bool {
    key.metric.as_str().is_empty()
}

/// The series of a segment with this layout; `before`: as read from an earlier layout of the same segment.
pub(crate) fn read(
    segment: &Segment,
    file: &File,
    layout: &Layout,
    before: Option<Arc<Series>>,
    cache: &Cache,
) -> Arc<Series> {
    let sections: Vec<_> = layout.sections().filter(|entry| entry.kind == SCHEMA).collect();
    if let Some(before) = before.filter(|before| before.sections == sections.len()) {
        return before;
    }
    let (mut payloads, mut damage, mut whole) = (Vec::new(), Vec::new(), true);
    for entry in &sections {
        match layout::payload(segment, file, entry) {
            Ok((payload, _)) => payloads.push(payload),
            Err(why) => {
                whole = false;
                damage.push(lost(segment, entry, why));
                payloads.push(Vec::new());
            }
        }
    }
    // A section whose head is damaged is not among them; what follows it may tell again what it told.
    let mut kept = cache.0.lock().unwrap_or_else(PoisonError::into_inner);
    let hit = kept.iter().find(|(of, _)| whole && *of == payloads).map(|(_, schema)| Arc::clone(schema));
    if let Some(schema) = hit {
        return Arc::new(Series { schema, damage, sections: sections.len() });
    }
    drop(kept);
    let mut parsed = Vec::new();
    let mut payloads_left = payloads.iter();
    for piece in &layout.pieces {
        match piece {
            // It may have been one.
            Piece::Damaged(_) => parsed.push(None),
            Piece::Section(entry) if entry.kind == SCHEMA => {
                let payload = payloads_left.next().filter(|payload| !payload.is_empty());
                parsed.push(payload.and_then(|payload| match sections::unpack::<SchemaSection>(payload) {
                    Ok(section) => Some(section),
                    Err(error) => {
                        whole = false;
                        damage.push(lost(segment, entry, format!("its schema is damaged: {error}")));
                        None
                    }
                }));
            }
            Piece::Section(_) => {}
        }
    }
    whole &= parsed.iter().all(Option::is_some);
    let schema = Arc::new(combine(parsed));
    kept = cache.0.lock().unwrap_or_else(PoisonError::into_inner);
    if whole {
        kept.push((payloads, Arc::clone(&schema)));
        if kept.len() > MOST_KEPT {
            kept.remove(0);
        }
    }
    Arc::new(Series { schema, damage, sections: sections.len() })
}

fn lost(segment: &Segment, entry: &sections::Entry, why: String) -> Damage {
    debug_assert!(entry.kind != DIRECTORY);
    let bytes = entry.length.saturating_add(crate::format::section::SECTION_BYTES as u64);
    let why = format!("{why}; samples of the series that only it declares are left out");
    layout::damage(segment, entry.offset, why, bytes)
}

/// The series by their places. Those that no section tells of any more are taken by series without a name: without its
/// place a series would push all behind it to wrong ones.
fn combine(sections: Vec<Option<SchemaSection>>) -> Schema {
    let mut defs: Vec<Option<SeriesDef>> = Vec::new();
    let lost = sections.iter().any(Option::is_none);
    let mut known = true;
    for section in sections {
        // Behind one that is lost only those have a place that say so.
        let Some(section) = section.filter(|section| known || section.first.is_some()) else {
            known = false;
            continue;
        };
        let first = section.first.map_or(defs.len(), |first| usize::try_from(first).unwrap_or(usize::MAX));
        known |= section.first.is_some();
        for (index, def) in section.series.into_iter().enumerate() {
            let place = first.saturating_add(index);
            if place >= model::Dictionary::MOST {
                break;
            }
            if defs.len() <= place {
                defs.resize(place + 1, None);
            }
            if let Some(slot) = defs.get_mut(place) {
                slot.get_or_insert(def);
            }
        }
    }
    if lost {
        defs.resize((defs.len() + SPARE).min(model::Dictionary::MOST), None);
    }
    let mut schema = Schema::default();
    let mut unused = u32::MAX;
    for def in defs {
        let named = def.is_some_and(|def| !is_lost(&def.key) && schema.add(def));
        while !named && unused > 0 {
            let key = SeriesKey { entity: Entity::Node, metric: MetricName::raw("") };
            let taken = schema.add(SeriesDef { id: SeriesId(unused), key });
            unused -= 1;
            if taken {
                break;
            }
        }
    }
    schema
}
