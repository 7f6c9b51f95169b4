//! Embeds sentences as vectors, and compares their meaning.
//!
//! ```text
//! cargo run --release -p dht-transformer --example embed_sentences -- DIRECTORY [FILE]
//! ```
//!
//! DIRECTORY is a BERT sentence encoder in Hugging Face's format (`config.json`, weights, `tokenizer.json` or
//! `vocab.txt`), such as all-MiniLM-L6-v2. The vector of a sentence is the mean of its last hidden states. Two
//! sentences are compared by the cosine similarity of their vectors. FILE has one sentence on each line; with FILE, the
//! vectors of its sentences are printed instead, as CSV.

use candle_core::Device;
use dht_transformer::{BertConfig, Encoder, Error, Result, TextTokenizer};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const SENTENCES: [&str; 6] = [
    "A man is playing the guitar on stage.",
    "Someone performs music with a guitar.",
    "The central bank raised interest rates again.",
    "Borrowing becomes more expensive after the latest rate decision.",
    "My cat sleeps all day long on the sofa.",
    "The kitten dozes on the couch.",
];

/// Loads an encoder and its tokenizer from a directory, or creates a tiny encoder with random weights.
fn load(folder: Option<String>) -> Result<(Encoder, TextTokenizer)> {
    if let Some(folder) = folder {
        let (encoder, tokenizer) =
            (Encoder::from_pretrained(&folder, &Device::Cpu)?, TextTokenizer::from_dir(&folder)?);
        tokenizer.check_fits(encoder.config())?;
        return Ok((encoder, tokenizer));
    }
    println!("No directory given: this encoder is random, so the numbers below mean nothing.\n");
    let tokenizer = TextTokenizer::train(SENTENCES, 200)?;
    let config = BertConfig::small(2, 4, 32, tokenizer.vocabulary_size())?;
    Ok((Encoder::random(&config, &Device::Cpu, &mut ChaCha8Rng::seed_from_u64(1))?, tokenizer))
}

fn main() -> Result<()> {
    let (encoder, tokenizer) = load(std::env::args().nth(1))?;
    let longest = encoder.config().longest_text().min(256);
    if let Some(file) = std::env::args().nth(2) {
        let text = std::fs::read_to_string(&file).map_err(|source| Error::Io { path: file.into(), source })?;
        let sentences: Vec<&str> = text.lines().collect();
        for vector in encoder.embed_texts(&tokenizer, &sentences, longest)? {
            println!("{}", vector.iter().map(f32::to_string).collect::<Vec<_>>().join(","));
        }
        return Ok(());
    }
    let vectors = encoder.embed_texts(&tokenizer, &SENTENCES, longest)?;
    for (row, vector) in vectors.iter().enumerate() {
        let cosines = vectors.iter().map(|other| vector.iter().zip(other).map(|(a, b)| a * b).sum::<f32>());
        let cosines: Vec<String> = cosines.map(|cosine| format!("{cosine:6.3}")).collect();
        println!("{} {}  {}", row + 1, cosines.join(" "), SENTENCES[row]);
    }
    Ok(())
}
