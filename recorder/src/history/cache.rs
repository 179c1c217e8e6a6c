//! The stretches decoded last. A deck that plays forward asks for the same ones again and again.

use std::sync::{Arc, Mutex, PoisonError};

use model::Frame;

/// How many samples of decoded stretches are kept: some 60 MB.
const CACHED_SAMPLES: usize = 1 << 20;

/// Which stretch: the boot's number and the stretch's.
pub(super) type Which = (usize, usize);

/// Decoded stretches, the one asked for last at the end.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Vec<(Which, Arc<Vec<Frame>>)>>);

impl Cache {
    /// The stretch from memory, or what `decode` gives.
    pub(super) fn get<E>(
        &self,
        which: Which,
        decode: impl FnOnce() -> Result<Vec<Frame>, E>,
    ) -> Result<Arc<Vec<Frame>>, E> {
        let hit = {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let place = kept.iter().position(|(of, _)| *of == which);
            place.map(|place| kept.remove(place).1)
        };
        let frames = hit.map_or_else(|| decode().map(Arc::new), Ok)?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((which, Arc::clone(&frames)));
        let mut samples: usize = kept.iter().map(|(_, frames)| weight(frames)).sum();
        while samples > CACHED_SAMPLES && kept.len() > 1 {
            samples -= weight(&kept.remove(0).1);
        }
        Ok(frames)
    }
}

/// How much decoded Frames take, in samples.
fn weight(frames: &[Frame]) -> usize {
    frames.iter().map(|frame| 8 + frame.samples.len() + 8 * frame.events.len() + 8 * frame.entities.len()).sum()
}
