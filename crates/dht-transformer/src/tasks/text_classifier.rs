//! Text classifier: an encoder with a linear layer after its last layer, also for labels and regression ([`Task`]).

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

/// Prefix of the names that the linear layer's parameters have in the encoder's [`Parameters`].
const NAME: &str = "classifier";

/// Classifier of texts: an encoder with a linear layer after its last layer. It runs all layers and heads for each
/// text. It is the baseline for models that exit early (stop after some of the layers).
///
/// Its [`Task`] determines the meaning of the outputs (classes by default), the loss and the [score](Objective::score).
/// For classes, the score is the macro F1. For labels, it is the macro F1 of the labels with a probability of at least
/// one half. For a regression, it is Pearson's correlation.
///
/// # Files
/// A classifier is saved as a Hugging Face directory. [`load`](Self::load) restores a classifier with equal outputs.
/// Python's `transformers` reads the directory as follows:
///
/// | pooling | `AutoModelForSequenceClassification.from_pretrained(directory)` |
/// |---|---|
/// | [`Pooling::Pooler`] | loads it as an ordinary `BertForSequenceClassification` (or the model family's equivalent) |
/// | [`Pooling::Cls`], [`Pooling::Mean`] | refuses it; with `trust_remote_code=True` it loads it by the class in the directory's `modeling_dht.py` |
///
/// `transformers` has no class without a pooler for these families, and would create a random pooler. So a directory
/// with one of the last two poolings has its own `model_type`, `dht-bert`, and a field `"classifier_pooling": "cls"` or
/// `"mean"`. A directory without this field is assumed to have a pooler. Loading a `dht-bert` directory with the
/// explicit class `BertForSequenceClassification` succeeds, with warnings about the model type and about a newly
/// created pooler.
///
/// # Clones
/// A clone shares the weights: training one trains the other. [`deep_clone`](Self::deep_clone) copies the weights.
///
/// # Examples
/// ```
/// use candle_core::Device;
/// use dht_transformer::{BertConfig, Encoder, Pooling, TextClassifier, TextTokenizer};
/// # use rand::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
///
/// let tokenizer = TextTokenizer::from_vocabulary(&["fine", "bad", "food"].map(String::from))?;
/// let config = BertConfig::small(2, 2, 8, tokenizer.vocabulary_size())?;
/// let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// let classifier = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
///
/// let texts = tokenizer.encode_texts(&["fine food", "bad food"], 16)?;
/// let probabilities = classifier.probabilities_of_all(&texts, 32)?;
/// assert_eq!(probabilities.len(), 2);
/// assert!((probabilities[0].iter().sum::<f32>() - 1.0).abs() < 1e-5);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TextClassifier {
    encoder: Encoder,
    classifier: Classifier,
    task: Task,
    /// Custom loss for training. `None` selects the loss of the classifier's task.
    loss: Option<TrainingLoss>,
}

impl TextClassifier {
    /// Creates a single-label classifier by adding a new linear layer to an encoder.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are fewer than two classes.
    pub fn new<R: Rng + ?Sized>(encoder: Encoder, classes: usize, pooling: Pooling, rng: &mut R) -> Result<Self> {
        Self::for_task(Task::Class, encoder, classes, pooling, rng)
    }

    /// Creates a model for any task by adding a new linear layer to an encoder. With [`Pooling::Pooler`], the pooler
    /// starts with the weights of the pooler that was loaded with the encoder, or with random weights if there was
    /// none.
    ///
    /// # Errors
    /// Errors of [`Task::check`].
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

    /// Loads the pre-trained encoder of a Hugging Face directory and adds a new classifier, for fine-tuning. With
    /// [`Pooling::Pooler`], the classifier's pooler starts with the weights of the pooler in the directory, or with
    /// random weights if there is none. A classifier in the directory is ignored.
    ///
    /// # Errors
    /// Errors of [`PretrainedWeights::read`]; [`Error::Argument`] if there are fewer than two classes.
    pub fn from_pretrained<R: Rng + ?Sized>(
        folder: impl AsRef<Path>,
        classes: usize,
        pooling: Pooling,
        device: &Device,
        rng: &mut R,
    ) -> Result<Self> {
        Self::from_pretrained_for_task(Task::Class, folder, classes, pooling, device, rng)
    }

    /// Loads a pre-trained encoder and adds a new linear layer for any task; see
    /// [`from_pretrained`](Self::from_pretrained).
    ///
    /// # Errors
    /// Errors of [`PretrainedWeights::read`] and [`Task::check`].
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

    /// Creates a classifier from the tensors of a `candle_nn::VarBuilder`. The builder's prefix must be the place where
    /// the tensor names of a `BertForSequenceClassification`, or of the model family's equivalent, begin.
    /// [`Encoder::from_var_builder`] documents which tensors are copied, shared or created.
    ///
    /// # Errors
    /// Errors of [`Encoder::from_var_builder`] and [`Task::check`].
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

    /// Sets a weight for each class in the training loss. The loss of a batch is then the mean of w(class)·loss over its
    /// samples. To keep the size of the loss, divide the weights by their mean over the training rows. PyTorch's
    /// `CrossEntropyLoss(weight=…)` divides by the sum of the weights in the batch instead, so that a rare class counts
    /// less in the batches in which it occurs. The weights only affect training and are not saved.
    ///
    /// # Errors
    /// [`Error::Argument`] if the task is not single-label classification, if the number of weights is wrong, or if a
    /// weight is not finite and above 0.
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

    /// Sets a custom loss for training. The function computes the mean loss of a batch, a scalar, from the logits
    /// (samples, outputs) and the batch. Gradients pass through every operation of candle. The loss is not saved.
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

    /// Copies the classifier, with all added parameters. Training the copy leaves this classifier unchanged.
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn deep_clone(&self) -> Result<Self> {
        let mut copy = self.with_encoder(self.encoder.bare_clone()?)?;
        copy.encoder.copy_others(&self.encoder)?;
        Ok(Self { loss: self.loss.clone(), ..copy })
    }

    /// Task of the classifier.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Copies the classifier with a pruned encoder; see [`Encoder::prune`].
    ///
    /// # Errors
    /// Errors of [`Encoder::prune`].
    pub fn prune(&self, plan: &PrunePlan) -> Result<Self> {
        self.with_encoder(self.encoder.prune(plan)?)
    }

    /// Copies the classifier's linear layer onto another encoder of the same hidden size.
    ///
    /// # Errors
    /// [`Error::Argument`] if the encoder has another hidden size; [`Error::Parameter`] if the encoder already has a
    /// classifier.
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
    /// Errors of [`Encoder::add_parameter`].
    pub fn add_parameter(&mut self, name: impl Into<String>, value: &Tensor) -> Result<Parameter> {
        self.encoder.add_parameter(name, value)
    }

    /// Computes the mean loss of a batch, a scalar.
    ///
    /// # Errors
    /// Errors of [`Encoder::embed`] and of the [custom loss](Self::with_loss); [`Error::Shape`] if the targets of the
    /// batch do not fit the [`Task`].
    pub fn loss(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Tensor> {
        let logits = self.logits(batch, ctx)?;
        match &self.loss {
            Some(loss) => loss.compute(&logits, batch),
            None => self.task.loss(&logits, batch),
        }
    }

    /// Encoder below the linear layer.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    pub(super) fn encoder_mut(&mut self) -> &mut Encoder {
        &mut self.encoder
    }

    /// Linear layer after the encoder, including the pooling of hidden states.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// FLOPs of computing the [`logits`](Self::logits) of texts.
    pub fn forward_flops(&self, load: Load) -> FlopCount {
        let layers = (0..self.encoder.layers()).map(|layer| self.encoder.layer_sizes(layer).forward(load));
        (layers.sum::<Breakdown>() + self.classifier.shape().forward(load.samples)).total()
    }

    /// FLOPs of the backward pass for a loss on the [`logits`](Self::logits) of texts. Frozen weights need no
    /// gradients, and nothing runs below the lowest weights that are not frozen.
    pub fn backward_flops(&self, load: Load) -> FlopCount {
        let (layers, input_gradient) = self.encoder.backward_needs();
        let layers = layers.into_iter().enumerate();
        let layers = layers.map(|(layer, needs)| self.encoder.layer_sizes(layer).backward(load, needs));
        let needs = BackwardNeeds { weight_gradients: self.classifier.trains(), input_gradient };
        (layers.sum::<Breakdown>() + self.classifier.shape().backward(load.samples, needs)).total()
    }

    /// Computes the outputs of a batch before the softmax or sigmoid, shape (samples, outputs).
    ///
    /// # Errors
    /// Errors of [`Encoder::embed`].
    pub fn logits(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Tensor> {
        self.classifier.forward(&self.hidden(batch, ctx)?, ctx)
    }

    /// Computes the hidden states after the last layer, which the linear layer reads.
    ///
    /// # Errors
    /// Errors of [`Encoder::embed`].
    pub fn hidden(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Hidden> {
        let hidden = self.encoder.embed(batch, ctx)?;
        self.encoder.run(0..self.encoder.layers(), &hidden, &HeadPlan::Full, ctx)
    }

    /// Computes for each sample the probability of each class (softmax of the logits) or label (sigmoid), or the
    /// predicted number. The weights are packed for matrix products in every call; for many batches use
    /// [`probabilities_of_all`](Self::probabilities_of_all).
    ///
    /// # Errors
    /// Errors of [`Encoder::embed`]; [`Error::NotFinite`] if weights are NaN or infinite.
    pub fn probabilities(&self, batch: &PackedBatch) -> Result<Vec<Vec<f32>>> {
        self.answers(batch, &ForwardContext::inference())
    }

    fn answers(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Vec<Vec<f32>>> {
        self.task.probabilities(&self.logits(batch, ctx)?, &batch.sample_ids)
    }

    /// Computes the [`probabilities`](Self::probabilities) of every row in a data set.
    ///
    /// # Errors
    /// Errors of [`probabilities`](Self::probabilities).
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

    /// Stores the settings that do not follow from the parameters' shapes. A resumed run needs no other state, because
    /// no samples wait for a later step.
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
