//! TinyBERT's intermediate distillation of a student, without labels.

use std::sync::Arc;

use candle_core::Tensor;
use rand::Rng;
use serde_json::{Value, json};

use super::layer_map::LayerMap;
use super::loss::IntermediateLoss;
use super::teacher_states::TeacherStates;
use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::{Error, Result, SettingMismatch};
use crate::tasks::text_classifier::TextClassifier;
use crate::tensors::Parameters;
use crate::train::{Objective, Progress, StepLoss};

/// TinyBERT's intermediate distillation: trains a student to match the attention scores, hidden states and embeddings
/// of a teacher, with the [`IntermediateLoss`]. Labels are not used.
///
/// # Examples
/// ```
/// use candle_core::Device;
/// use dht_transformer::data::generated::GeneratedText;
/// use dht_transformer::tasks::{IntermediateDistillation, LayerMap};
/// use dht_transformer::{BertConfig, Dataset, Encoder, Pooling, TextClassifier, TextTokenizer, TrainSettings, Trainer};
/// # use rand::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
///
/// let tokenizer = TextTokenizer::from_vocabulary(&GeneratedText::vocabulary())?;
/// let texts = tokenizer.encode_all(&Dataset::generated(8, 1)?, 64)?;
/// let config = BertConfig::small(2, 2, 8, tokenizer.vocabulary_size())?;
/// let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// let teacher = TextClassifier::new(encoder, 4, Pooling::Mean, &mut rng)?;
/// let student = teacher.with_encoder(teacher.encoder().truncated(1)?)?;
///
/// let mut distillation = IntermediateDistillation::new(student, &teacher, LayerMap::Last, &mut rng)?;
/// let settings = TrainSettings { epochs: 1, batch_size: 4, ..TrainSettings::default() };
/// Trainer::new(settings).fit(&mut distillation, &texts, None, &mut ())?;
/// assert_eq!(distillation.into_model().encoder().layers(), 1);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug)]
pub struct IntermediateDistillation {
    student: TextClassifier,
    loss: IntermediateLoss,
}

impl IntermediateDistillation {
    /// Creates the distillation of a teacher into a student. The teacher's weights are shared, not copied. Student and
    /// teacher must have the same number of heads in a layer; other sizes may differ.
    ///
    /// # Errors
    /// Errors of [`IntermediateLoss::new`], also if the student still has the projections of an earlier distillation.
    pub fn new<R: Rng + ?Sized>(
        mut student: TextClassifier,
        teacher: &TextClassifier,
        map: LayerMap,
        rng: &mut R,
    ) -> Result<Self> {
        let loss = IntermediateLoss::new(&mut student, teacher, map, rng)?;
        Ok(Self { student, loss })
    }

    /// Uses stored intermediate results of the teacher. The teacher does not run for a batch in which all texts have
    /// stored results.
    ///
    /// # Errors
    /// Errors of [`IntermediateLoss::with_states`].
    pub fn with_states(self, states: Arc<TeacherStates>) -> Result<Self> {
        Ok(Self { loss: self.loss.with_states(states)?, ..self })
    }

    /// Student with its current weights.
    pub fn model(&self) -> &TextClassifier {
        &self.student
    }

    /// Returns the trained student.
    pub fn into_model(self) -> TextClassifier {
        self.student
    }

    /// Computes the intermediate loss of a batch, a scalar.
    ///
    /// # Errors
    /// Errors of [`Encoder::embed`](crate::Encoder::embed).
    pub fn loss(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Tensor> {
        let (embedded, records) = self.student.encoder().run_recorded(batch, ctx)?;
        self.loss.of_records(&embedded, &records, batch, ctx)
    }
}

impl Objective for IntermediateDistillation {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.student.parameters()
    }

    fn check_data(&self, data: &EncodedDataset) -> Result<()> {
        self.student.encoder().check_samples(data)
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>> {
        let ctx = ForwardContext::training(self.parameters(), progress.seed, progress.step as u32);
        let loss = self.loss(&batch, &ctx)?;
        Ok(Some(StepLoss { loss, ctx, samples: batch.len(), terms: batch.len() }))
    }

    /// Negative mean intermediate loss of a data set, so that higher is better.
    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        let (mut sum, ctx) = (0.0, ForwardContext::inference());
        for rows in (0..data.len()).collect::<Vec<_>>().chunks(batch_size.max(1)) {
            let loss = self.loss(&data.batch(rows)?, &ctx)?.to_scalar::<f32>()?;
            sum += f64::from(loss) * rows.len() as f64;
        }
        Ok(-sum / data.len().max(1) as f64)
    }

    fn metric(&self) -> &'static str {
        "minus loss"
    }

    fn state(&self) -> Result<Value> {
        let map =
            serde_json::to_value(self.loss.map()).map_err(|source| Error::Json { what: "layer map".into(), source })?;
        Ok(json!({ "student": self.student.state()?, "teacher": self.loss.teacher().state()?, "layer_map": map }))
    }

    fn differences(&self, state: &Value) -> Result<Vec<SettingMismatch>> {
        Ok(SettingMismatch::between(state, &self.state()?))
    }

    fn restore(&mut self, _: Value, _: &EncodedDataset) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::config::{BertConfig, Pooling};
    use crate::data::{Encoding, Sample};
    use crate::model::Encoder;
    use crate::train::optim::AdamWSettings;
    use crate::train::{settings::TrainSettings, trainer::Trainer};

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
    fn a_teacher_copy_with_identity_projections_has_no_loss() {
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
    fn stored_teacher_states_give_the_loss_of_running_the_teacher() {
        let (teacher, data) = (model(4, 16, 1), data());
        let map = LayerMap::Given(vec![1, 3]);
        let distillation = || {
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            IntermediateDistillation::new(model(2, 8, 2), &teacher, map.clone(), &mut rng).unwrap()
        };
        let loss = |distillation: &IntermediateDistillation, rows: &[usize]| {
            let batch = data.batch(rows).unwrap();
            distillation.loss(&batch, &ForwardContext::inference()).unwrap().to_scalar::<f32>().unwrap()
        };
        let layers = map.teacher_layers(2, 4).unwrap();
        let all = TeacherStates::of_teacher(&teacher, &layers, &data, 3, usize::MAX).unwrap();
        // 4·t·((L + 1)·d + L·h·t) bytes each: two layers of 16 columns and two heads.
        let bytes = |tokens: usize| 4 * tokens * (3 * 16 + 2 * 2 * tokens);
        assert_eq!((all.len(), all.bytes()), (8, data.lengths().into_iter().map(bytes).sum()));
        // Only texts of 2 tokens.
        let some = TeacherStates::of_teacher(&teacher, &layers, &data, 1, 2 * bytes(2)).unwrap();
        assert_eq!(some.len(), 2);
        for states in [all, some].map(Arc::new) {
            let stored = distillation().with_states(states).unwrap();
            for rows in [&[0_usize, 1, 2, 3][..], &[0, 4], &[7]] {
                let (expected, got) = (loss(&distillation(), rows), loss(&stored, rows));
                assert!((expected - got).abs() < 1e-6, "{rows:?}: {got}, {expected} by running the teacher");
            }
        }
        let other = TeacherStates::of_teacher(&teacher, &[2, 3], &data, 3, 0).unwrap();
        assert!(other.is_empty());
        assert!(TeacherStates::of_teacher(&teacher, &[1, 4], &data, 3, 0).is_err());
        assert!(distillation().with_states(Arc::new(other)).unwrap_err().to_string().contains("[1, 3]"));
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
