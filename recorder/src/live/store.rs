//! Where a live recording lies, and room for more of it: the bounds are held before every append.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use super::{Shared, held};
use crate::disk::Disk;
use crate::retention::{Kept, Retention, plan};
use crate::segment::Segment;

/// Where the recording lies and what may lie there.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) directory: PathBuf,
    pub(super) single: bool,
    pub(super) retention: Retention,
    pub(super) shared: Arc<Shared>,
}

/// What the directory held when it was last looked at, and what came since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    bytes: u64,
    /// How often it was relied on since.
    looks: u32,
}

/// The directory is looked at anew after so many appends: what is too old goes then.
const MOST_LOOKS: u32 = 256;

impl Store {
    /// Whether more bytes fit for certain. Nobody but us writes there, and what we delete only makes room.
    fn is_known_to_fit(&self, bytes: u64) -> bool {
        let mut used = held(&self.shared.used);
        let Some(known) = used.as_mut().filter(|known| known.looks < MOST_LOOKS) else { return false };
        let within = self.retention.max_bytes.is_none_or(|most| known.bytes + bytes <= most);
        let space = self.disk.space(&self.directory).ok();
        let free = space.is_none_or(|space| self.retention.floor(space) + bytes <= space.free);
        if within && free {
            known.bytes += bytes;
            known.looks += 1;
        }
        within && free
    }

    /// Makes room for more bytes, by deleting segments if need be.
    pub(super) fn room(&self, bytes: u64) -> io::Result<()> {
        if self.is_known_to_fit(bytes) {
            return Ok(());
        }
        let space = self.disk.space(&self.directory).ok();
        let live = held(&self.shared.live).clone();
        let mut groups: HashMap<PathBuf, (Kept, Vec<PathBuf>, std::time::SystemTime)> = HashMap::new();
        let listed = self.disk.list(&self.directory)?;
        let now = listed.iter().map(|file| file.modified).max();
        for file in listed {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(end) = name.find(".gdk").map(|at| at + 4) else { continue };
            let segment = self.directory.join(name.get(..end).unwrap_or_default());
            if self.single && !live.contains(&segment) {
                continue;
            }
            let is_live = live.contains(&segment);
            let group = groups.entry(segment).or_insert_with(|| (Kept::default(), Vec::new(), file.modified));
            group.0.bytes += file.bytes;
            group.0.live = is_live;
            group.0.pinned |= name.ends_with(".pin");
            group.2 = group.2.max(file.modified);
            group.1.push(file.path);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        let used: u64 = groups.iter().map(|(_, group)| group.0.bytes).sum();
        let over = self.retention.max_bytes.is_some_and(|most| used + bytes > most);
        let low = space.is_some_and(|space| self.retention.floor(space) + bytes > space.free);
        for (_, (kept, _, modified)) in &mut groups {
            let age = now.and_then(|now| now.duration_since(*modified).ok()).unwrap_or_default();
            kept.age_ns = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        }
        let most = self.retention.max_age_ns.unwrap_or(u64::MAX);
        if !over && !low && groups.iter().all(|(_, (kept, ..))| kept.live || kept.age_ns <= most) {
            *held(&self.shared.used) = Some(Used { bytes: used + bytes, looks: 0 });
            return Ok(());
        }
        *held(&self.shared.used) = None;
        groups.sort_by_cached_key(|(path, _)| {
            (Segment::open(path, false).map_or(0, |segment| segment.header.ordinal), path.clone())
        });
        let kept: Vec<Kept> = groups.iter().map(|(_, group)| group.0).collect();
        let plan = plan(&kept, bytes, space, &self.retention);
        for (path, (_, files, _)) in plan.delete.iter().filter_map(|place| groups.get(*place)) {
            // The segment itself goes last: what lies beside it means nothing without it.
            for file in files.iter().filter(|file| *file != path).chain([path]) {
                match self.disk.remove(file) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        if plan.short > 0 {
            let why = match space.filter(|_| low) {
                Some(space) => {
                    let kept = self.retention.floor(space);
                    format!("No space left: {} bytes are free, {kept} of them stay so (--min-free)", space.free)
                }
                None => format!("{} bytes more than the recording may take (--max-bytes) would be needed", plan.short),
            };
            return Err(io::Error::new(ErrorKind::StorageFull, why));
        }
        Ok(())
    }
}
