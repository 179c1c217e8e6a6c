//! The running session: workers and deadlines, the sequencer, the one clock.
