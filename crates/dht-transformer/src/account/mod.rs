//! Account of a model directory: a report of every file, field and tensor in it, and how this crate treats each. The
//! account covers all that Python's `transformers` 5 reads for a sequence classifier of the supported families.
//!
//! There is one table for each kind of item: files, fields of `config.json`, fields of the tokenizer's files, tensor
//! names, and model classes. The loaders use the same tables as [`Account::inspect`].
//!
//! An item that is in no table is [unknown](Treatment::Unknown). It prevents loading if it could change an output of
//! the model. Examples are an unknown model class, an unknown tokenizer class, and an unknown tensor inside a layer.

#[expect(clippy::module_inception, reason = "the type is in the file of its name")]
mod account;
mod architecture;
mod config_fields;
mod entry;
mod files;
mod rule;
mod tensors;
mod tokenizer_fields;

pub use account::Account;
pub(crate) use architecture::Architecture;
pub(crate) use config_fields::{ALIASES, FamilyFields, config_entries, config_refusals};
pub use entry::{Entry, Treatment};
pub(crate) use files::file_entry;
pub(crate) use rule::{Check, Rule};
pub(crate) use tensors::unused_tensor;
pub(crate) use tokenizer_fields::{TOKENS, TokenizerClass, VocabularyKind, tokenizer_entries, tokenizer_refusals};
