//! Reading of files: texts, vocabularies, configurations and weights.

mod batch;
mod config;
mod dataset;
mod files;
mod formats;
mod labels;
mod long_texts;
mod mutated;
mod programs;
mod splitting;
mod suspicious;
mod tables;
mod tokenizer;
mod unknown_words;
mod weights;
