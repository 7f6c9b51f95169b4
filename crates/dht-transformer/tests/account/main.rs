//! Model directories as Python's `transformers` and its users write them. Each is loaded correctly, or refused with a
//! reason.

mod config;
mod directory;
mod labels;
mod tensors;
mod tokenizer;
