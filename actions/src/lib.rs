//! Drain and reshare: plan, guard, execute, verify, undo, journal. The only code that changes a node.
