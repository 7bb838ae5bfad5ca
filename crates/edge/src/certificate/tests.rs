//! Tests of the resource kind for certificates.
