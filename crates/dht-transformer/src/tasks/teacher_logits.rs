//! Stored logits of a teacher, so that it runs once for each text instead of once in every epoch.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use super::text_classifier::TextClassifier;
use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::Result;

/// Stored logits of a teacher for the texts of a data set, for distillation. They are looked up by the token ids of a
/// text.
///
/// # Examples
/// ```
/// use candle_core::Device;
/// use dht_transformer::data::generated::GeneratedText;
/// use dht_transformer::tasks::TeacherLogits;
/// use dht_transformer::{BertConfig, Dataset, Encoder, Pooling, TextClassifier, TextTokenizer};
/// # use rand::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
///
/// let tokenizer = TextTokenizer::from_vocabulary(&GeneratedText::vocabulary())?;
/// let texts = tokenizer.encode_all(&Dataset::generated(8, 1)?, 64)?;
/// let config = BertConfig::small(2, 2, 8, tokenizer.vocabulary_size())?;
/// let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// let teacher = TextClassifier::new(encoder, 4, Pooling::Mean, &mut rng)?;
///
/// let logits = TeacherLogits::of_teacher(&teacher, &texts, 4)?;
/// let batch = logits.of_batch(&texts.batch(&[0, 1, 2])?)?.expect("stored logits");
/// assert_eq!(batch.dims(), [3, 4]); // samples, classes
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TeacherLogits {
    classes: usize,
    rows: HashMap<Vec<u32>, Vec<f32>>,
    device: Device,
}

impl TeacherLogits {
    /// Runs the teacher once on all texts, without gradients and dropout, and stores its logits.
    ///
    /// # Errors
    /// Errors of [`Encoder::embed`](crate::Encoder::embed); [`Error::Argument`](crate::Error::Argument) if the batch
    /// size is 0.
    pub fn of_teacher(teacher: &TextClassifier, data: &EncodedDataset, batch_size: usize) -> Result<Self> {
        let (mut rows, ctx) = (HashMap::with_capacity(data.len()), ForwardContext::inference());
        for places in PackedBatch::longest_first(&data.lengths(), batch_size)? {
            let batch = data.batch(&places)?;
            rows.extend(batch.contents().zip(teacher.logits(&batch, &ctx)?.to_vec2()?));
        }
        let device = teacher.encoder().parameters().device().clone();
        Ok(Self { classes: teacher.classifier().classes(), rows, device })
    }

    /// Stored logits of a batch, shape (samples, classes). `None` if a text of the batch has no stored logits.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if a tensor operation fails.
    pub fn of_batch(&self, batch: &PackedBatch) -> Result<Option<Tensor>> {
        let Some(rows) = batch.contents().map(|text| self.rows.get(&text)).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let numbers: Vec<f32> = rows.into_iter().flatten().copied().collect();
        Ok(Some(Tensor::from_vec(numbers, (batch.len(), self.classes), &self.device)?))
    }
}
