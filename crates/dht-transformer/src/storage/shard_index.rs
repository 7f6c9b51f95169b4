//! Names of weight files, and the index file that lists in which shard (weight file) each tensor is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::path::{Component, Path};

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::regular_file::{FileKind, read_file};
use crate::error::{Error, Result, WeightsProblem};

/// Possible names of the weight file (or shard index) in a model directory. As in `transformers`, the first name that
/// exists is read.
pub(crate) const WEIGHT_FILES: [&str; 4] =
    ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

/// Content of `model.safetensors.index.json` or `pytorch_model.bin.index.json`: the shard (weight file) of each tensor.
/// The sizes in the index are ignored, since programs count tied tensors in different ways.
pub(crate) struct ShardIndex {
    /// File name of the shard of each tensor, by tensor name.
    pub(crate) shards: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Fields {
    weight_map: Members<String>,
}

impl ShardIndex {
    /// Returns whether a file is the index of shards, by its name.
    pub(crate) fn is_index(path: &Path) -> bool {
        path.to_string_lossy().ends_with(".index.json")
    }

    /// Reads an index file. Its shards must be in the same directory.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = read_file(path, FileKind::Description).map_err(|source| Error::io(path, source))?;
        let failed = |source| Error::Json { what: path.display().to_string(), source };
        let fields: Fields = serde_json::from_slice(&text).map_err(failed)?;
        let refuse =
            |tensor: Option<String>, problem| Err(Error::Weights { path: path.to_path_buf(), tensor, problem });
        let mut shards = BTreeMap::new();
        for (name, shard) in fields.weight_map.0 {
            let mut parts = Path::new(&shard).components();
            let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
            if !plain || shard.contains(['/', '\\']) {
                let expected = "expected a file beside the index";
                return refuse(Some(name), WeightsProblem::Shard { shard, expected });
            }
            if shards.insert(name.clone(), shard).is_some() {
                return refuse(Some(name), WeightsProblem::Duplicate);
            }
        }
        if shards.is_empty() {
            let message = "its weight_map has no tensors".into();
            return refuse(None, WeightsProblem::Header { message });
        }
        Ok(Self { shards })
    }

    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.shards.values().cloned().collect()
    }
}

/// Members of a JSON object in order, including duplicate keys. The key `__metadata__` of safetensors files is skipped.
pub(crate) struct Members<T>(pub(crate) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Vec<(String, T)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<de::IgnoredAny>()?;
                    } else {
                        members.push((name, map.next_value()?));
                    }
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Object(PhantomData)).map(Members)
    }
}
