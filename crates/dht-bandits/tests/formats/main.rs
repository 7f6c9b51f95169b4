//! Every public type with serde is written and read as JSON, CBOR, MessagePack and postcard: the value is the same, or
//! there is a typed error.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

mod another_version;
mod round_trip;
mod values;
