//! Stored logits of a teacher, which then runs only once.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use super::text_classifier::TextClassifier;
use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::Result;

/// Logits of a teacher, looked up by the tokens of a text.
#[derive(Debug, Clone)]
pub struct TeacherLogits {
    classes: usize,
    rows: HashMap<Vec<u32>, Vec<f32>>,
    device: Device,
}

impl TeacherLogits {
    /// Runs the teacher once over texts, without gradient and dropout.
    ///
    /// # Errors
    /// As [`Encoder::embed`](crate::Encoder::embed); [`Error::Argument`](crate::Error::Argument) for a batch size of 0.
    pub fn of_teacher(teacher: &TextClassifier, data: &EncodedDataset, batch_size: usize) -> Result<Self> {
        let (mut rows, ctx) = (HashMap::with_capacity(data.len()), ForwardContext::inference());
        for places in PackedBatch::longest_first(&data.lengths(), batch_size)? {
            let batch = data.batch(&places)?;
            rows.extend(batch.contents().zip(teacher.logits(&batch, &ctx)?.to_vec2()?));
        }
        let device = teacher.encoder().parameters().device().clone();
        Ok(Self { classes: teacher.classifier().classes(), rows, device })
    }

    /// Logits (samples, classes) of a batch; `None` if a text of the batch is not stored.
    ///
    /// # Errors
    /// The errors of candle.
    pub fn of_batch(&self, batch: &PackedBatch) -> Result<Option<Tensor>> {
        let Some(rows) = batch.contents().map(|text| self.rows.get(&text)).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let numbers: Vec<f32> = rows.into_iter().flatten().copied().collect();
        Ok(Some(Tensor::from_vec(numbers, (batch.len(), self.classes), &self.device)?))
    }
}
