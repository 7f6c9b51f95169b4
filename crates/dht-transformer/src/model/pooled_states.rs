//! Pooled hidden states of all texts of a data set, and sentence embeddings.

use super::encoder::Encoder;
use crate::backend::ForwardContext;
use crate::config::Pooling;
use crate::data::{EncodedDataset, PackedBatch, TextTokenizer};
use crate::error::{Error, Result};
use crate::tensors::{HeadPlan, finite_rows};

/// Number of texts that are encoded in one batch.
const TEXTS: usize = 32;

impl Encoder {
    /// Computes an embedding of each text: the mean of its last hidden states, scaled to length 1. The cosine
    /// similarity of two texts is then the dot product of their embeddings.
    ///
    /// Texts are truncated at `max_length` tokens. Good embeddings require an encoder that was trained for sentences,
    /// such as all-MiniLM-L6-v2.
    ///
    /// Source: Reimers and Gurevych 2019.
    ///
    /// # Errors
    /// Errors of [`TextTokenizer::encode_texts`]; [`Error::Argument`] if a token id or the length of a text exceeds the
    /// embedding tables.
    ///
    /// ```
    /// # use candle_core::Device;
    /// # use dht_transformer::{BertConfig, Encoder, TextTokenizer};
    /// # use rand::SeedableRng;
    /// # let texts = ["a fine day", "bad food today"];
    /// # let tokenizer = TextTokenizer::train(texts, 100)?;
    /// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    /// # let config = BertConfig::small(2, 4, 16, tokenizer.vocabulary_size())?;
    /// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    /// let vectors = encoder.embed_texts(&tokenizer, &texts, 16)?;
    /// let length: f32 = vectors[0].iter().map(|value| value * value).sum();
    /// assert!((length - 1.0).abs() < 1e-5);
    /// # Ok::<(), dht_transformer::Error>(())
    /// ```
    pub fn embed_texts<T: AsRef<str> + Sync>(
        &self,
        tokenizer: &TextTokenizer,
        texts: &[T],
        max_length: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let encoded = tokenizer.encode_texts(texts, max_length)?;
        let vectors = self.pooled_states(&encoded, &[self.layers()], Pooling::Mean, TEXTS)?.into_iter().flatten();
        let scaled = |vector: Vec<f32>| {
            let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
            vector.into_iter().map(|value| value / length).collect()
        };
        Ok(vectors.map(scaled).collect())
    }

    /// Computes pooled hidden states of each text at several depths, in one run through the encoder. They are useful as
    /// features of linear classifiers on a frozen encoder.
    ///
    /// A depth is a number of layers; depth 0 is the embedding output. The result has the shape (depths, texts,
    /// hidden).
    ///
    /// # Errors
    /// [`Error::Argument`] for depths that do not ascend or exceed the number of layers, and for a batch size of 0.
    /// [`Error::Argument`] for [`Pooling::Pooler`], which needs weights of its own, and if a token id or the length of
    /// a text exceeds the embedding tables. [`Error::NotFinite`] if weights are NaN or infinite.
    ///
    /// ```
    /// # use candle_core::Device;
    /// # use dht_transformer::{BertConfig, Encoder, TextTokenizer};
    /// # use rand::SeedableRng;
    /// # let texts = ["a fine day", "bad food today"];
    /// # let tokenizer = TextTokenizer::train(texts, 100)?;
    /// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    /// # let config = BertConfig::small(2, 4, 16, tokenizer.vocabulary_size())?;
    /// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    /// use dht_transformer::Pooling;
    ///
    /// let data = tokenizer.encode_texts(&texts, 16)?;
    /// let states = encoder.pooled_states(&data, &[0, 2], Pooling::Mean, 32)?;
    /// assert_eq!((states.len(), states[0].len(), states[0][0].len()), (2, 2, 16));
    /// # Ok::<(), dht_transformer::Error>(())
    /// ```
    pub fn pooled_states(
        &self,
        data: &EncodedDataset,
        depths: &[usize],
        pooling: Pooling,
        batch_size: usize,
    ) -> Result<Vec<Vec<Vec<f32>>>> {
        if !depths.is_sorted_by(|before, after| before < after)
            || depths.last().is_some_and(|last| *last > self.layers())
        {
            let expected = format!("ascending numbers of layers, up to {}", self.layers());
            return Err(Error::argument("depths", expected, format!("{depths:?}")));
        }
        if pooling == Pooling::Pooler {
            return Err(Error::argument("pooling", "cls or mean, which have no weights", "pooler"));
        }
        self.check_samples(data)?;
        let ctx = ForwardContext::inference();
        let mut states = vec![vec![Vec::new(); data.len()]; depths.len()];
        for rows in PackedBatch::longest_first(&data.lengths(), batch_size)? {
            let batch = data.batch(&rows)?;
            let (mut hidden, mut reached) = (self.embed(&batch, &ctx)?, 0);
            for (states, &depth) in states.iter_mut().zip(depths) {
                hidden = self.run(reached..depth, &hidden, &HeadPlan::Full, &ctx)?;
                reached = depth;
                let pooled = match pooling {
                    Pooling::Cls => hidden.first_rows()?,
                    Pooling::Mean | Pooling::Pooler => hidden.mean_rows()?,
                };
                for (row, state) in rows.iter().zip(finite_rows(&pooled, &batch.sample_ids)?) {
                    states[*row] = state;
                }
            }
        }
        Ok(states)
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
            // A text has the same vector alone as in a batch.
            let alone = encoder.embed_texts(&tokenizer, &texts[row..=row], 16)?;
            assert!((product(vector, &alone[0]) - 1.0).abs() < 1e-5);
        }
        assert!((product(&vectors[0], &vectors[2]) - 1.0).abs() < 1e-5);
        assert!(product(&vectors[0], &vectors[1]) < 0.999);
        assert!(encoder.embed_texts::<&str>(&tokenizer, &[], 16)?.is_empty());
        assert!(encoder.embed_texts(&tokenizer, &texts, 600).is_ok(), "a limit above the positions cuts nothing here");
        Ok(())
    }

    #[test]
    fn pooled_states_are_those_of_each_text_alone() -> Result<()> {
        let texts = ["a fine day", "rain", "the long rain of a very long day"];
        let tokenizer = TextTokenizer::train(texts, 60)?;
        let config = BertConfig::small(3, 2, 8, tokenizer.vocabulary_size())?;
        let encoder = Encoder::random(&config, &Device::Cpu, &mut rand_chacha::ChaCha8Rng::seed_from_u64(1))?;
        let data = tokenizer.encode_texts(&texts, 16)?;
        for pooling in [Pooling::Cls, Pooling::Mean] {
            let states = encoder.pooled_states(&data, &[0, 2, 3], pooling, 2)?;
            for row in 0..texts.len() {
                let ctx = ForwardContext::inference();
                let embedded = encoder.embed(&data.batch(&[row])?, &ctx)?;
                for (actual, depth) in states.iter().zip([0, 2, 3]) {
                    let hidden = encoder.run(0..depth, &embedded, &HeadPlan::Full, &ctx)?;
                    let expected = if pooling == Pooling::Cls { hidden.first_rows()? } else { hidden.mean_rows()? };
                    for (actual, expected) in actual[row].iter().zip(&expected.to_vec2::<f32>()?[0]) {
                        assert!((actual - expected).abs() < 1e-5, "{pooling:?} after {depth}");
                    }
                }
            }
        }
        let refused = |depths: &[usize], pooling, batch| encoder.pooled_states(&data, depths, pooling, batch).is_err();
        assert!(refused(&[2, 2], Pooling::Mean, 2) && refused(&[4], Pooling::Mean, 2));
        assert!(refused(&[3], Pooling::Pooler, 2) && refused(&[3], Pooling::Mean, 0));
        assert!(encoder.pooled_states(&data, &[], Pooling::Mean, 2)?.is_empty());
        Ok(())
    }
}
