//! Tiny encoder, and directories with its weights in any format.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Tensor};
use dht_toys::{config, encoder, rng};
use dht_transformer::{BertConfig, Encoder, Error, pretrained::PretrainedWeights};
use tempfile::TempDir;

use crate::archive::{Pickle, View, members, zip};

pub type Tensors = BTreeMap<String, Tensor>;

pub fn model() -> Encoder {
    let config = BertConfig { max_position_embeddings: 6, ..config([2, 2, 8, 10], 0.4) };
    encoder(&config, &mut rng(5))
}

pub fn tensors() -> Tensors {
    model().to_tensors().expect("tensors")
}

/// Values of a tensor in its own type, as bytes.
pub fn bytes(tensor: &Tensor) -> Vec<u8> {
    let view = safetensors::serialize([("t", tensor)], None).expect("a tensor");
    let header = u64::from_le_bytes(view[..8].try_into().expect("eight bytes")) as usize;
    view[8 + header..].to_vec()
}

pub fn class(tensor: &Tensor) -> &'static str {
    match tensor.dtype() {
        DType::F32 => "FloatStorage",
        DType::F64 => "DoubleStorage",
        DType::F16 => "HalfStorage",
        DType::BF16 => "BFloat16Storage",
        DType::I64 => "LongStorage",
        other => panic!("{other:?}"),
    }
}

/// Archive of tensors, each with a separate storage.
pub fn saved(tensors: &Tensors) -> Vec<u8> {
    let (views, storages) = parts(tensors);
    zip(&members(&Pickle::state_dict(&views), &storages))
}

/// Views and storages of tensors, one storage for each.
pub fn parts(tensors: &Tensors) -> (Vec<View>, Vec<(String, Vec<u8>)>) {
    let numbered = tensors.iter().enumerate();
    let part = |(key, (name, tensor)): (usize, (&String, &Tensor))| {
        let key = key.to_string();
        (View::whole(name, &key, class(tensor), tensor.dims()), (key, bytes(tensor)))
    };
    numbered.map(part).unzip()
}

/// Directory of the tiny encoder with additional files beside its configuration.
pub fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    model().config().save(folder.path().join("config.json")).expect("a configuration");
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).expect("a file");
    }
    folder
}

pub fn read(files: &[(&str, &[u8])]) -> Result<PretrainedWeights, Error> {
    PretrainedWeights::read(folder(files).path())
}

/// Reads the tiny encoder from an archive.
pub fn read_bin(archive: &[u8]) -> Result<PretrainedWeights, Error> {
    read(&[("pytorch_model.bin", archive)])
}

/// Message with which an archive is refused.
pub fn refusal(archive: &[u8]) -> String {
    read_bin(archive).expect_err("a refusal").to_string()
}

/// Bits of all values, by name.
pub fn bits(tensors: &Tensors) -> BTreeMap<&str, (Vec<usize>, Vec<u32>)> {
    let of = |(name, tensor)| {
        let tensor: &Tensor = tensor;
        let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>()).expect("f32");
        let name: &String = name;
        (name.as_str(), (tensor.dims().to_vec(), values.into_iter().map(f32::to_bits).collect()))
    };
    tensors.iter().map(of).collect()
}

/// Index of shards, as `transformers` writes it.
pub fn index<'a>(shards: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let map: BTreeMap<&str, &str> = shards.into_iter().collect();
    serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string().into_bytes()
}

/// Divides tensors into a number of parts, in the order of their names.
pub fn parted(tensors: &Tensors, parts: usize) -> Vec<Tensors> {
    let size = tensors.len().div_ceil(parts);
    let all: Vec<_> = tensors.iter().collect();
    all.chunks(size)
        .map(|part| part.iter().map(|(name, tensor)| ((*name).clone(), (*tensor).clone())).collect())
        .collect()
}

/// Writes tensors in shards of a format, with their index.
pub fn write_shards(folder: &Path, tensors: &Tensors, shards: usize, stem: &str, ending: &str) {
    let parts = parted(tensors, shards);
    let name = |shard: usize| format!("{stem}-{:05}-of-{:05}.{ending}", shard + 1, parts.len());
    let mut map = BTreeMap::new();
    for (shard, part) in parts.iter().enumerate() {
        let bytes = match ending {
            "bin" => saved(part),
            _ => safetensors::serialize(part, None).expect("tensors"),
        };
        std::fs::write(folder.join(name(shard)), bytes).expect("a shard");
        map.extend(part.keys().map(|tensor| (tensor.clone(), name(shard))));
    }
    let index = index(map.iter().map(|(tensor, shard)| (tensor.as_str(), shard.as_str())));
    std::fs::write(folder.join(format!("{stem}.{ending}.index.json")), index).expect("an index");
}
