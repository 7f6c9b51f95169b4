//! Tokenizers: loading, training, and encoding of texts as token ids.

mod build;
mod cut;
mod description;
mod directory;
mod parts;
mod text_tokenizer;
mod tokens;
mod word_piece;

pub(crate) use directory::TokenizerDirectory;
pub use text_tokenizer::TextTokenizer;
