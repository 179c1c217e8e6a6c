//! A libnvidia-ml.so that plays a scenario.
