#![allow(clippy::unwrap_used, clippy::panic, clippy::let_underscore_must_use)]
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
use super::*;

mod measure;
mod properties;
