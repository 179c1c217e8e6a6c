//! The rule language, its evaluator, the rulebook, and correlation into incidents.
