//! Index of weights in several files, the shards.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::Deserialize;

use super::header::Members;
use crate::error::{Error, Result, WeightsProblem};
use crate::storage::{FileKind, read_file};

/// File of each tensor, as `model.safetensors.index.json` and `pytorch_model.bin.index.json` list them. The sizes in
/// the index are not compared: programs count tied tensors in different ways.
pub(super) struct ShardIndex {
    /// Shard of each tensor.
    pub(super) shards: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Fields {
    weight_map: Members<String>,
}

impl ShardIndex {
    pub(super) fn read(path: &Path) -> Result<Self> {
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
                let expected = "a file beside the index";
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
}
