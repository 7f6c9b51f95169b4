//! Distillation of what happens inside: attention scores, hidden states and embeddings.

use candle_core::Tensor;
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::text_classifier::TextClassifier;
use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::{Error, Result, SettingMismatch};
use crate::model::{LayerRecord, Linear};
use crate::tensors::{Hidden, Parameters, Spans};
use crate::train::{Objective, Progress, StepLoss};

/// Which of the teacher's layers each layer of the student learns from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerMap {
    /// Evenly spread: layer m of M, counted from 1, from layer ⌈m·N/M⌉ of N. TinyBERT's where M divides N (Jiao et al. 2020).
    #[default]
    Uniform,
    /// The teacher's last layers.
    Last,
    /// These layers of the teacher, counted from 0, one for each of the student's, ascending.
    Given(Vec<usize>),
}

impl LayerMap {
    /// For each of the student's layers the teacher's, both from 0.
    ///
    /// # Errors
    /// [`Error::Setting`] when the teacher has fewer layers than the student, or given layers are not one for each, do not
    /// ascend or are not there.
    pub fn teacher_layers(&self, student: usize, teacher: usize) -> Result<Vec<usize>> {
        if student > teacher || student == 0 {
            let got = format!("{student} of a student and {teacher} of a teacher");
            return Err(Error::setting("layers", "a student with layers, and no more of them than its teacher", got));
        }
        match self {
            Self::Uniform => Ok((1..=student).map(|layer| (layer * teacher).div_ceil(student) - 1).collect()),
            Self::Last => Ok((teacher - student..teacher).collect()),
            Self::Given(layers) => {
                let right = layers.len() == student
                    && layers.is_sorted_by(|a, b| a < b)
                    && layers.last().is_none_or(|last| *last < teacher);
                let expected = || format!("{student} ascending layers below {teacher}");
                if right {
                    Ok(layers.clone())
                } else {
                    Err(Error::setting("layer_map", expected(), format!("{layers:?}")))
                }
            }
        }
    }
}

/// Mean over the texts of the mean over heads and pairs of tokens of (a − b)², between scores before the softmax of one layer of
/// two models. Both are (samples, heads, longest, longest), of which places without a token do not count; the second is the
/// target and gets no gradient.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ, as for another number of heads; what candle reports.
pub fn attention_distance(scores: &Tensor, target: &Tensor, spans: &Spans) -> Result<Tensor> {
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

/// Mean over the texts of the mean over tokens and dimensions of (a − b)². Both are (tokens, width); the second is the target and
/// gets no gradient.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ; what candle reports.
pub fn state_distance(rows: &Tensor, target: &Hidden) -> Result<Tensor> {
    let (expected, got) = (target.tensor().dims().to_vec(), rows.dims().to_vec());
    if expected != got {
        return Err(Error::Shape { what: "hidden rows".into(), expected, got });
    }
    let squares = (rows - target.tensor().detach())?.sqr()?.mean_keepdim(1)?;
    Ok(Hidden::new(squares, target.packing().clone())?.mean_rows()?.mean_all()?)
}

/// Trains a student to compute as a teacher does: TinyBERT's intermediate distillation (Jiao et al. 2020, equations 7 to 9).
///
/// ```text
/// L = MSE(E·W_e, Eᵗ) + Σ_m [ MSE(H_m·W_h, Hᵗ_g(m)) + MSE(A_m, Aᵗ_g(m)) ]
/// ```
///
/// A head that is gone from the student is not compared.
/// E are the embeddings' rows, H_m those after layer m, A_m the attention scores before the softmax, g the [`LayerMap`]. W_e and W_h
/// (with a bias) are learned with the student, as parameters `distillation.embeddings` and `distillation.hidden` of its encoder;
/// directories do not have them. No labels are read. Layers are composed of candle's operations, since the fused ones do not
/// hand out scores.
#[derive(Debug)]
pub struct IntermediateDistillation {
    student: TextClassifier,
    teacher: TextClassifier,
    map: LayerMap,
    teacher_layers: Vec<usize>,
    of_embeddings: Linear,
    of_hidden: Linear,
    pending: Option<PackedBatch>,
    teacher_ctx: ForwardContext,
}

impl IntermediateDistillation {
    /// The training of a student from a teacher, of which a handle is kept; of any two sizes with equally many heads.
    ///
    /// # Errors
    /// [`Error::Setting`] for a map that does not fit, another vocabulary, fewer positions or another number of heads in the
    /// teacher; [`Error::Parameter`] for a student that was distilled so before.
    pub fn new<R: Rng + ?Sized>(
        mut student: TextClassifier,
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
                return Err(Error::setting("teacher", format!("{expected}, as the student"), got.to_string()));
            }
        }
        let mut project = |name: &str| student.encoder_mut().add_linear(name, own.hidden_size, other.hidden_size, rng);
        let (of_embeddings, of_hidden) = (project("distillation.embeddings")?, project("distillation.hidden")?);
        let (teacher, teacher_ctx) = (teacher.clone(), ForwardContext::inference());
        Ok(Self { student, teacher, map, teacher_layers, of_embeddings, of_hidden, pending: None, teacher_ctx })
    }

    /// The student as it stands.
    pub fn model(&self) -> &TextClassifier {
        &self.student
    }

    /// The trained student.
    pub fn into_model(self) -> TextClassifier {
        self.student
    }

    /// The loss of a batch: one number.
    ///
    /// # Errors
    /// As [`Encoder::embed`](crate::Encoder::embed).
    pub fn loss(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Tensor> {
        let (embedded, records) = self.student.encoder().run_recorded(batch, ctx)?;
        let (target, targets) = self.teacher.encoder().run_recorded(batch, &self.teacher_ctx)?;
        let mut loss = state_distance(&self.of_embeddings.forward(embedded.tensor(), ctx)?, &target)?;
        for (record, teacher_layer) in records.iter().zip(&self.teacher_layers) {
            let LayerRecord { hidden, scores, heads } = &targets[*teacher_layer];
            let projected = self.of_hidden.forward(record.hidden.tensor(), ctx)?;
            let same = record.heads.iter().filter_map(|own| heads.iter().position(|head| head == own));
            let same: Vec<u32> = same.map(|place| place as u32).collect();
            if same.len() < record.heads.len() {
                return Err(Error::setting("teacher", "one with every head of the student", format!("{heads:?}")));
            }
            let scores = scores.index_select(&Tensor::new(same, scores.device())?, 1)?;
            let of_scores = attention_distance(&record.scores, &scores, &batch.spans)?;
            loss = ((loss + state_distance(&projected, hidden)?)? + of_scores)?;
        }
        Ok(loss)
    }
}

impl Objective for IntermediateDistillation {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.student.parameters()
    }

    fn offer(&mut self, batch: PackedBatch, _: Progress) -> Result<()> {
        self.pending = Some(batch);
        Ok(())
    }

    fn next_loss(&mut self, progress: Progress, _drain: bool) -> Result<Option<StepLoss>> {
        let Some(batch) = self.pending.take() else { return Ok(None) };
        let ctx = ForwardContext::training(self.parameters(), progress.seed, progress.step as u32);
        let loss = self.loss(&batch, &ctx)?;
        Ok(Some(StepLoss { loss, ctx, samples: batch.len(), terms: batch.len() }))
    }

    /// Minus the mean loss.
    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        let (mut sum, ctx) = (0.0, ForwardContext::inference());
        for rows in (0..data.len()).collect::<Vec<_>>().chunks(batch_size.max(1)) {
            let loss = self.loss(&data.batch(rows)?, &ctx)?.to_scalar::<f32>()?;
            sum += f64::from(loss) * rows.len() as f64;
        }
        Ok(-sum / data.len().max(1) as f64)
    }

    fn state(&self) -> Result<Value> {
        let map = serde_json::to_value(&self.map).map_err(|source| Error::Json { what: "layer map".into(), source })?;
        Ok(json!({ "student": self.student.state()?, "teacher": self.teacher.state()?, "layer_map": map }))
    }

    fn differences(&self, state: &Value) -> Result<Vec<SettingMismatch>> {
        Ok(SettingMismatch::between(state, &self.state()?))
    }

    fn restore(&mut self, _: Value, _: &EncodedDataset) -> Result<()> {
        self.pending = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use candle_core::Device;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::config::{BertConfig, Pooling};
    use crate::data::{Encoding, Sample};
    use crate::model::Encoder;
    use crate::train::optim::AdamWSettings;
    use crate::train::{TrainSettings, Trainer};

    fn model(layers: usize, hidden: usize, seed: u64) -> TextClassifier {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let config = BertConfig {
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            ..BertConfig::small(layers, 2, hidden, 30).unwrap()
        };
        let encoder = Encoder::random(&config, &Device::Cpu, &mut rng).unwrap();
        TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng).unwrap()
    }

    fn data() -> EncodedDataset {
        let sample = |id: u64| {
            let ids: Vec<u32> = (0..2 + id as u32 % 4).map(|token| (5 * token + 7 * id as u32) % 30).collect();
            let encoding = Encoding { type_ids: vec![0; ids.len()], ids, truncated: false, rest: Default::default() };
            Sample { id, label: 0, targets: Vec::new(), encoding }
        };
        EncodedDataset { samples: (0..8).map(sample).collect(), labels: vec![String::new(); 2], truncated_rows: 0 }
    }

    #[test]
    fn layers_are_mapped_evenly_from_the_end_or_as_given() {
        assert_eq!(LayerMap::Uniform.teacher_layers(4, 12).unwrap(), [2, 5, 8, 11]);
        assert_eq!(LayerMap::Uniform.teacher_layers(4, 6).unwrap(), [1, 2, 4, 5]);
        assert_eq!(LayerMap::Last.teacher_layers(2, 6).unwrap(), [4, 5]);
        assert_eq!(LayerMap::Given(vec![0, 3]).teacher_layers(2, 6).unwrap(), [0, 3]);
        for (map, student, teacher) in [
            (LayerMap::Uniform, 7, 6),
            (LayerMap::Last, 0, 6),
            (LayerMap::Given(vec![1]), 2, 6),
            (LayerMap::Given(vec![3, 1]), 2, 6),
            (LayerMap::Given(vec![1, 6]), 2, 6),
        ] {
            assert!(matches!(map.teacher_layers(student, teacher), Err(Error::Setting { .. })), "{map:?}");
        }
    }

    #[test]
    fn distances_are_means_over_real_tokens_text_by_text() {
        // Two texts of 1 and 2 tokens, 1 head: (1 − 0)² of the first; of the second (4 + 0 + 0 + 16)/4; padding counts nothing.
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
        assert_relative_eq!(state_distance(&rows, &target).unwrap().to_scalar::<f32>().unwrap(), 1.0);
    }

    #[test]
    fn a_teacher_is_at_no_distance_from_itself_but_for_the_projections() {
        let teacher = model(2, 8, 1);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let student = teacher.with_encoder(teacher.encoder().truncated(2).unwrap()).unwrap();
        let distillation = IntermediateDistillation::new(student, &teacher, LayerMap::Uniform, &mut rng).unwrap();
        let batch = data().batch(&[0, 1, 2, 3]).unwrap();
        let parameters = distillation.model().encoder().parameters();
        // Projections that are identities.
        let eye = Tensor::eye(8, candle_core::DType::F32, &Device::Cpu).unwrap();
        for name in ["distillation.embeddings.weight", "distillation.hidden.weight"] {
            parameters.var(parameters.id(name).unwrap()).set(&eye).unwrap();
        }
        let loss = distillation.loss(&batch, &ForwardContext::inference()).unwrap();
        assert!(loss.to_scalar::<f32>().unwrap() < 1e-9);
    }

    #[test]
    fn a_smaller_student_comes_closer_to_its_teacher() {
        let (teacher, student) = (model(4, 16, 1), model(2, 8, 2));
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut distillation = IntermediateDistillation::new(student, &teacher, LayerMap::Uniform, &mut rng).unwrap();
        let before = distillation.score(&data(), 4).unwrap();
        let optimizer = AdamWSettings { learning_rate: 1e-2, ..AdamWSettings::default() };
        let settings = TrainSettings { epochs: 30, batch_size: 4, optimizer, ..TrainSettings::default() };
        Trainer::new(settings).fit(&mut distillation, &data(), &data(), &mut ()).unwrap();
        let after = distillation.score(&data(), 4).unwrap();
        assert!(after > 0.5 * before, "{before} and {after}");
        let again = IntermediateDistillation::new(distillation.into_model(), &teacher, LayerMap::Uniform, &mut rng);
        assert!(matches!(again, Err(Error::Parameter { .. })));
    }

    #[test]
    fn teachers_that_cannot_be_mapped_are_refused() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut refused = |student, teacher: &TextClassifier| {
            IntermediateDistillation::new(student, teacher, LayerMap::Uniform, &mut rng).unwrap_err().to_string()
        };
        assert!(refused(model(4, 8, 1), &model(2, 8, 2)).contains("layers"));
        let config = BertConfig::small(2, 4, 8, 30).unwrap();
        let encoder = Encoder::random(&config, &Device::Cpu, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        let teacher = TextClassifier::new(encoder, 2, Pooling::Mean, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        assert!(refused(model(2, 8, 1), &teacher).contains("2 heads"));
    }
}
