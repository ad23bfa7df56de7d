//! The rules as tables and properties.
