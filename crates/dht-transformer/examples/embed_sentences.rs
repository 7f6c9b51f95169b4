//! Sentences as vectors: which of them say the same?
//!
//! ```text
//! cargo run --release -p dht-transformer --example embed_sentences -- DIRECTORY
//! ```
//!
//! DIRECTORY is a BERT sentence encoder as Hugging Face keeps it (`config.json`, `model.safetensors`, `tokenizer.json`
//! or `vocab.txt`), such as all-MiniLM-L6-v2. The vector of a sentence is the mean of its last states, and two are
//! compared by the cosine of their angle.

use candle_core::Device;
use dht_transformer::{
    BertConfig, Encoder, ForwardContext, HeadPlan, PackedBatch, Result, Sample, TextTokenizer, data::longest_first,
};
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

/// An encoder and its tokenizer from a directory, or tiny ones that have learnt nothing.
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

/// The mean last state of each text, scaled to length 1.
fn embed(encoder: &Encoder, tokenizer: &TextTokenizer, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
    let longest = encoder.config().longest_text().min(256);
    let encode =
        |(id, text)| Ok(Sample { id, label: 0, targets: Vec::new(), encoding: tokenizer.encode(text, None, longest)? });
    let samples = (0..).zip(texts.iter().copied()).map(encode).collect::<Result<Vec<_>>>()?;
    let lengths: Vec<usize> = samples.iter().map(|sample| sample.encoding.ids.len()).collect();
    let mut vectors = vec![Vec::new(); texts.len()];
    for rows in longest_first(&lengths, 32)? {
        let (batch, ctx) =
            (PackedBatch::from_samples(rows.iter().map(|row| &samples[*row]))?, ForwardContext::inference());
        let hidden = encoder.run(0..encoder.layers(), &encoder.embed(&batch, &ctx)?, &HeadPlan::Full, &ctx)?;
        for (row, vector) in rows.into_iter().zip(hidden.mean_rows()?.to_vec2::<f32>()?) {
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            vectors[row] = vector.into_iter().map(|x| x / length).collect();
        }
    }
    Ok(vectors)
}

fn main() -> Result<()> {
    let (encoder, tokenizer) = load(std::env::args().nth(1))?;
    let vectors = embed(&encoder, &tokenizer, &SENTENCES)?;
    for (row, vector) in vectors.iter().enumerate() {
        let cosines = vectors.iter().map(|other| vector.iter().zip(other).map(|(a, b)| a * b).sum::<f32>());
        let cosines: Vec<String> = cosines.map(|cosine| format!("{cosine:6.3}")).collect();
        println!("{} {}  {}", row + 1, cosines.join(" "), SENTENCES[row]);
    }
    Ok(())
}
