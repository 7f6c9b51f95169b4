//! Directories of models as Python's `transformers` and its users write them: right, or refused with a reason.

mod config;
mod directory;
mod labels;
mod tensors;
mod tokenizer;
