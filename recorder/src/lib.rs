//! The black box: writing, reading, seeking, recovering and exporting recordings.
