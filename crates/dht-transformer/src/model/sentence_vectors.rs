//! Sentence embeddings.

use super::encoder::Encoder;
use crate::backend::ForwardContext;
use crate::data::{PackedBatch, TextTokenizer, longest_first};
use crate::error::Result;
use crate::tensors::HeadPlan;

/// Number of texts that run together.
const TEXTS: usize = 32;

impl Encoder {
    /// Embeds each text as the mean of its last hidden states, scaled to length 1, so that the cosine similarity of two
    /// embeddings is their dot product. Texts are truncated at `max_length` tokens. Good embeddings require an encoder
    /// trained for sentences, such as all-MiniLM-L6-v2.
    ///
    /// Source: Reimers and Gurevych 2019.
    ///
    /// # Errors
    /// As [`TextTokenizer::encode_texts`]; [`Error::Argument`](crate::Error::Argument) for tokens or lengths that the
    /// encoder does not have.
    pub fn embed_texts<T: AsRef<str> + Sync>(
        &self,
        tokenizer: &TextTokenizer,
        texts: &[T],
        max_length: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let encoded = tokenizer.encode_texts(texts, max_length)?;
        self.check_samples(&encoded)?;
        let ctx = ForwardContext::inference();
        let mut vectors = vec![Vec::new(); encoded.len()];
        for rows in longest_first(&encoded.lengths(), TEXTS)? {
            let batch = PackedBatch::from_samples(rows.iter().map(|row| &encoded.samples[*row]))?;
            let hidden = self.run(0..self.layers(), &self.embed(&batch, &ctx)?, &HeadPlan::Full, &ctx)?;
            for (row, vector) in rows.into_iter().zip(hidden.mean_rows()?.to_vec2::<f32>()?) {
                let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
                vectors[row] = vector.into_iter().map(|value| value / length).collect();
            }
        }
        Ok(vectors)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::SeedableRng;

    use super::*;
    use crate::config::BertConfig;

    #[test]
    fn vectors_have_length_one_and_depend_on_their_own_text() -> Result<()> {
        let texts = ["a fine day", "rain", "a fine day", "the long rain of a very long day"];
        let tokenizer = TextTokenizer::train(texts, 60)?;
        let config = BertConfig::small(2, 2, 8, tokenizer.vocabulary_size())?;
        let encoder = Encoder::random(&config, &Device::Cpu, &mut rand_chacha::ChaCha8Rng::seed_from_u64(1))?;
        let vectors = encoder.embed_texts(&tokenizer, &texts, 16)?;
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        for (row, vector) in vectors.iter().enumerate() {
            assert!((product(vector, vector) - 1.0).abs() < 1e-5);
            // A text alone gets the same vector as among others.
            let alone = encoder.embed_texts(&tokenizer, &texts[row..=row], 16)?;
            assert!((product(vector, &alone[0]) - 1.0).abs() < 1e-5);
        }
        assert!((product(&vectors[0], &vectors[2]) - 1.0).abs() < 1e-5);
        assert!(product(&vectors[0], &vectors[1]) < 0.999);
        assert!(encoder.embed_texts::<&str>(&tokenizer, &[], 16)?.is_empty());
        assert!(encoder.embed_texts(&tokenizer, &texts, 600).is_ok(), "a limit above the positions cuts nothing here");
        Ok(())
    }
}
