//! Log-probabilities of all exits for all texts, computed in one pass.

use dht_transformer::{EncodedDataset, ForwardContext, HeadPlan, PackedBatch};

use super::exit_model::ExitModel;
use crate::error::Result;
use crate::log_probabilities::{LogProbabilities, LogProbabilityRows};

impl ExitModel {
    /// Computes the log-probabilities of every text at each exit, in one pass. The result has one table for each exit.
    ///
    /// The log-probabilities are the log-softmax of the logits, or in a multi-label task the log-sigmoid of each logit.
    /// Each text runs all layers once, with all attention heads. The layers of a [tail](crate::route::Layout::tail) run
    /// after every exit. Routers with a threshold or a patience (a number of exits that agree) decide from these
    /// values, so that a curve over thresholds or patiences needs no further pass.
    ///
    /// # Errors
    /// * [`Error::Transformer`](crate::Error::Transformer) if the batch size is 0, or if a logit is not finite.
    /// * Errors of the encoder.
    ///
    /// # Examples
    /// ```
    /// # use candle_core::Device;
    /// # use dht_dynamic::transformer::{BertConfig, Dataset, Encoder, Example, TextTokenizer};
    /// # use rand::SeedableRng;
    /// use dht_dynamic::{ExitModel, ExitSettings};
    ///
    /// # let examples = [("good food", 1), ("bad food", 0), ("good film", 1), ("bad film", 0)];
    /// # let examples = examples.map(|(text, label)| Example::new(text, label)).to_vec();
    /// # let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
    /// # let tokenizer = TextTokenizer::train(["good bad food film"], 50)?;
    /// # let texts = tokenizer.encode_all(&data, 16)?;
    /// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    /// # let config = BertConfig::small(2, 6, 24, tokenizer.vocabulary_size())?;
    /// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    /// let model = ExitModel::new(encoder, ExitSettings::linear(vec![1, 2]), 2, &mut rng)?;
    /// let tables = model.exit_log_probabilities(&texts, 8)?;
    /// // One table for each exit, one row for each of four texts.
    /// assert_eq!(tables.iter().map(|table| table.len()).collect::<Vec<_>>(), [4, 4]);
    /// # Ok::<(), dht_dynamic::Error>(())
    /// ```
    pub fn exit_log_probabilities(&self, data: &EncodedDataset, batch_size: usize) -> Result<Vec<LogProbabilities>> {
        let outputs = self.outputs();
        let mut all: Vec<_> = self.exits().iter().map(|_| LogProbabilityRows::new(outputs, data.len())).collect();
        let ctx = ForwardContext::inference();
        for rows in PackedBatch::longest_first(&data.lengths(), batch_size)? {
            let batch = data.batch(&rows)?;
            let mut hidden = self.encoder().embed(&batch, &ctx)?;
            let mut depth = 0;
            for ((exit, &end), of_exit) in self.exits().iter().zip(self.depths()).zip(&mut all) {
                hidden = self.encoder().run(depth..end, &hidden, &HeadPlan::Full, &ctx)?;
                depth = end;
                let last = match self.layout().tail() {
                    Some(tail) => &self.encoder().run(tail.layers(), &hidden, &HeadPlan::Full, &ctx)?,
                    None => &hidden,
                };
                of_exit.set(&rows, outputs.of_logits(&exit.logits(last, &ctx)?, &batch.sample_ids)?);
            }
        }
        all.into_iter().map(LogProbabilityRows::table).collect()
    }
}
