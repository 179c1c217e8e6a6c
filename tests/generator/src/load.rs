//! What the node is busy with: idle, training in iterations with checkpoints, and a GPU that falls off the bus.

/// What the node does for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Nothing runs.
    Idle,
    /// Somebody logs in now and then.
    NearIdle,
    /// Training: iterations of 3.7 s, a checkpoint of 75 s each half hour.
    Training,
    /// Training, and for three minutes in its fifth hour a GPU is gone.
    Storm,
}

/// The GPU that falls off the bus.
pub(crate) const LOST_GPU: usize = 3;
const STORM: std::ops::Range<u64> = 14_400..14_580;
const ITERATION_US: i64 = 3_700_000;
const COMPUTE_US: i64 = 2_900_000;

/// One second of it, in thousandths where there are shares.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Share of computing.
    pub(crate) compute: i64,
    /// Share of exchanging gradients.
    pub(crate) exchange: i64,
    /// A checkpoint is written.
    pub(crate) checkpoint: bool,
    /// Somebody is about.
    pub(crate) stirring: bool,
    /// A GPU does not answer.
    pub(crate) storm: bool,
}

impl Load {
    pub(crate) fn busy(self) -> bool {
        self.compute + self.exchange > 0
    }
}

/// Where in an iteration the node is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Iterations {
    at_us: i64,
}

impl Iterations {
    /// The load of the second that begins `second` seconds into the activity. `drift` is by how many microseconds the
    /// second's iteration is longer or shorter than usual.
    pub(crate) fn second(&mut self, activity: Activity, second: u64, drift: i64) -> Load {
        match activity {
            Activity::Idle => Load::default(),
            Activity::NearIdle => Load { stirring: true, ..Load::default() },
            Activity::Training | Activity::Storm if second % 1_800 >= 1_725 => {
                Load { checkpoint: true, ..Load::default() }
            }
            Activity::Training | Activity::Storm => {
                let storm = activity == Activity::Storm && STORM.contains(&second);
                let mut compute = 0;
                let mut left = 1_000_000;
                self.at_us = (self.at_us + drift).rem_euclid(ITERATION_US);
                while left > 0 {
                    let end = if self.at_us < COMPUTE_US { COMPUTE_US } else { ITERATION_US };
                    let step = left.min(end - self.at_us);
                    compute += if self.at_us < COMPUTE_US { step } else { 0 };
                    self.at_us = (self.at_us + step) % ITERATION_US;
                    left -= step;
                }
                Load { compute: compute / 1_000, exchange: 1_000 - compute / 1_000, storm, ..Load::default() }
            }
        }
    }
}
