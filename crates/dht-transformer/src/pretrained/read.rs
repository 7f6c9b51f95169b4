use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use super::header::{FileHeader, TensorInfo};
use super::names::{Expected, wanted};
use super::values::not_finite;
use crate::account::{Treatment, file_entry, unused_tensor};
use crate::config::{BertConfig, Pooling};
use crate::error::{Error, Result, WeightsProblem};
use crate::storage::{model_directory, open_file, whole_directory};

/// Configuration and weights of an encoder, read from a directory.
#[derive(Debug, Clone)]
pub struct PretrainedWeights {
    /// Validated configuration.
    pub config: BertConfig,
    /// Tensors in f32 on the CPU under BERT's bare names (without prefix) for any family: `embeddings.…`,
    /// `encoder.layer.N.…`, and, if the file has them, `pooler.dense.…`, `classifier.…` and `cls.predictions.…`.
    pub tensors: BTreeMap<String, Tensor>,
    /// Names in the file that the encoder does not use, such as pre-training heads.
    pub unused: Vec<String>,
}

impl PretrainedWeights {
    /// Directory for a path or a hub name. An existing path is returned unchanged. The model of a valid hub name
    /// (`bert-base-uncased`, `sentence-transformers/all-MiniLM-L6-v2`) is downloaded into the cache of Python's
    /// `huggingface_hub`, unless it is there already: `config.json`, `model.safetensors`, and the available files of a
    /// tokenizer. All loaders of directories call this function.
    ///
    /// Requires the feature `hub`. The variables `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE` and
    /// `HF_TOKEN` have their usual meaning.
    ///
    /// # Errors
    /// Without the feature [`Error::NoHub`]; with it [`Error::Hub`] if one of the two required files cannot be
    /// downloaded. An invalid hub name is returned unchanged; reading it as a path then reports that it is missing.
    pub fn fetch(name: impl AsRef<Path>) -> Result<PathBuf> {
        model_directory(name)
    }

    /// Directory of a model whose repository on the hub holds all its files, including `dht.json`. Each file is checked
    /// against the size that the hub lists, large files also against the listed SHA-256. A repository without `dht.json`
    /// is downloaded as by [`fetch`](Self::fetch).
    ///
    /// # Errors
    /// Without the feature `hub` [`Error::NoHub`]; with it [`Error::HubFiles`], or as [`fetch`](Self::fetch).
    pub fn fetch_all(name: &str) -> Result<PathBuf> {
        whole_directory(name)
    }

    /// Reads `config.json` and `model.safetensors` of a directory, or of a model on the hub ([`fetch`](Self::fetch)).
    ///
    /// Names are converted to BERT's bare names ([`Family`](crate::config::Family)), and old names of layer norms (`gamma`,
    /// `beta`) are replaced. F16, BF16 and F64 become F32. Only the required tensors are read, one at a time, and never
    /// more bytes than the file has, so that a wrong header costs no memory.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch); [`Error::Io`]; [`Error::Json`] and [`Error::Config`] for the configuration;
    /// [`Error::Unsupported`] for files of an adapter. [`Error::Weights`], naming file and tensor, if the file is
    /// truncated, its header is wrong (lengths, gaps, overlaps, duplicate names), or a tensor is invalid. A tensor is
    /// invalid if it is missing or has another shape than in the configuration, belongs to a layer that the configuration
    /// does not have, holds NaN or infinite values, or has an effect that is not computed. A tensor that the model does not
    /// use never conflicts with one that it uses.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = &*model_directory(folder)?;
        for name in entry_names(folder)? {
            if let Some(refusal) = file_entry(&name).refusal(folder) {
                return Err(refusal);
            }
        }
        let config = BertConfig::from_file(folder.join("config.json"))?;
        let (mut file, header) = WeightsFile::open(folder.join("model.safetensors"))?;
        let TensorPlan { wanted, unused, problems } = TensorPlan::new(&config, &header);
        if let Some((tensor, problem)) = problems.into_iter().next() {
            return Err(file.error(tensor.as_deref(), problem));
        }
        let mut tensors = BTreeMap::new();
        for (name, written) in wanted {
            let mut read = |written: &str| {
                let info = &header.tensors[written];
                file.tensor(written, info, header.position(info))
            };
            let tensor = read(&written[0])?;
            for other in &written[1..] {
                if !same(&read(other)?, &tensor)? {
                    return Err(file.error(Some(other), WeightsProblem::Conflict { other: written[0].clone() }));
                }
            }
            tensors.insert(name, tensor);
        }
        Ok(Self { config, tensors, unused })
    }
}

/// Word embeddings under BERT's name.
const WORDS: &str = "embeddings.word_embeddings.weight";

/// Used and unused tensors of a file, and their problems.
pub(super) struct TensorPlan {
    /// BERT's names, and the names in the file. There are several if the file has a tensor under a new and an old name.
    pub(super) wanted: Vec<(String, Vec<String>)>,
    /// Names in the file, ascending.
    pub(super) unused: Vec<String>,
    pub(super) problems: Vec<(Option<String>, WeightsProblem)>,
}

impl TensorPlan {
    pub(super) fn new(config: &BertConfig, header: &FileHeader) -> Self {
        let family = config.family;
        let own = Pooling::of_config(config).is_ok_and(|pooling| pooling != Pooling::Pooler);
        let head = family.head_names(own, header.tensors.keys());
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut unused = Vec::new();
        for name in header.tensors.keys() {
            match family.ours(name, head) {
                Some(ours) => found.entry(ours).or_default().push(name.clone()),
                None => unused.push(name.clone()),
            }
        }
        let shape = |written: &str| header.tensors[written].shape.clone();
        let (wanted, missing) = wanted(config, |name| found.get(name).map(|names| shape(&names[0])));
        // If no part of the embeddings is found under any name, only its prefix can be wrong.
        let elsewhere = |name: &String| Some(name.strip_suffix(WORDS)?.to_owned()).filter(|prefix| !prefix.is_empty());
        let misnamed = match found.contains_key(WORDS) {
            true => None,
            false => header.tensors.keys().find_map(elsewhere),
        };
        let missing = match misnamed {
            Some(found) => Some(WeightsProblem::Prefix { found, expected: family.prefix() }),
            None => missing,
        };
        let mut problems: Vec<_> = missing.map(|missing| (None, missing)).into_iter().collect();
        // Fewer layers than in the file would be another model than the directory's.
        let layers = config.num_hidden_layers;
        if let Some((_, names)) = found.iter().find(|(name, _)| layer_of(name) >= Some(layers)) {
            problems.push((Some(names[0].clone()), WeightsProblem::MoreLayers { layers }));
            found.retain(|name, _| layer_of(name) < Some(layers));
        }
        let mut used = Vec::new();
        for Expected { name, shape: expected } in wanted {
            let Some(names) = found.remove(&name) else { continue };
            for written in &names {
                let got = shape(written);
                if got != expected {
                    let problem = WeightsProblem::Shape { expected: expected.clone(), got };
                    problems.push((Some(written.clone()), problem));
                }
            }
            used.push((name, names));
        }
        unused.extend(found.into_values().flatten());
        unused.sort();
        for name in &unused {
            if let (Treatment::Refused, reason) = unused_tensor(family.bare(name)) {
                problems.push((Some(name.clone()), WeightsProblem::Unsupported { reason }));
            }
        }
        Self { wanted: used, unused, problems }
    }
}

/// Names of the entries of a directory, ascending.
pub(super) fn entry_names(folder: &Path) -> Result<Vec<String>> {
    let failed = |source| Error::io(folder, source);
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let name = |entry: std::io::Result<std::fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = entries.map(name).collect::<std::io::Result<_>>().map_err(failed)?;
    names.sort();
    Ok(names)
}

/// Returns whether two tensors have the same shape and values.
fn same(left: &Tensor, right: &Tensor) -> Result<bool> {
    let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    Ok(left.dims() == right.dims() && values(left)? == values(right)?)
}

/// Error of weights that cannot be opened. It reports weights in another format.
fn missing_weights(path: &Path, source: std::io::Error) -> Error {
    const OTHERS: [(&str, &str); 4] = [
        ("model.safetensors.index.json", "weights in several files are not read: save the model again as one"),
        ("pytorch_model.bin", "weights in this format are not read: save the model again as model.safetensors"),
        ("tf_model.h5", "weights in this format are not read: save the model again as model.safetensors"),
        ("flax_model.msgpack", "weights in this format are not read: save the model again as model.safetensors"),
    ];
    let missing = source.kind() == std::io::ErrorKind::NotFound;
    let mut others = OTHERS.iter().map(|(name, reason)| (path.with_file_name(name), *reason));
    // The same under another name.
    let named = |name: &String| name.ends_with(".safetensors") && !name.starts_with("adapter");
    let names = path.parent().and_then(|folder| entry_names(folder).ok()).unwrap_or_default();
    let renamed = names.iter().find(|name| named(name)).map(|name| {
        (path.with_file_name(name), "is not read under this name: call it model.safetensors if it has all weights")
    });
    match others.find(|(other, _)| other.exists()).or(renamed).filter(|_| missing) {
        Some((path, reason)) => Error::Unsupported { path, item: None, reason: reason.into() },
        None => Error::io(path, source),
    }
}

/// The layer that a tensor belongs to.
fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("encoder.layer.")?.split_once('.')?.0.parse().ok()
}

pub(super) struct WeightsFile {
    path: PathBuf,
    file: File,
}

impl WeightsFile {
    pub(super) fn open(path: PathBuf) -> Result<(Self, FileHeader)> {
        let opened = open_file(&path).and_then(|mut file| {
            let length = file.metadata()?.len();
            let header = FileHeader::read(&mut file, length)?;
            Ok((file, header))
        });
        let (file, header) = opened.map_err(|source| missing_weights(&path, source))?;
        let this = Self { path, file };
        let header = header.map_err(|(tensor, problem)| this.error(tensor.as_deref(), problem))?;
        Ok((this, header))
    }

    pub(super) fn error(&self, tensor: Option<&str>, problem: WeightsProblem) -> Error {
        Error::Weights { path: self.path.clone(), tensor: tensor.map(str::to_owned), problem }
    }

    fn tensor(&mut self, name: &str, info: &TensorInfo, position: u64) -> Result<Tensor> {
        let dtype = match info.dtype.as_str() {
            "F16" => DType::F16,
            "BF16" => DType::BF16,
            "F32" => DType::F32,
            "F64" => DType::F64,
            _ => return Err(self.error(Some(name), WeightsProblem::Type { dtype: info.dtype.clone() })),
        };
        let mut bytes = vec![0; info.bytes() as usize];
        self.file
            .seek(SeekFrom::Start(position))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|source| Error::io(&self.path, source))?;
        let values = Tensor::from_raw_buffer(&bytes, dtype, &[info.elements()], &Device::Cpu)?
            .to_dtype(DType::F32)?
            .to_vec1::<f32>()?;
        match not_finite(&values) {
            Some(problem) => Err(self.error(Some(name), problem)),
            None => Ok(Tensor::from_vec(values, info.shape.as_slice(), &Device::Cpu)?),
        }
    }
}
