//! Bytes of a kernel line into an event with typed fields, and the fault knowledge as data.
