use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use super::header::{FileHeader, TensorInfo};
use super::names::{Expected, wanted};
use super::not_finite;
use crate::config::BertConfig;
use crate::error::{Error, Result, WeightsProblem};
use crate::storage::model_directory;

/// An encoder's configuration and weights as read from a directory.
#[derive(Debug, Clone)]
pub struct PretrainedWeights {
    /// The checked configuration.
    pub config: BertConfig,
    /// The tensors in f32 on the CPU under BERT's bare names, whatever the family: `embeddings.…`, `encoder.layer.N.…`,
    /// and, if the file has them, `pooler.dense.…`, `classifier.…` and `cls.predictions.…`.
    pub tensors: BTreeMap<String, Tensor>,
    /// Names in the file that the encoder has no use for (heads of pre-training, say).
    pub unused: Vec<String>,
}

/// Reads `config.json` and `model.safetensors` of a directory, or of a model on the hub
/// ([`model_directory`]).
///
/// Names become BERT's bare ones ([`Family`](crate::config::Family)), and old names of layer norms (`gamma`, `beta`) are replaced. F16, BF16 and F64 become
/// F32. Only the tensors the configuration needs are read, one at a time, and no more than the file is long: a wrong
/// header costs no memory.
///
/// # Errors
/// As [`model_directory`]; [`Error::Io`]; [`Error::Json`] and [`Error::Config`] for the configuration; [`Error::Weights`], naming file and
/// tensor, when the file is cut off, its header lies (lengths, gaps, overlaps, names that come twice), a tensor has
/// another shape than the configuration says, is missing, belongs to a layer that the configuration does not have, or
/// holds NaN or infinite values.
pub fn read_hugging_face(folder: impl AsRef<Path>) -> Result<PretrainedWeights> {
    let folder = &*model_directory(folder)?;
    let config = BertConfig::from_file(folder.join("config.json"))?;
    let (mut file, header) = WeightsFile::open(folder.join("model.safetensors"))?;
    let mut found: BTreeMap<String, (&str, &TensorInfo)> = BTreeMap::new();
    for (name, info) in &header.tensors {
        if found.insert(config.family.ours(name), (name, info)).is_some() {
            return Err(file.error(Some(name), WeightsProblem::Duplicate));
        }
    }

    let wanted = wanted(&config, |name| found.get(name).map(|(_, info)| info.shape.clone()))
        .map_err(|problem| file.error(None, problem))?;
    // Fewer layers than the file has would be another model than the directory's.
    let layers = config.num_hidden_layers;
    if let Some((written, _)) = found.iter().find(|(name, _)| layer_of(name) >= Some(layers)).map(|(_, found)| found) {
        return Err(file.error(Some(written), WeightsProblem::MoreLayers { layers }));
    }
    // All shapes before the first byte of data.
    for Expected { name, shape } in &wanted {
        let (written, info) = found[name];
        if info.shape != *shape {
            let problem = WeightsProblem::Shape { expected: shape.clone(), got: info.shape.clone() };
            return Err(file.error(Some(written), problem));
        }
    }
    let mut tensors = BTreeMap::new();
    for Expected { name, .. } in wanted {
        if let Some((written, info)) = found.remove(&name) {
            tensors.insert(name, file.tensor(written, info, header.position(info))?);
        }
    }
    let unused = found.into_values().map(|(written, _)| written.to_owned()).collect();
    Ok(PretrainedWeights { config, tensors, unused })
}

/// The layer that a tensor belongs to.
fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("encoder.layer.")?.split_once('.')?.0.parse().ok()
}

struct WeightsFile {
    path: PathBuf,
    file: File,
}

impl WeightsFile {
    fn open(path: PathBuf) -> Result<(Self, FileHeader)> {
        let opened = File::open(&path).and_then(|mut file| {
            let length = file.metadata()?.len();
            let header = FileHeader::read(&mut file, length)?;
            Ok((file, header))
        });
        let (file, header) = opened.map_err(|source| Error::io(&path, source))?;
        let this = Self { path, file };
        let header = header.map_err(|(tensor, problem)| this.error(tensor.as_deref(), problem))?;
        Ok((this, header))
    }

    fn error(&self, tensor: Option<&str>, problem: WeightsProblem) -> Error {
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
