//! The vocabulary every room of gpudeck speaks: plain data and pure functions.
