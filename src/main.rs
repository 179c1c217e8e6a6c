//! The `gpudeck` command: one file per subcommand, wiring only.
fn main() {}
