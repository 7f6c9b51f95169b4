//! Tokenizers: loading, training, and encoding of texts as token ids.
//!
//! Steps from a Hugging Face directory to token ids ([`TextTokenizer::from_dir`]), in order:
//!
//! | step | file |
//! |---|---|
//! | files of the directory, their problems, and the tokenizer class | `directory.rs` |
//! | settings and vocabulary; the tokenizer that they define | `build.rs` |
//! | special and added tokens | `tokens.rs` |
//! | prefix before each text, from the settings of sentence-transformers | `prompt.rs` |
//! | token ids of a text | `text_tokenizer.rs` |
//! | parts of a long text, of which only the first are tokenised | `parts.rs`, `cut.rs` |
//! | words that become unknown tokens | `unknown.rs` |
//!
//! `word_piece.rs` trains a vocabulary, and `description.rs` writes its `tokenizer.json`.

mod build;
mod cut;
mod description;
mod directory;
mod parts;
mod prompt;
mod text_tokenizer;
mod tokens;
mod unknown;
mod word_piece;

pub(crate) use directory::TokenizerDirectory;
pub(crate) use prompt::PROMPTS;
pub use text_tokenizer::TextTokenizer;
