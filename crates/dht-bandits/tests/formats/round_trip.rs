//! Writes and reads one value in every format.

use std::any::{Any, type_name};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::values::every_value;

/// Formats with field names (JSON, CBOR, MessagePack) and formats by position (MessagePack, postcard).
const FORMATS: [&str; 5] = ["JSON", "CBOR", "MessagePack named", "MessagePack", "postcard"];

/// Values are written and read as `dyn`, so that each format is compiled once and not for each of a hundred types.
pub fn write(format: &str, value: &dyn erased_serde::Serialize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match format {
        "JSON" => serde_json::to_vec(value).map_err(|error| error.to_string()),
        "CBOR" => ciborium::into_writer(value, &mut bytes).map(|()| bytes).map_err(|error| error.to_string()),
        "MessagePack named" => rmp_serde::to_vec_named(value).map_err(|error| error.to_string()),
        "MessagePack" => rmp_serde::to_vec(value).map_err(|error| error.to_string()),
        _ => postcard::to_allocvec(value).map_err(|error| error.to_string()),
    }
}

pub fn read<T: DeserializeOwned + 'static>(format: &str, bytes: &[u8]) -> Result<T, String> {
    READ.set(|deserializer| Ok(Box::new(erased_serde::deserialize::<T>(deserializer)?)));
    let Read(value) = read_any(format, bytes)?;
    Ok(*value.downcast().expect("the type that was asked for"))
}

fn read_any(format: &str, bytes: &[u8]) -> Result<Read, String> {
    match format {
        "JSON" => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
        "CBOR" => ciborium::from_reader(bytes).map_err(|error| error.to_string()),
        "MessagePack named" | "MessagePack" => rmp_serde::from_slice(bytes).map_err(|error| error.to_string()),
        _ => postcard::from_bytes(bytes).map_err(|error| error.to_string()),
    }
}

type ReadAny = fn(&mut dyn erased_serde::Deserializer<'_>) -> Result<Box<dyn Any>, erased_serde::Error>;

thread_local! {
    /// Reader of the next value of a fixed type.
    static READ: Cell<ReadAny> = const { Cell::new(|_| Err(serde::de::Error::custom("nothing was asked for"))) };
}

/// Value of the requested type.
struct Read(Box<dyn Any>);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(deserializer);
        READ.get()(&mut erased).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Visitor that is called with each value.
#[derive(Default)]
pub struct Visit {
    names: BTreeSet<String>,
}

impl Visit {
    pub fn value<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(&mut self, value: &T) {
        self.note::<T>();
        for format in FORMATS {
            let bytes = write(format, value).unwrap_or_else(|error| panic!("{format}: {error}: {value:?}"));
            let again: T = read(format, &bytes).unwrap_or_else(|error| panic!("{format}: {error}: {value:?}"));
            assert_eq!(&again, value, "{format}");
        }
    }

    /// Value that is compared by its JSON text.
    pub fn policy<T: Serialize + DeserializeOwned + 'static>(&mut self, value: &T) {
        self.note::<T>();
        let text = String::from_utf8(write("JSON", value).unwrap()).unwrap();
        for format in FORMATS {
            let bytes = write(format, value).unwrap_or_else(|error| panic!("{format}: {error}: {text}"));
            let again: T = read(format, &bytes).unwrap_or_else(|error| panic!("{format}: {error}: {text}"));
            assert_eq!(write("JSON", &again).unwrap(), text.as_bytes(), "{format}");
        }
    }

    /// Records the names of a type and of its type parameters.
    fn note<T>(&mut self) {
        let names = type_name::<T>().split(|c: char| !(c.is_alphanumeric() || c == '_'));
        self.names.extend(names.map(str::to_owned));
    }
}

/// Names of the public types that implement serde, found in the sources.
fn types_with_serde(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            types_with_serde(&path, names);
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let mut derived = false;
        for line in source.lines() {
            derived |= line.starts_with("#[derive(") && line.contains("Serialize");
            let declared = line.strip_prefix("pub struct ").or_else(|| line.strip_prefix("pub enum "));
            if let Some(rest) = declared.filter(|_| derived) {
                names.insert(rest.chars().take_while(|c| c.is_alphanumeric()).collect());
            }
            derived &= line.starts_with('#') || line.starts_with("///") || line.starts_with("//");
            let implemented = line.split_once(" Serialize for ").filter(|_| line.starts_with("impl"));
            let tagged = line.strip_prefix("serde_tagged_in_texts!(");
            if let Some(rest) = tagged.or(implemented.map(|(_, rest)| rest)) {
                names.insert(rest.chars().take_while(|c| c.is_alphanumeric()).collect());
            }
            if let Some((_, rest)) = line.strip_prefix("serde_by_state!(").and_then(|rest| rest.split_once("] ")) {
                names.insert(rest.chars().take_while(|c| c.is_alphanumeric()).collect());
            }
        }
    }
}

#[test]
fn every_public_type_survives_every_format() {
    let mut visit = Visit::default();
    every_value(&mut visit);
    let mut expected = BTreeSet::new();
    types_with_serde(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut expected);
    // Types that occur only inside of states and headers.
    let of_arms = ["ArmSetState", "ArmStatistics", "InformationState", "NaturalParameters"];
    for inner in of_arms.into_iter().chain(["StateHeader", "Draw", "HybridOptions", "Sharing"]) {
        expected.remove(inner);
    }
    assert!(expected.len() > 60, "{expected:?}");
    let missing: Vec<_> = expected.difference(&visit.names).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
