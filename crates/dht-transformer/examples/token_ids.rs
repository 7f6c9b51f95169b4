//! Prints the token ids of texts as JSON lines.
//!
//! ```text
//! cargo run --release -p dht-transformer --example token_ids -- DIRECTORY [LENGTH] < TEXTS > IDS
//! ```
//!
//! DIRECTORY has a tokenizer in Hugging Face's format. A line of TEXTS is a JSON string, or a list of two strings for a
//! pair. A line of IDS has the `ids` of at most LENGTH tokens (default 128), including special tokens. It also has the
//! `types`, which are 1 for the second text of a pair if the model distinguishes the texts.
//! `scripts/compare_tokenizers.py` compares these ids with those of `transformers`.

use std::io::{BufRead, BufWriter, Write};

use dht_transformer::TextTokenizer;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Text(String),
    Pair(String, String),
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("give a directory with a tokenizer")?;
    let length = arguments.next().map_or(Ok(128), |length| length.parse())?;
    let tokenizer = TextTokenizer::from_dir(folder)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let encoding = match serde_json::from_str(&line?)? {
            Line::Text(text) => tokenizer.encode(&text, None, length)?,
            Line::Pair(first, second) => tokenizer.encode(&first, Some(&second), length)?,
        };
        let types: Vec<u32> = encoding.types().collect();
        writeln!(out, "{}", serde_json::json!({"ids": encoding.ids, "types": types}))?;
    }
    out.flush()?;
    Ok(())
}
