//! Every public type with serde through JSON, CBOR, MessagePack and postcard: the right value or a typed error.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod another_version;
mod round_trip;
mod values;
