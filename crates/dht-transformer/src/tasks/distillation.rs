//! Knowledge distillation: training of a small classifier (student) on the outputs of a larger one (teacher).

use std::sync::Arc;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fine_tuning::stored_flops;
use super::task::Task;
use super::teacher_logits::TeacherLogits;
use super::text_classifier::TextClassifier;
use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::{Error, Result, SettingMismatch};
use crate::flops::Load;
use crate::tensors::{Hidden, Parameters, cosine_distance, cross_entropy, soft_cross_entropy, wide};
use crate::train::{Objective, Predict, Progress, StepLoss};

/// Temperature and term weights of a distillation loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillationSettings {
    /// Temperature τ of the soft labels, above 0. A higher temperature increases the influence of classes with a low
    /// probability.
    pub temperature: f64,
    /// Weight of the loss on the teacher's soft labels (class probabilities), above 0.
    pub soft_label_weight: f64,
    /// Weight of the cosine distance between the last hidden states of student and teacher, at least 0.
    pub cosine_weight: f64,
    /// Weight of the cross-entropy on the data set's labels, at least 0.
    pub label_weight: f64,
}

impl Default for DistillationSettings {
    /// DistilBERT's settings: τ = 2, and the weights 5 for soft labels, 1 for hidden states and 2 for labels. The term
    /// of the labels replaces DistilBERT's masked language modelling (Sanh et al. 2019, and the commands of their
    /// repository).
    fn default() -> Self {
        Self { temperature: 2.0, soft_label_weight: 5.0, cosine_weight: 1.0, label_weight: 2.0 }
    }
}

impl DistillationSettings {
    /// Settings for a loss on soft labels and labels only: τ = 2, equal weights for both, and no loss on hidden states.
    /// The method is that of Hinton et al. 2015; this crate chose the values.
    pub fn soft_labels() -> Self {
        Self { temperature: 2.0, soft_label_weight: 0.5, cosine_weight: 0.0, label_weight: 0.5 }
    }

    /// Checks that the temperature and the weights are in their ranges.
    ///
    /// # Errors
    /// [`Error::Argument`] with the name of the first value that is out of range.
    pub fn check(&self) -> Result<()> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let not_negative = |value: f64| value >= 0.0 && value.is_finite();
        for (field, value, right) in [
            ("temperature", self.temperature, positive as fn(f64) -> bool),
            ("soft_label_weight", self.soft_label_weight, positive),
            ("cosine_weight", self.cosine_weight, not_negative),
            ("label_weight", self.label_weight, not_negative),
        ] {
            if !right(value) {
                let least = if right(0.0) { "at least 0" } else { "above 0" };
                return Err(Error::argument(field, format!("a finite number, {least}"), value.to_string()));
            }
        }
        Ok(())
    }
}

/// Knowledge distillation: trains a small classifier (student) on the outputs of a trained larger one (teacher). The
/// loss is a weighted mean of three terms, each of which is a mean over samples:
///
/// ```text
/// soft labels   τ²·KL(softmax(t/τ) ‖ softmax(z/τ))                  logits t of the teacher, z of the student (Hinton et al. 2015)
/// hidden states mean over the text's tokens of 1 − cos(hᵗ, hˢ)      rows after the last layer (Sanh et al. 2019)
/// labels        −log softmax(z)ₗ
/// ```
///
/// The weights are divided by their sum, so that the gradients have the scale of a single loss. Gradient clipping thus
/// works as without distillation. DistilBERT averages the cosine over all tokens of a batch. Here, all texts have equal
/// weight, as in the other terms.
///
/// The teacher runs without gradients and dropout. It is not changed, and not stored in checkpoints. A resumed training
/// run requires the same teacher again, but only the configuration of the teacher is checked.
///
/// # Examples
/// ```
/// use candle_core::Device;
/// use dht_transformer::data::generated::GeneratedText;
/// use dht_transformer::tasks::{Distillation, DistillationSettings};
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
/// // A real teacher is trained first.
/// let mut distillation = Distillation::new(student, &teacher, DistillationSettings::soft_labels())?;
/// let settings = TrainSettings { epochs: 1, batch_size: 4, ..TrainSettings::default() };
/// Trainer::new(settings).fit(&mut distillation, &texts, None, &mut ())?;
/// assert_eq!(distillation.into_model().encoder().layers(), 1);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug)]
pub struct Distillation {
    student: TextClassifier,
    teacher: TextClassifier,
    settings: DistillationSettings,
    logits: Option<Arc<TeacherLogits>>,
    /// Context of the teacher's forward passes. It keeps the teacher's packed weights from one batch to the next.
    teacher_ctx: ForwardContext,
    flops: u64,
    teacher_flops: u64,
}

impl Distillation {
    /// Creates the distillation of a trained teacher into a student. The teacher's weights are shared, not copied.
    ///
    /// # Errors
    /// [`Error::Argument`] in these cases:
    ///
    /// - A setting is out of range.
    /// - The student or the teacher is not a single-label classifier.
    /// - The classes or the vocabulary of the teacher differ from those of the student, or the teacher has fewer
    ///   positions or layers.
    /// - The loss has a cosine term, and the hidden sizes differ.
    pub fn new(student: TextClassifier, teacher: &TextClassifier, settings: DistillationSettings) -> Result<Self> {
        settings.check()?;
        check_teacher(&student, teacher, settings)?;
        Ok(Self {
            student,
            teacher: teacher.clone(),
            settings,
            logits: None,
            teacher_ctx: ForwardContext::inference(),
            flops: 0,
            teacher_flops: 0,
        })
    }

    /// Uses stored logits of the teacher. The teacher does not run for a batch in which all texts have stored logits.
    /// The FLOPs of computing the stored logits are not counted.
    ///
    /// # Errors
    /// [`Error::Argument`] if the loss has a cosine term, which requires hidden states of the teacher.
    pub fn with_logits(self, logits: Arc<TeacherLogits>) -> Result<Self> {
        if self.settings.cosine_weight > 0.0 {
            let got = self.settings.cosine_weight.to_string();
            return Err(Error::argument("cosine_weight", "0 if only the teacher's logits are stored", got));
        }
        Ok(Self { logits: Some(logits), ..self })
    }

    /// Student with its current weights.
    pub fn model(&self) -> &TextClassifier {
        &self.student
    }

    /// Returns the trained student.
    pub fn into_model(self) -> TextClassifier {
        self.student
    }

    /// Temperature and weights of the loss.
    pub fn settings(&self) -> DistillationSettings {
        self.settings
    }

    /// FLOPs of all matrix products in the training run so far: the teacher's forward passes, and the student's forward
    /// and backward passes. Neither validation nor the training of the teacher is included.
    pub fn flops(&self) -> u64 {
        self.flops
    }

    /// FLOPs of the teacher's forward passes, which are a part of [`flops`](Self::flops).
    pub fn teacher_flops(&self) -> u64 {
        self.teacher_flops
    }

    /// Computes the distillation loss of a batch, a scalar.
    ///
    /// # Errors
    /// Errors of [`Encoder::embed`](crate::Encoder::embed); [`Error::Argument`] if a label is not a class.
    pub fn loss(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Tensor> {
        let hidden = self.student.hidden(batch, ctx)?;
        let logits = self.student.classifier().forward(&hidden, ctx)?;
        let (teacher_hidden, teacher_logits) = match self.stored_logits(batch)? {
            Some(logits) => (None, logits),
            None => {
                let hidden = self.teacher.hidden(batch, &self.teacher_ctx)?;
                let logits = self.teacher.classifier().forward(&hidden, &self.teacher_ctx)?;
                (Some(hidden), logits)
            }
        };

        let DistillationSettings { temperature, soft_label_weight, cosine_weight, label_weight } = self.settings;
        let mut losses = (soft_cross_entropy(&logits, &teacher_logits, temperature)? * soft_label_weight)?;
        if let Some(teacher_hidden) = teacher_hidden.filter(|_| cosine_weight > 0.0) {
            losses = (losses + (hidden_distance(&hidden, &teacher_hidden)? * cosine_weight)?)?;
        }
        if label_weight > 0.0 {
            losses = (losses + (cross_entropy(&logits, &batch.labels)? * label_weight)?)?;
        }
        Ok((losses.mean_all()? / (soft_label_weight + cosine_weight + label_weight))?)
    }

    /// Stored logits of the teacher for a batch, shape (samples, classes). Returns `None` if a text has no stored
    /// logits; the teacher must then run.
    fn stored_logits(&self, batch: &PackedBatch) -> Result<Option<Tensor>> {
        Ok(self.logits.as_ref().map(|logits| logits.of_batch(batch)).transpose()?.flatten())
    }
}

/// Computes the cosine distance between the hidden states of two models, averaged over the tokens of each sample, shape
/// (samples).
fn hidden_distance(hidden: &Hidden, target: &Hidden) -> Result<Tensor> {
    let of_tokens = cosine_distance(&wide(hidden.tensor())?, &wide(target.tensor())?)?.unsqueeze(1)?;
    Ok(Hidden::new(of_tokens, hidden.packing().clone())?.mean_rows()?.squeeze(1)?)
}

/// Checks that the student can learn from the teacher: both are single-label classifiers, and their classes,
/// vocabularies and sizes fit together.
fn check_teacher(student: &TextClassifier, teacher: &TextClassifier, settings: DistillationSettings) -> Result<()> {
    for (field, model) in [("student", student), ("teacher", teacher)] {
        if model.task() != Task::Class {
            return Err(Error::argument(field, "a classifier of classes", format!("one for {:?}", model.task())));
        }
    }
    let sizes = |model: &TextClassifier| {
        let (encoder, config) = (model.encoder(), model.encoder().config());
        [model.classifier().classes(), config.vocab_size, config.longest_text(), encoder.layers(), config.hidden_size]
    };
    let ([classes, vocabulary, positions, layers, hidden], teacher_sizes) = (sizes(student), sizes(teacher));
    let cases = [
        (teacher_sizes[0] == classes, format!("one of {classes} classes, as the student"), teacher_sizes[0]),
        (teacher_sizes[1] == vocabulary, format!("one over {vocabulary} tokens, as the student"), teacher_sizes[1]),
        (
            teacher_sizes[2] >= positions,
            format!("one with {positions} positions or more, as the student"),
            teacher_sizes[2],
        ),
        (teacher_sizes[3] >= layers, format!("one of {layers} layers or more, as the student"), teacher_sizes[3]),
        (
            teacher_sizes[4] == hidden || settings.cosine_weight == 0.0,
            format!("one of hidden size {hidden}, as the student, where hidden states are compared"),
            teacher_sizes[4],
        ),
    ];
    match cases.into_iter().find(|(right, ..)| !right) {
        Some((_, expected, got)) => Err(Error::argument("teacher", expected, got.to_string())),
        None => Ok(()),
    }
}

impl Objective for Distillation {
    type Error = Error;

    fn parameters(&self) -> &Parameters {
        self.student.parameters()
    }

    fn check_data(&self, data: &EncodedDataset) -> Result<()> {
        self.student.check_data(data)
    }

    fn prepare(&mut self, training: &EncodedDataset, _: Progress) -> Result<()> {
        training.check_classes(self.student.classifier().classes())
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>> {
        let ctx = ForwardContext::training(self.parameters(), progress.seed, progress.step as u32);
        let loss = self.loss(&batch, &ctx)?;
        let load = Load::from(&batch.spans);
        let is_stored = self.stored_logits(&batch)?.is_some();
        let teacher = if is_stored { 0 } else { self.teacher.forward_flops(load).0 };
        self.teacher_flops += teacher;
        self.flops += teacher + (self.student.forward_flops(load) + self.student.backward_flops(load)).0;
        Ok(Some(StepLoss { loss, ctx, samples: batch.len(), terms: batch.len() }))
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        self.student.score(data, batch_size)
    }

    fn metric(&self) -> &'static str {
        self.student.metric()
    }

    fn state(&self) -> Result<Value> {
        let (student, teacher) = (self.student.state()?, self.teacher.state()?);
        let settings = serde_json::to_value(self.settings)
            .map_err(|source| Error::Json { what: "distillation settings".into(), source })?;
        let (flops, teacher_flops) = (self.flops, self.teacher_flops);
        Ok(json!({
            "student": student, "teacher": teacher, "distillation": settings,
            "flops": flops, "teacher_flops": teacher_flops,
        }))
    }

    fn differences(&self, state: &Value) -> Result<Vec<SettingMismatch>> {
        let own = self.state()?;
        let settings = |state: &Value| {
            let parts = ["student", "teacher", "distillation"].map(|part| (part.to_owned(), state[part].clone()));
            Value::from_iter(parts)
        };
        Ok(SettingMismatch::between(&settings(state), &settings(&own)))
    }

    fn restore(&mut self, state: Value, training: &EncodedDataset) -> Result<()> {
        let flops = [stored_flops(&state, "flops")?, stored_flops(&state, "teacher_flops")?];
        training.check_classes(self.student.classifier().classes())?;
        [self.flops, self.teacher_flops] = flops;
        Ok(())
    }
}

impl Predict for Distillation {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<u32>> {
        self.student.predict(batch, ctx)
    }
}
