//! Encoder with a classifier or another linear layer on top, the baseline of dynamic models.

mod saved;

use std::path::Path;

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use rand::Rng;

use super::task::Task;
use super::training_loss::TrainingLoss;
use crate::backend::ForwardContext;
use crate::config::{BertConfig, Pooling};
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::{Error, Result, SettingMismatch};
use crate::flops::{BackwardNeeds, Breakdown, FlopCount, Load};
use crate::model::{Classifier, Encoder, LinearTensors, VarSource};
use crate::pretrained::PretrainedWeights;
use crate::pruning::PrunePlan;
use crate::tensors::{HeadPlan, Hidden, Parameter, Parameters, finite_rows};
use crate::train::metrics::{Correlation, LabelCounts};
use crate::train::{Objective, Predict, Progress, StepLoss};

/// Name of the classifier's parameters in the encoder's [`Parameters`].
const NAME: &str = "classifier";

/// Static classifier, which runs all layers and heads and one classifier after the last layer. Its [`Task`] determines
/// the meaning of the outputs (classes by default), the loss and the [score](Objective::score). The score is the macro
/// F1 for classes, the macro F1 of labels with a probability of at least one half for multi-label texts, and Pearson's
/// correlation for regression.
///
/// # Files
/// A classifier is saved as a Hugging Face directory. [`load`](Self::load) restores a classifier with equal outputs. In
/// Python's `transformers`:
///
/// | pooling | `AutoModelForSequenceClassification.from_pretrained(directory)` |
/// |---|---|
/// | [`Pooling::Pooler`] | loads it as a `BertForSequenceClassification` (or the family's) like any other |
/// | [`Pooling::Cls`], [`Pooling::Mean`] | refuses it; with `trust_remote_code=True` it loads it by the class in the directory's `modeling_dht.py` |
///
/// `transformers` has no class without a pooler for these families, and would create a random pooler. Hence the last
/// two rows of the table have their own `model_type`, `dht-bert`, and `"classifier_pooling": "cls"` or `"mean"`. A
/// directory without the latter field is assumed to have a pooler. Loading such a `dht-bert` directory by the explicit
/// class `BertForSequenceClassification` succeeds, with warnings about the model type and about a newly created pooler.
///
/// A clone is another handle on the same weights: training one trains the other. [`deep_clone`](Self::deep_clone)
/// copies the weights.
#[derive(Debug, Clone)]
pub struct TextClassifier {
    encoder: Encoder,
    classifier: Classifier,
    task: Task,
    /// Loss of the training; `None` for the loss of the task.
    loss: Option<TrainingLoss>,
}

impl TextClassifier {
    /// Adds a new classifier to an encoder.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than two classes.
    pub fn new<R: Rng + ?Sized>(encoder: Encoder, classes: usize, pooling: Pooling, rng: &mut R) -> Result<Self> {
        Self::for_task(Task::Class, encoder, classes, pooling, rng)
    }

    /// Adds a new linear layer for a task to an encoder. With [`Pooling::Pooler`], its pooler starts from the encoder's
    /// pooler, if the encoder was loaded with a pooler.
    ///
    /// # Errors
    /// As [`Task::check`].
    pub fn for_task<R: Rng + ?Sized>(
        task: Task,
        mut encoder: Encoder,
        outputs: usize,
        pooling: Pooling,
        rng: &mut R,
    ) -> Result<Self> {
        task.check(outputs)?;
        let classifier = encoder.add_outputs(NAME, outputs, pooling, rng)?;
        Ok(Self { encoder, classifier, task, loss: None })
    }

    /// Loads the pre-trained encoder of a Hugging Face directory and adds a new classifier, for fine-tuning. For
    /// [`Pooling::Pooler`] the directory's pooler is used, if it has one. A classifier in the directory is ignored.
    ///
    /// # Errors
    /// As [`PretrainedWeights::read`]; [`Error::Argument`] for fewer than two classes.
    pub fn from_pretrained<R: Rng + ?Sized>(
        folder: impl AsRef<Path>,
        classes: usize,
        pooling: Pooling,
        device: &Device,
        rng: &mut R,
    ) -> Result<Self> {
        Self::from_pretrained_for_task(Task::Class, folder, classes, pooling, device, rng)
    }

    /// Loads an encoder as [`from_pretrained`](Self::from_pretrained), for any task.
    ///
    /// # Errors
    /// As [`PretrainedWeights::read`] and [`Task::check`].
    pub fn from_pretrained_for_task<R: Rng + ?Sized>(
        task: Task,
        folder: impl AsRef<Path>,
        outputs: usize,
        pooling: Pooling,
        device: &Device,
        rng: &mut R,
    ) -> Result<Self> {
        task.check(outputs)?;
        let PretrainedWeights { config, tensors, .. } = PretrainedWeights::read_variables(folder)?;
        Self::for_task(task, Encoder::from_variables(&config, &tensors, device)?, outputs, pooling, rng)
    }

    /// Creates a classifier on the tensors of a `candle_nn::VarBuilder`, at the prefix where the names of a
    /// `BertForSequenceClassification` (or the family's equivalent) begin. [`Encoder::from_var_builder`] documents
    /// which tensors are copied, shared and created.
    ///
    /// # Errors
    /// As [`Encoder::from_var_builder`] and [`Task::check`].
    pub fn from_var_builder(
        task: Task,
        config: &BertConfig,
        outputs: usize,
        pooling: Pooling,
        vb: VarBuilder,
    ) -> Result<Self> {
        task.check(outputs)?;
        let source = VarSource::classifier(config, vb);
        let encoder = Encoder::from_var_source(config, &source)?;
        let linear = |name, outputs| LinearTensors::from_var_source(config, &source, name, outputs);
        let pooler = match pooling {
            Pooling::Pooler => Some(linear("pooler.dense", config.hidden_size)?),
            Pooling::Cls | Pooling::Mean => None,
        };
        let outputs = linear("classifier", outputs)?;
        Self::assemble(task, encoder, outputs, pooling, pooler)
    }

    fn assemble(
        task: Task,
        mut encoder: Encoder,
        classes: LinearTensors,
        pooling: Pooling,
        pooler: Option<LinearTensors>,
    ) -> Result<Self> {
        let classifier = encoder.add_given_classifier(NAME, classes, pooling, pooler)?;
        Ok(Self { encoder, classifier, task, loss: None })
    }

    /// Sets class weights, by which training weighs the loss of each sample: Σ w(class)·loss / Σ w(class) over a batch,
    /// as PyTorch's `CrossEntropyLoss(weight=…)`. Class weights only affect training and are not saved.
    ///
    /// # Errors
    /// [`Error::Argument`] for a task other than classes, a wrong number of weights, and weights that are not finite or
    /// not above 0.
    pub fn with_class_weights(self, weights: &[f32]) -> Result<Self> {
        let classes = self.classifier.classes();
        if self.task != Task::Class || weights.len() != classes {
            let expected = format!("one for each of {classes} classes");
            return Err(Error::argument("class_weights", &expected, format!("{} for {:?}", weights.len(), self.task)));
        }
        if let Some(weight) = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0)) {
            return Err(Error::argument("class_weights", "finite numbers above 0", weight.to_string()));
        }
        Ok(Self { loss: Some(TrainingLoss::weighted(weights.into())), ..self })
    }

    /// Sets the loss of the training. The function takes the logits (samples, outputs) and their batch, and returns the
    /// mean loss of the batch, a scalar. Gradients pass through every operation of candle. The loss is not saved.
    ///
    /// # Examples
    /// Focal loss (Lin et al. 2017), the mean of (1 − p)²·(−ln p) over the true classes' probabilities p:
    ///
    /// ```
    /// use dht_transformer::tensors::cross_entropy;
    /// use dht_transformer::{BertConfig, Encoder, Pooling, TextClassifier};
    /// # use rand::SeedableRng;
    /// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    /// # let encoder = Encoder::random(&BertConfig::small(2, 2, 8, 50)?, &candle_core::Device::Cpu, &mut rng)?;
    /// let classifier = TextClassifier::new(encoder, 3, Pooling::Mean, &mut rng)?.with_loss(|logits, batch| {
    ///     let losses = cross_entropy(logits, &batch.labels)?;
    ///     Ok(((1.0 - losses.neg()?.exp()?)?.sqr()? * losses)?.mean_all()?)
    /// });
    /// # Ok::<(), dht_transformer::Error>(())
    /// ```
    #[must_use]
    pub fn with_loss(self, loss: impl Fn(&Tensor, &PackedBatch) -> Result<Tensor> + Send + Sync + 'static) -> Self {
        Self { loss: Some(TrainingLoss::new(loss)), ..self }
    }

    /// Copies the classifier with independent weights: training one leaves the other unchanged. Added parameters are
    /// copied too.
    ///
    /// # Errors
    /// The errors of candle.
    pub fn deep_clone(&self) -> Result<Self> {
        let mut copy = self.with_encoder(self.encoder.bare_clone()?)?;
        copy.encoder.copy_others(&self.encoder)?;
        Ok(Self { loss: self.loss.clone(), ..copy })
    }

    /// Task of the classifier.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Copy of the classifier on the pruned encoder; see [`Encoder::prune`].
    ///
    /// # Errors
    /// As [`Encoder::prune`].
    pub fn prune(&self, plan: &PrunePlan) -> Result<Self> {
        self.with_encoder(self.encoder.prune(plan)?)
    }

    /// Copy of the classifier on another encoder of the same hidden size.
    ///
    /// # Errors
    /// [`Error::Argument`] for an encoder of another hidden size; [`Error::Parameter`] for an encoder that already has
    /// a classifier.
    pub fn with_encoder(&self, encoder: Encoder) -> Result<Self> {
        let (hidden, got) = (self.encoder.config().hidden_size, encoder.config().hidden_size);
        if got != hidden {
            return Err(Error::argument("hidden_size", hidden.to_string(), got.to_string()));
        }
        let tensors = self.classifier.to_tensors()?;
        let missing = || Error::Parameter { name: NAME.into(), problem: "is missing" };
        let outputs = LinearTensors::find(&tensors, "classifier").ok_or_else(missing)?;
        let pooler = LinearTensors::find(&tensors, "pooler.dense");
        Self::assemble(self.task, encoder, outputs, self.classifier.pooling(), pooler)
    }

    /// Adds a parameter to the encoder; see [`Encoder::add_parameter`].
    ///
    /// # Errors
    /// As [`Encoder::add_parameter`].
    pub fn add_parameter(&mut self, name: impl Into<String>, value: &Tensor) -> Result<Parameter> {
        self.encoder.add_parameter(name, value)
    }

    /// Mean loss of a batch, a scalar.
    ///
    /// # Errors
    /// As [`Encoder::embed`]; [`Error::Shape`] if the batch's targets do not fit the [`Task`]; errors of the
    /// [loss](Self::with_loss).
    pub fn loss(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Tensor> {
        let logits = self.logits(batch, ctx)?;
        match &self.loss {
            Some(loss) => loss.compute(&logits, batch),
            None => self.task.loss(&logits, batch),
        }
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Mutable encoder, for adding parameters.
    pub(super) fn encoder_mut(&mut self) -> &mut Encoder {
        &mut self.encoder
    }

    /// The classifier.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// FLOPs of the [`logits`](Self::logits) of these texts.
    pub fn forward_flops(&self, load: Load) -> FlopCount {
        let layers = (0..self.encoder.layers()).map(|layer| self.encoder.layer_sizes(layer).forward(load));
        (layers.sum::<Breakdown>() + self.classifier.shape().forward(load.samples)).total()
    }

    /// FLOPs of the backward pass of a loss on the [`logits`](Self::logits) of these texts, with the current frozen
    /// flags. For frozen weights no gradients are computed, and below the lowest trained weights nothing runs.
    pub fn backward_flops(&self, load: Load) -> FlopCount {
        let (layers, input_gradient) = self.encoder.backward_needs();
        let layers = layers.into_iter().enumerate();
        let layers = layers.map(|(layer, needs)| self.encoder.layer_sizes(layer).backward(load, needs));
        let needs = BackwardNeeds { weight_gradients: self.classifier.trains(), input_gradient };
        (layers.sum::<Breakdown>() + self.classifier.shape().backward(load.samples, needs)).total()
    }

    /// Computes outputs (samples, outputs), before the softmax or sigmoid.
    ///
    /// # Errors
    /// As [`Encoder::embed`].
    pub fn logits(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Tensor> {
        self.classifier.forward(&self.hidden(batch, ctx)?, ctx)
    }

    /// Computes the hidden rows after the last layer, the classifier's input.
    ///
    /// # Errors
    /// As [`Encoder::embed`].
    pub fn hidden(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Hidden> {
        let hidden = self.encoder.embed(batch, ctx)?;
        self.encoder.run(0..self.encoder.layers(), &hidden, &HeadPlan::Full, ctx)
    }

    /// Probability of each class (softmax of the logits) or label (sigmoid), or the predicted number, for each sample.
    /// Weights are packed for this batch alone; for many batches use
    /// [`probabilities_of_all`](Self::probabilities_of_all).
    ///
    /// # Errors
    /// As [`Encoder::embed`]; [`Error::NotFinite`] if weights are NaN or infinite.
    pub fn probabilities(&self, batch: &PackedBatch) -> Result<Vec<Vec<f32>>> {
        self.answers(batch, &ForwardContext::inference())
    }

    fn answers(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<Vec<f32>>> {
        self.task.probabilities(&self.logits(batch, ctx)?, &batch.sample_ids)
    }

    /// Computes [`probabilities`](Self::probabilities) of every row of a data set.
    ///
    /// # Errors
    /// As [`probabilities`](Self::probabilities).
    pub fn probabilities_of_all(&self, data: &EncodedDataset, batch_size: usize) -> Result<Vec<Vec<f32>>> {
        let (mut all, ctx) = (vec![Vec::new(); data.len()], ForwardContext::inference());
        for rows in PackedBatch::longest_first(&data.lengths(), batch_size)? {
            for (row, answer) in rows.iter().zip(self.answers(&data.batch(&rows)?, &ctx)?) {
                all[*row] = answer;
            }
        }
        Ok(all)
    }
}

impl Objective for TextClassifier {
    type Error = Error;

    fn may_split(error: &Error) -> bool {
        matches!(error, Error::DeviceMemory(_))
    }

    fn parameters(&self) -> &Parameters {
        self.encoder.parameters()
    }

    fn check_data(&self, data: &EncodedDataset) -> Result<()> {
        self.encoder.check_samples(data)?;
        self.task.check_targets(data, self.classifier.classes())
    }

    fn offer(&mut self, batch: PackedBatch, progress: Progress) -> Result<Option<StepLoss>> {
        let ctx = ForwardContext::training(self.parameters(), progress.seed, progress.step as u32);
        let loss = self.loss(&batch, &ctx)?;
        Ok(Some(StepLoss { loss, ctx, samples: batch.len(), terms: batch.len() }))
    }

    fn score(&self, data: &EncodedDataset, batch_size: usize) -> Result<f64> {
        if self.task == Task::Class {
            data.check_classes(self.classifier.classes())?;
            return self.macro_f1(data, batch_size);
        }
        let truth: Vec<Vec<f32>> = data.samples.iter().map(|sample| sample.targets.clone()).collect();
        let answers = self.probabilities_of_all(data, batch_size)?;
        if self.task == Task::Labels {
            return Ok(LabelCounts::from_probabilities(&truth, &answers, 0.5)?.macro_f1());
        }
        let numbers = |rows: &[Vec<f32>]| -> Vec<f64> { rows.iter().flatten().copied().map(f64::from).collect() };
        Ok(Correlation::from_values(&numbers(&truth), &numbers(&answers))?.pearson)
    }

    fn metric(&self) -> &'static str {
        match self.task {
            Task::Class | Task::Labels => "macro F1",
            Task::Number => "Pearson's correlation",
        }
    }

    /// The state contains only settings that the parameters' shapes do not determine, since each batch returns its loss
    /// at once.
    fn state(&self) -> Result<serde_json::Value> {
        let (task, pooling) = (self.task, self.classifier.pooling());
        Ok(serde_json::json!({ "encoder": self.encoder.config(), "pooling": pooling, "task": task }))
    }

    fn differences(&self, state: &serde_json::Value) -> Result<Vec<SettingMismatch>> {
        Ok(SettingMismatch::between(state, &self.state()?))
    }

    fn restore(&mut self, _: serde_json::Value, _: &EncodedDataset) -> Result<()> {
        Ok(())
    }
}

impl Predict for TextClassifier {
    fn predict(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<u32>> {
        let rows = finite_rows(&self.logits(batch, ctx)?, &batch.sample_ids)?;
        Ok(rows.iter().map(|row| Task::most_probable(row)).collect())
    }
}
