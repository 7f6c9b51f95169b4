use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use candle_core::Tensor;

use super::foreign::foreign_model;
use super::names::{Expected, model_tensors};
use super::weights::{Weights, weights_path};
use crate::account::{Treatment, file_entry, unused_tensor};
use crate::config::{BertConfig, Pooling};
use crate::error::{Error, Result, WeightsProblem};
use crate::storage::{ShardIndex, WEIGHT_FILES, entry_names, model_directory, whole_directory};

/// Configuration and weights of an encoder, read from a model directory.
#[derive(Debug, Clone)]
pub struct PretrainedWeights {
    /// Validated configuration.
    pub config: BertConfig,
    /// Tensors in f32 on the CPU. For any model family, they have BERT's names without prefix: `embeddings.…`,
    /// `encoder.layer.N.…`, and, if the file has them, `pooler.dense.…`, `classifier.…` and `cls.predictions.…`.
    pub tensors: BTreeMap<String, Tensor>,
    /// Names of tensors in the file that the model does not use, such as a pre-training head.
    pub unused: Vec<String>,
}

impl PretrainedWeights {
    /// Returns the local directory of a model, given by a path or a hub name. Downloads a model that is not in the
    /// cache.
    ///
    /// An existing path is returned unchanged. Other names are looked up on the hub, such as `bert-base-uncased` or
    /// `sentence-transformers/all-MiniLM-L6-v2`. `NAME@REVISION` selects a branch, a tag or a commit; the default is
    /// the branch `main`. The model is downloaded into the cache of Python's `huggingface_hub`, unless it is there
    /// already. Only the files that this crate can load are downloaded: configuration, tokenizer, pooling, and weights
    /// (one format, in the order of [`read`](Self::read)).
    ///
    /// All functions that load a directory call this function. Each call asks the hub for the list of files, and a
    /// branch may change between two calls. To load several parts of one model, call this function once and pass on the
    /// directory.
    ///
    /// All files belong to one commit, whose hash is the last component of the path. A downloaded file must have the
    /// size that the hub lists, and the SHA-256 checksum, which the hub lists for all large files. A file that is
    /// already in the cache must only have the listed size.
    ///
    /// If the hub cannot be reached, or `HF_HUB_OFFLINE` is set, the file list of the previous request is used. If
    /// there is none, the files of the revision in the cache are used.
    ///
    /// Requires the feature `hub`. The variables `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE` and
    /// `HF_TOKEN` have the same meaning as in `huggingface_hub`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a revision that git does not allow. Without the feature `hub`, [`Error::NoHub`]. With
    /// the feature, [`Error::Hub`] in these cases: the file list or a file cannot be downloaded, a file differs from
    /// the list, or the repository has no configuration or no weights. An invalid hub name is returned unchanged;
    /// reading it as a path then reports that it is missing.
    pub fn fetch(name: impl AsRef<Path>) -> Result<PathBuf> {
        model_directory(name)
    }

    /// Downloads a model that this project saved to a repository on the hub: `dht.json` and the files below `model`. A
    /// repository without `dht.json` is downloaded as by [`fetch`](Self::fetch). `name` must be a hub name; paths are
    /// not accepted.
    ///
    /// # Errors
    /// [`Error::Argument`] for an invalid name or revision. Without the feature `hub`, [`Error::NoHub`]; with the
    /// feature, [`Error::HubFiles`].
    pub fn fetch_all(name: &str) -> Result<PathBuf> {
        whole_directory(name)
    }

    /// Lists the weight files of a directory: a single file, or the index of shards and all shards. The list is empty
    /// if the directory has no weights in a format that [`read`](Self::read) supports.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Json`] and [`Error::Weights`] if the index of shards cannot be read.
    pub fn weight_files(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
        let Some(path) = weights_path(folder.as_ref()) else { return Ok(Vec::new()) };
        let shards = if ShardIndex::is_index(&path) { ShardIndex::read(&path)?.names() } else { BTreeSet::new() };
        let shards: Vec<PathBuf> = shards.iter().map(|shard| path.with_file_name(shard)).collect();
        Ok([path].into_iter().chain(shards).collect())
    }

    /// Reads `config.json` of a directory. If the file is missing and the directory holds a model in another format,
    /// the error describes that model.
    ///
    /// # Errors
    /// Same errors as [`read`](Self::read), except errors of the weights.
    pub fn read_config(folder: impl AsRef<Path>) -> Result<BertConfig> {
        let folder = folder.as_ref();
        let names = entry_names(folder)?;
        for name in &names {
            if let Some(refusal) = file_entry(name).refusal(folder) {
                return Err(refusal);
            }
        }
        match without_config(folder, &names) {
            Some(foreign) => Err(foreign),
            None => BertConfig::from_file(folder.join("config.json")),
        }
    }

    /// Reads `config.json` and the weights of a directory, or of a model on the hub ([`fetch`](Self::fetch)). The first
    /// of these weights that exists is read:
    ///
    /// 1. `model.safetensors`, or the shards listed in `model.safetensors.index.json`;
    /// 2. `pytorch_model.bin`, or the shards listed in `pytorch_model.bin.index.json`, as `torch.save` writes them
    ///    since PyTorch 1.6. Code in these files is never run: a pickle may contain only tensors, storages and
    ///    dictionaries.
    ///
    /// The tensors of any [`Family`](crate::config::Family) get BERT's names without prefix. Old names of layer norms
    /// (`gamma`, `beta`) are replaced. If all names have the prefix `module.` or `_orig_mod.` (of PyTorch's data
    /// parallelism and compiler), it is removed. F16, BF16 and F64 become F32.
    ///
    /// Only the required tensors are read, one at a time. A wrong header cannot exhaust the memory, since no more bytes
    /// are read than the file has. Tensors that share a storage may take up to 64 times the size of the file.
    ///
    /// # Errors
    /// Errors of [`fetch`](Self::fetch). [`Error::Io`] if a file cannot be read. [`Error::Json`] and [`Error::Config`]
    /// for the configuration. [`Error::Unsupported`] for an adapter, and for directories and files of another format,
    /// which the message names. [`Error::Weights`], with file and tensor, if a weight file is truncated, or if its
    /// header (lengths, gaps, overlaps, duplicate names), index or pickle is invalid. The same error reports a tensor
    /// in these cases:
    ///
    /// - it is missing, or has another shape than in the configuration;
    /// - it belongs to a layer that the configuration does not have;
    /// - it holds NaN or infinite values;
    /// - it has an effect on the model that this crate does not compute.
    ///
    /// Tensors that the model does not use are not compared with tensors that it uses, even if their names become
    /// equal.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        let mut this = Self::read_variables(folder)?;
        this.tensors.values_mut().for_each(|tensor| *tensor = tensor.detach());
        Ok(this)
    }

    /// Reads a configuration and weights as [`read`](Self::read) does. The tensors are variables, so that a model can
    /// own them without a copy.
    pub(crate) fn read_variables(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = &*model_directory(folder)?;
        let config = Self::read_config(folder)?;
        let mut weights = open_weights(folder, &entry_names(folder)?)?;
        let TensorPlan { used, unused, problems } = TensorPlan::new(&config, &weights);
        if let Some((tensor, problem)) = problems.into_iter().next() {
            return Err(weights.error(tensor.as_deref(), problem));
        }
        weights.check_size(used.iter().flat_map(|(_, names)| names))?;
        let mut tensors = BTreeMap::new();
        for (name, written) in used {
            let tensor = weights.read(&written[0])?.into_inner();
            for other in &written[1..] {
                if !same(weights.read(other)?.as_tensor(), &tensor)? {
                    return Err(weights.error(Some(other), WeightsProblem::Conflict { other: written[0].clone() }));
                }
            }
            tensors.insert(name, tensor);
        }
        Ok(Self { config, tensors, unused })
    }
}

const WORDS: &str = "embeddings.word_embeddings.weight";

/// Assignment of the tensors in the weight files to the tensors of a model.
pub(super) struct TensorPlan {
    /// Tensors of the model, each with BERT's name and its names in the files. A tensor has several names if it is
    /// stored both under a new and under an old name.
    pub(super) used: Vec<(String, Vec<String>)>,
    /// Names of tensors in the files that the model does not use, sorted.
    pub(super) unused: Vec<String>,
    pub(super) problems: Vec<(Option<String>, WeightsProblem)>,
}

impl TensorPlan {
    pub(super) fn new(config: &BertConfig, weights: &Weights) -> Self {
        let family = config.family;
        let own = Pooling::of_config(config).is_ok_and(|pooling| pooling != Pooling::Pooler);
        let head = family.head_names(own, weights.tensors.keys().map(|name| weights.plain(name)));
        let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut unused = Vec::new();
        for name in weights.tensors.keys() {
            match family.ours(weights.plain(name), head) {
                Some(ours) => by_name.entry(ours).or_default().push(name.clone()),
                None => unused.push(name.clone()),
            }
        }
        let shape = |written: &str| weights.tensors[written].shape.clone();
        let (expected, missing) = model_tensors(config, |name| by_name.get(name).map(|names| shape(&names[0])));
        // If the word embedding is missing, only its prefix can be wrong.
        let elsewhere = |name: &String| Some(name.strip_suffix(WORDS)?.to_owned()).filter(|prefix| !prefix.is_empty());
        let misnamed = match by_name.contains_key(WORDS) {
            true => None,
            false => weights.tensors.keys().find_map(elsewhere),
        };
        let missing = match misnamed {
            Some(prefix) => Some(WeightsProblem::Prefix { found: prefix, expected: family.prefix() }),
            None => missing,
        };
        let mut problems: Vec<_> = missing.map(|missing| (None, missing)).into_iter().collect();
        // With fewer layers than the file has, the result would be another model.
        let layers = config.num_hidden_layers;
        if let Some((_, names)) = by_name.iter().find(|(name, _)| layer_of(name) >= Some(layers)) {
            problems.push((Some(names[0].clone()), WeightsProblem::MoreLayers { layers }));
            by_name.retain(|name, _| layer_of(name) < Some(layers));
        }
        let mut used = Vec::new();
        for Expected { name, shape: expected } in expected {
            let Some(names) = by_name.remove(&name) else { continue };
            for written in &names {
                let got = shape(written);
                if got != expected {
                    let problem = WeightsProblem::Shape { expected: expected.clone(), got };
                    problems.push((Some(written.clone()), problem));
                }
            }
            used.push((name, names));
        }
        unused.extend(by_name.into_values().flatten());
        unused.sort();
        for name in &unused {
            if let (Treatment::Refused, reason) = unused_tensor(family.bare(weights.plain(name))) {
                problems.push((Some(name.clone()), WeightsProblem::Unsupported { reason }));
            }
        }
        Self { used, unused, problems }
    }
}

fn same(left: &Tensor, right: &Tensor) -> Result<bool> {
    let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    Ok(left.dims() == right.dims() && values(left)? == values(right)?)
}

/// Describes the model in a directory that has neither `config.json` nor weights, if it is a model in another format.
pub(super) fn without_config(folder: &Path, names: &[String]) -> Option<Error> {
    let described = folder.join("config.json").symlink_metadata().is_ok() || weights_path(folder).is_some();
    if described { None } else { foreign_model(folder, names) }
}

pub(crate) fn missing_tensors(folder: &Path, names: impl Into<String>) -> Error {
    Error::Weights {
        path: weights_path(folder).unwrap_or_else(|| folder.join(WEIGHT_FILES[0])),
        tensor: None,
        problem: WeightsProblem::Missing { names: names.into() },
    }
}

/// Opens the weights of a directory. `names` are the entries of the directory. If there are no weights, the error
/// describes a model in another format.
pub(super) fn open_weights(folder: &Path, names: &[String]) -> Result<Weights> {
    match weights_path(folder) {
        Some(path) => Weights::open(path),
        None => match foreign_model(folder, names) {
            Some(foreign) => Err(foreign),
            // The error of the operating system.
            None => Weights::open(folder.join(WEIGHT_FILES[0])),
        },
    }
}

/// Parses the layer number in a tensor name such as `encoder.layer.7.output.dense.weight`.
fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("encoder.layer.")?.split_once('.')?.0.parse().ok()
}
