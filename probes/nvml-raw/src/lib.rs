//! The raw driver calls that nvml-wrapper lacks or gets wrong.
