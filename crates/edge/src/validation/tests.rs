//! Tests of the resource kind for validation records.
