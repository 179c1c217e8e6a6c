//! The sealed blocks alone: what the codec makes of five minutes, with the heads that stand before it.

use model::Frame;
use recorder::block::Builder;
use recorder::format::section::SECTION_BYTES;
use recorder::schema::Schema;

use crate::sizes::Sink;

/// How many seconds lie in one block.
pub(crate) const BLOCK_S: u32 = 300;

#[derive(Default)]
pub(crate) struct Blocks {
    schema: Schema,
    builder: Builder,
    seconds: u32,
    bytes: u64,
}

impl Blocks {
    fn seal(&mut self) {
        let sealed = std::mem::take(&mut self.builder).seal(&self.schema);
        self.bytes += u64::try_from(sealed.bytes.len() + SECTION_BYTES).unwrap_or(u64::MAX);
        self.seconds = 0;
    }
}

impl Sink for Blocks {
    fn name(&self) -> &'static str {
        "blocks of five minutes"
    }

    fn tick(&mut self, tick: &[Frame]) {
        for frame in tick {
            for def in &frame.declares {
                self.schema.add(def.clone());
            }
            self.builder.push(frame);
        }
        self.seconds += 1;
        if self.seconds == BLOCK_S {
            self.seal();
        }
    }

    fn finish(mut self: Box<Self>) -> u64 {
        if self.seconds > 0 {
            self.seal();
        }
        self.bytes
    }
}
