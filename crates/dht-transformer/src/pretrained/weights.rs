//! Weight files of a model directory: a single file or several shards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::{Device, Var};

use super::content::Content;
use super::header::{Problem, Tensors, read_header};
use super::tensor_info::TensorInfo;
use super::torch_file::{ArchivedFile, read_archive, verify};
use super::values::not_finite;
use crate::error::{Error, Result, WeightsProblem};
use crate::storage::{ShardIndex, WEIGHT_FILES, open_file};

/// Prefixes that PyTorch's data parallelism and compiler add to all tensor names.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// Maximum ratio between the size of all tensors in memory and the size of their files. The limit is required because
/// tensors may share a storage: a small file could otherwise describe tensors that fill the memory.
const MOST_SHARED: u64 = 64;

/// Path of the weight file or shard index in a directory. If several of [`WEIGHT_FILES`] exist, the first is used.
pub(super) fn weights_path(folder: &Path) -> Option<PathBuf> {
    WEIGHT_FILES.iter().map(|name| folder.join(name)).find(|path| path.symlink_metadata().is_ok())
}

/// Open weight files of a model, with the descriptions of their tensors.
pub(super) struct Weights {
    /// Tensors of all weight files, by their names in the files.
    pub(super) tensors: Tensors,
    files: Vec<WeightsFile>,
    /// Path of the single weight file or of the shard index.
    path: PathBuf,
    /// Total length in bytes of the [`WRAPPERS`] prefixes with which all tensor names begin.
    wrapper: usize,
}

struct WeightsFile {
    path: PathBuf,
    file: File,
    length: u64,
    /// Files in a `torch.save` archive; empty for a safetensors file.
    archived: Vec<ArchivedFile>,
}

impl Weights {
    /// Opens the weight file or the index of shards at a path, and reads the descriptions of all tensors.
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        if !ShardIndex::is_index(&path) {
            let (file, tensors) = WeightsFile::open(path.clone())?;
            let wrapper = wrapper(&tensors);
            return Ok(Self { tensors, files: vec![file], path, wrapper });
        }
        let index = ShardIndex::read(&path)?;
        let names = index.names();
        let mut files: Vec<WeightsFile> = Vec::with_capacity(names.len());
        let mut tensors = Tensors::new();
        for name in &names {
            let opened = WeightsFile::open(path.with_file_name(name));
            let (file, shard) = opened.map_err(|error| match error {
                Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                    let expected = "which is not there: copy it beside the index";
                    let problem = WeightsProblem::Shard { shard: name.clone(), expected };
                    Error::Weights { path: path.clone(), tensor: None, problem }
                }
                other => other,
            })?;
            for (tensor, mut info) in shard {
                info.file = files.len();
                if let Some(other) = tensors.insert(tensor.clone(), info) {
                    let other = files[other.file].name();
                    return Err(file.error(Some(&tensor), WeightsProblem::InTwoShards { other }));
                }
            }
            files.push(file);
        }
        for (tensor, shard) in index.shards {
            let holder = tensors.get(&tensor).map(|info| files[info.file].name());
            if holder.as_ref() != Some(&shard) {
                let problem = WeightsProblem::NotInShard { shard, holder };
                return Err(Error::Weights { path, tensor: Some(tensor), problem });
            }
        }
        let wrapper = wrapper(&tensors);
        Ok(Self { tensors, files, path, wrapper })
    }

    /// Removes the prefixes of PyTorch's wrappers from a tensor name.
    pub(super) fn plain<'a>(&self, name: &'a str) -> &'a str {
        name.get(self.wrapper..).unwrap_or(name)
    }

    /// File names of all weight files and of the shard index, if there is one.
    pub(super) fn file_names(&self) -> BTreeSet<String> {
        let own = self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        self.files.iter().map(WeightsFile::name).chain(own).collect()
    }

    pub(super) fn file_of(&self, tensor: &str) -> String {
        self.tensors.get(tensor).map_or_else(String::new, |info| self.files[info.file].name())
    }

    pub(super) fn error(&self, tensor: Option<&str>, problem: WeightsProblem) -> Error {
        match tensor.and_then(|tensor| self.tensors.get(tensor)) {
            Some(info) => self.files[info.file].error(tensor, problem),
            None => Error::Weights { path: self.path.clone(), tensor: tensor.map(str::to_owned), problem },
        }
    }

    /// Checks that the tensors with these names are not far larger in memory than the files.
    pub(super) fn check_size<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Result<()> {
        let bytes = |name: &String| (self.tensors[name].elements() as u64).saturating_mul(size_of::<f32>() as u64);
        let bytes = names.into_iter().map(bytes).fold(0, u64::saturating_add);
        let files = self.files.iter().map(|file| file.length).fold(0, u64::saturating_add);
        let most = files.saturating_mul(MOST_SHARED);
        if bytes > most {
            return Err(self.error(None, WeightsProblem::Shared { bytes, most }));
        }
        Ok(())
    }

    /// Reads a tensor as f32. The result is a variable, so that a model can own it without a copy.
    pub(super) fn read(&mut self, name: &str) -> Result<Var> {
        let info = &self.tensors[name];
        let WeightsFile { path, file, archived, .. } = &mut self.files[info.file];
        let failed = |source| Error::io(&*path, source);
        let verified = match info.storage {
            Some(storage) => verify(file, &mut archived[storage]).map_err(failed)?,
            None => Ok(()),
        };
        let values = match verified {
            Ok(()) => file.seek(SeekFrom::Start(info.start)).and_then(|_| info.values(file)).map_err(failed)?,
            Err(problem) => Err(problem),
        };
        let values = values.and_then(|values| not_finite(&values).map_or(Ok(values), Err));
        match values {
            Ok(values) => Ok(Var::from_vec(values, info.shape.as_slice(), &Device::Cpu)?),
            Err(problem) => Err(self.error(Some(name), problem)),
        }
    }
}

impl WeightsFile {
    /// Opens a weight file in the format that its first bytes indicate.
    fn open(path: PathBuf) -> Result<(Self, Tensors)> {
        let failed = |source| Error::io(&path, source);
        let mut file = open_file(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let content = Content::of(&mut file).map_err(failed)?;
        let archive = path.extension().is_some_and(|extension| extension == "bin");
        if let Some(reason) = content.refusal().or((content == Content::Unknown && archive).then_some(UNKNOWN)) {
            return Err(Error::Unsupported { path, item: None, reason: reason.into() });
        }
        let read = match content {
            Content::Zip => read_archive(&mut file, length),
            _ => read_header(&mut file, length).map(|header| header.map(|tensors| (tensors, Vec::new()))),
        };
        let mut this = Self { path, file, length, archived: Vec::new() };
        let (tensors, archived) = read
            .map_err(|source| Error::io(&this.path, source))?
            .map_err(|(tensor, problem): Problem| this.error(tensor.as_deref(), problem))?;
        this.archived = archived;
        Ok((this, tensors))
    }

    fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    fn error(&self, tensor: Option<&str>, problem: WeightsProblem) -> Error {
        Error::Weights { path: self.path.clone(), tensor: tensor.map(str::to_owned), problem }
    }
}

const UNKNOWN: &str = "is not a file of torch.save, or only its beginning: copy or download it again, or load the model in \
                       transformers and save it by save_pretrained with safe_serialization=True";

fn wrapper(tensors: &BTreeMap<String, TensorInfo>) -> usize {
    let mut length = 0;
    let starts = |length: usize, wrapper: &str| {
        !tensors.is_empty()
            && tensors.keys().all(|name| name.get(length..).is_some_and(|rest| rest.starts_with(wrapper)))
    };
    while let Some(wrapper) = WRAPPERS.iter().find(|wrapper| starts(length, wrapper)) {
        length += wrapper.len();
    }
    length
}
