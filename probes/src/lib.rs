//! One module per source on the node: a pure parser plus a thin reader.
