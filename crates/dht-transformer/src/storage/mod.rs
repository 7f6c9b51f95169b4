//! Atomic writes of files, and downloads of models and data sets from the Hugging Face hub.

mod atomic;
mod digest;
mod hub;
mod named_tensors;
mod parts;
mod regular_file;
mod shard_index;

pub(crate) use atomic::{GIT_LFS, folder_of, refuse_foreign, synchronise_folder};
pub use atomic::{
    abandon_unfinished_files, restore_replaced, writable_file, write_atomically, write_directory_atomically,
};
pub use digest::file_sha256;
pub(crate) use digest::{Hashing, hexadecimal};
pub use hub::HubDataset;
pub(crate) use hub::{model_directory, whole_directory};
pub use named_tensors::StoredTensor;
pub(crate) use parts::missing_part;
pub use regular_file::{FileKind, read_file};
pub(crate) use regular_file::{entry_names, open_file};
pub(crate) use shard_index::{Members, ShardIndex, WEIGHT_FILES};
