//! Intermediate loss: distance between the attention scores, hidden states and embeddings of a student and its teacher.

use std::sync::Arc;

use candle_core::Tensor;
use rand::Rng;

use super::layer_map::LayerMap;
use super::teacher_states::TeacherStates;
use crate::backend::ForwardContext;
use crate::data::PackedBatch;
use crate::error::{Error, Result};
use crate::model::{LayerRecord, Linear};
use crate::tasks::TextClassifier;
use crate::tensors::{Hidden, Spans, wide};

impl LayerRecord {
    /// Mean squared error between the attention scores of two models before the softmax, such as a student and its
    /// teacher. The error is averaged over heads and pairs of tokens, and then over texts.
    ///
    /// `target` has the shape (samples, heads, longest, longest) and receives no gradient. Positions without a token do
    /// not count.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shapes differ, for example in the number of heads;
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn attention_distance(&self, target: &Tensor, spans: &Spans) -> Result<Tensor> {
        attention_distance(&self.scores, target, spans)
    }
}

impl Hidden {
    /// Mean squared error of `rows`, shape (tokens, width), as an approximation of these hidden states. The error is
    /// averaged over tokens and dimensions, and then over texts. Only `rows` receives a gradient.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shapes differ; [`Error::Candle`] if a tensor operation fails.
    pub fn squared_error_of(&self, rows: &Tensor) -> Result<Tensor> {
        let (expected, got) = (self.tensor().dims().to_vec(), rows.dims().to_vec());
        if expected != got {
            return Err(Error::Shape { what: "hidden rows".into(), expected, got });
        }
        let squares = (wide(rows)? - wide(self.tensor())?.detach())?.sqr()?.mean_keepdim(1)?;
        Ok(Self::new(squares, self.packing().clone())?.mean_rows()?.mean_all()?)
    }
}

/// Mean squared error between the attention scores of two models, shape (samples, heads, longest, longest). See
/// [`LayerRecord::attention_distance`].
fn attention_distance(scores: &Tensor, target: &Tensor, spans: &Spans) -> Result<Tensor> {
    let (expected, got) = (target.dims().to_vec(), scores.dims().to_vec());
    if expected != got {
        return Err(Error::Shape { what: "attention scores".into(), expected, got });
    }
    let (samples, heads, longest, _) = scores.dims4()?;
    let mut weights = vec![0f32; samples * longest * longest];
    for (weights, length) in weights.chunks_exact_mut(longest * longest).zip(spans.lengths()) {
        let weight = 1.0 / (samples * heads * length * length) as f32;
        weights.chunks_exact_mut(longest).take(length).for_each(|row| row[..length].fill(weight));
    }
    let weights = Tensor::from_vec(weights, (samples, 1, longest, longest), scores.device())?;
    Ok((scores - target.detach())?.sqr()?.broadcast_mul(&weights)?.sum_all()?)
}

/// TinyBERT's intermediate loss (Jiao et al. 2020, equations 7 to 9) between a student and its teacher.
///
/// ```text
/// L = MSE(E·W_e, Eᵗ) + Σ_m [ MSE(H_m·W_h, Hᵗ_g(m)) + MSE(A_m, Aᵗ_g(m)) ]
/// ```
///
/// E are the embeddings, H_m the hidden states after layer m, and A_m the attention scores before the softmax. A
/// superscript t marks values of the teacher. Layer m of the student learns from the teacher's layer g(m), where g is
/// the [`LayerMap`]. Heads that were pruned from the student are not compared.
///
/// The projections W_e and W_h (with a bias) are trained together with the student. They are the parameters
/// `distillation.embeddings` and `distillation.hidden` of its encoder, and are not written to directories.
#[derive(Debug)]
pub struct IntermediateLoss {
    teacher: TextClassifier,
    map: LayerMap,
    teacher_layers: Vec<usize>,
    of_embeddings: Linear,
    of_hidden: Linear,
    states: Option<Arc<TeacherStates>>,
    teacher_ctx: ForwardContext,
}

impl IntermediateLoss {
    /// Creates the loss between a student and its teacher. It shares the teacher's weights, and adds two projections to
    /// the student's parameters.
    ///
    /// # Errors
    /// [`Error::Argument`] if the layer map does not fit, or if the teacher has another vocabulary, fewer positions or
    /// another number of heads than the student. [`Error::Parameter`] if the student already has projections.
    pub fn new<R: Rng + ?Sized>(
        student: &mut TextClassifier,
        teacher: &TextClassifier,
        map: LayerMap,
        rng: &mut R,
    ) -> Result<Self> {
        let (own, other) = (student.encoder().config().clone(), teacher.encoder().config().clone());
        let teacher_layers = map.teacher_layers(own.num_hidden_layers, other.num_hidden_layers)?;
        for (right, expected, got) in [
            (own.vocab_size == other.vocab_size, format!("one over {} tokens", own.vocab_size), other.vocab_size),
            (
                own.longest_text() <= other.longest_text(),
                format!("one with {} positions or more", own.longest_text()),
                other.longest_text(),
            ),
            (
                own.num_attention_heads == other.num_attention_heads,
                format!("one with {} heads in a layer", own.num_attention_heads),
                other.num_attention_heads,
            ),
        ] {
            if !right {
                return Err(Error::argument("teacher", format!("{expected}, as the student"), got.to_string()));
            }
        }
        let mut project = |name: &str| student.encoder_mut().add_linear(name, own.hidden_size, other.hidden_size, rng);
        let (of_embeddings, of_hidden) = (project("distillation.embeddings")?, project("distillation.hidden")?);
        let (teacher, teacher_ctx) = (teacher.clone(), ForwardContext::inference());
        Ok(Self { teacher, map, teacher_layers, of_embeddings, of_hidden, states: None, teacher_ctx })
    }

    /// Uses stored intermediate results of the teacher. The teacher does not run for a batch in which all texts have
    /// stored results.
    ///
    /// # Errors
    /// [`Error::Argument`] if the results belong to other layers than those of the layer map.
    pub fn with_states(self, states: Arc<TeacherStates>) -> Result<Self> {
        if states.layers() != self.teacher_layers {
            let (expected, got) = (format!("of layers {:?}", self.teacher_layers), format!("{:?}", states.layers()));
            return Err(Error::argument("states", expected, got));
        }
        Ok(Self { states: Some(states), ..self })
    }

    /// Teacher whose intermediate results the student learns from.
    pub fn teacher(&self) -> &TextClassifier {
        &self.teacher
    }

    /// Mapping from the student's layers to the teacher's.
    pub fn map(&self) -> &LayerMap {
        &self.map
    }

    /// Computes the loss of a batch, a scalar, from the student's embeddings and from the output and attention scores
    /// of each of its layers.
    ///
    /// # Errors
    /// Errors of [`Encoder::embed`](crate::Encoder::embed).
    pub fn of_records(
        &self,
        embedded: &Hidden,
        records: &[LayerRecord],
        batch: &PackedBatch,
        ctx: &ForwardContext,
    ) -> Result<Tensor> {
        let stored =
            self.states.as_ref().map(|states| states.of_batch(batch, embedded.packing())).transpose()?.flatten();
        let (target, targets) = match stored {
            Some(stored) => stored,
            None => self.teacher.encoder().run_recorded(batch, &self.teacher_ctx).map(|(embedded, records)| {
                (embedded, self.teacher_layers.iter().map(|layer| records[*layer].clone()).collect())
            })?,
        };
        let mut loss = target.squared_error_of(&self.of_embeddings.forward(embedded.tensor(), ctx)?)?;
        for (record, target) in records.iter().zip(&targets) {
            let LayerRecord { hidden, scores, heads } = target;
            let projected = self.of_hidden.forward(record.hidden.tensor(), ctx)?;
            let same = record.heads.iter().filter_map(|own| heads.iter().position(|head| head == own));
            let same: Vec<u32> = same.map(|place| place as u32).collect();
            if same.len() < record.heads.len() {
                return Err(Error::argument("teacher", "one with every head of the student", format!("{heads:?}")));
            }
            let scores = scores.index_select(&Tensor::new(same, scores.device())?, 1)?;
            let of_scores = record.attention_distance(&scores, &batch.spans)?;
            loss = ((loss + hidden.squared_error_of(&projected)?)? + of_scores)?;
        }
        Ok(loss)
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use candle_core::Device;

    use super::*;

    #[test]
    fn distances_are_means_over_real_tokens_text_by_text() {
        // Two texts of 1 and 2 tokens, 1 head: (1 − 0)² of the first; (4 + 0 + 0 + 16)/4 of the second; padding does
        // not count.
        let spans = Spans::from_lengths([1, 2]).unwrap();
        let scores = Tensor::new(&[[[[1f32, 9.], [9., 9.]]], [[[2., 0.], [0., 4.]]]], &Device::Cpu).unwrap();
        let distance = attention_distance(&scores, &scores.zeros_like().unwrap(), &spans).unwrap();
        assert_relative_eq!(distance.to_scalar::<f32>().unwrap(), (1.0 + 5.0) / 2.0);
        assert!(attention_distance(&scores, &scores.narrow(2, 0, 1).unwrap(), &spans).is_err());
        let packing = crate::tensors::Packing::new(spans, vec![0, 1]).unwrap();
        let zeros = Tensor::zeros((3, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
        let target = Hidden::new(zeros, packing.into()).unwrap();
        let rows = Tensor::new(&[[1f32, 1.], [2., 0.], [0., 0.]], &Device::Cpu).unwrap();
        // (1 + 1)/2 of the first, (4/2 + 0)/2 of the second.
        assert_relative_eq!(target.squared_error_of(&rows).unwrap().to_scalar::<f32>().unwrap(), 1.0);
    }
}
