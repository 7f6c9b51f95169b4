//! Runs the frozen encoder once over all texts, and stores pooled states at each exit and the classifier's
//! log-probabilities.

use dht_transformer::{EncodedDataset, Hidden, PackedBatch, Pooling, Sample};

use super::settings::{AccelerateSettings, Targets};
use super::step::{FitStep, WatchFit};
use super::texts::FitTexts;
use crate::error::{Error, Result};
use crate::exit_model::ExitModel;
use crate::log_probabilities::{LogProbabilities, LogProbabilityRows};
use crate::logistic::Rows;
use crate::outputs::Outputs;
use crate::training::{FrozenStates, states_at_exits};

/// Source of the last exit's predictions: the classifier itself, or a regression that is to be fitted.
pub(crate) enum LastExit<'a> {
    /// Classifier itself, whose predictions stay bit-identical. The cache stores hidden states of the training texts,
    /// for training the side layers.
    Classifier(&'a mut FrozenStates),
    /// Logistic regression on the last layer's pooled states, fitted like those of the other exits.
    Regression,
}

/// Pooled hidden states of the training and held-out texts.
pub(crate) struct ExitStates {
    pub(crate) training: PooledStates,
    pub(crate) held_out: Option<PooledStates>,
    /// FLOPs of the encoder's forward passes. With a cache, repeated texts are computed once.
    pub(crate) flops: u64,
}

/// Pooled hidden states and class log-probabilities of a frozen encoder, for one data set.
pub(crate) struct PooledStates {
    /// Pooled states at each exit that is to be fitted, as tables of shape (texts, hidden).
    pub(crate) exits: Vec<Rows>,
    /// Class log-probabilities of the classifier; `None` if the last exit is a regression.
    pub(crate) classifier: Option<LogProbabilities>,
}

impl ExitStates {
    /// Runs every text through all layers, and stores the pooled states at each exit. The states are stored in memory,
    /// or in a file if they exceed [`state_bytes`](AccelerateSettings::state_bytes).
    pub(crate) fn read(
        model: &ExitModel,
        texts: &FitTexts,
        last: LastExit<'_>,
        settings: &AccelerateSettings,
        watch: WatchFit<'_>,
    ) -> Result<Self> {
        let mut rows = 0;
        for data in texts.all() {
            model.check_texts(data)?;
            rows += data.len();
        }
        let (width, exits) = (model.encoder().block_shape().hidden, model.exits().len());
        let in_file = size_of::<f32>() * rows * width * exits > settings.state_bytes;
        let mut done = 0;
        let mut ran = |texts| {
            done += texts;
            watch(FitStep::States { done, texts: rows });
        };
        ran(0);
        let pass = |data| Pass { model, data, settings, in_file };
        let mut no_cache = FrozenStates::default();
        // Side layers read only the states of the training texts, so that those of held-out texts need no cache.
        let (last, of_held_out) = match last {
            LastExit::Regression => (LastExit::Regression, LastExit::Regression),
            LastExit::Classifier(cache) => (LastExit::Classifier(cache), LastExit::Classifier(&mut no_cache)),
        };
        let (training, mut flops) = pass(&texts.training).run(last, &mut ran)?;
        let mut held_out = None;
        if let Some(data) = &texts.held_out {
            let (states, more) = pass(data).run(of_held_out, &mut ran)?;
            (held_out, flops) = (Some(states), flops + more);
        }
        Ok(Self { training, held_out, flops })
    }

    /// Replaces labels by the classifier's predictions: those of unlabelled texts, or with [`Targets::Predictions`]
    /// those of all texts. Does nothing if the last exit is a regression, which has no predictions yet.
    pub(super) fn relabel(&self, texts: &mut FitTexts, targets: Targets) {
        let Some(predicted) = &self.training.classifier else { return };
        let (outputs, decisions) = (predicted.outputs(), predicted.outputs().decisions());
        let set = |samples: &mut [Sample], labels: &[u32]| {
            for (sample, labels) in samples.iter_mut().zip(labels.chunks_exact(decisions)) {
                match outputs {
                    Outputs::Classes(_) => sample.label = labels[0],
                    Outputs::Labels(_) => sample.targets = labels.iter().map(|label| *label as f32).collect(),
                }
            }
        };
        let first = if targets == Targets::Predictions { 0 } else { texts.labelled };
        set(&mut texts.training.samples[first..], &predicted.labels()[first * decisions..]);
        let predicted = self.held_out.as_ref().and_then(|states| states.classifier.as_ref());
        if let (Targets::Predictions, Some(data), Some(predicted)) = (targets, &mut texts.held_out, predicted) {
            set(&mut data.samples, &predicted.labels());
        }
    }

    /// Returns the classifier's log-probabilities for the held-out texts. Without held-out texts, returns those for all
    /// texts. `None` if the last exit is a regression.
    pub(crate) fn into_classifier_answers(self) -> Option<LogProbabilities> {
        self.held_out.unwrap_or(self.training).classifier
    }
}

struct Pass<'a> {
    model: &'a ExitModel,
    data: &'a EncodedDataset,
    settings: &'a AccelerateSettings,
    in_file: bool,
}

impl Pass<'_> {
    /// Runs the encoder over the data set, and calls `ran` with the number of texts after each batch. Returns the
    /// pooled states and the FLOPs.
    fn run(&self, mut last: LastExit<'_>, ran: &mut dyn FnMut(usize)) -> Result<(PooledStates, u64)> {
        let (model, data, mut flops) = (self.model, self.data, 0);
        let is_classifier = matches!(last, LastExit::Classifier(_));
        let fitted = model.exits().len() - usize::from(is_classifier);
        let width = model.encoder().block_shape().hidden;
        let mut exits =
            (0..fitted).map(|_| Rows::zeros(data.len(), width, self.in_file)).collect::<Result<Vec<_>>>()?;
        let mut logs = LogProbabilityRows::new(model.outputs(), if is_classifier { data.len() } else { 0 });
        for rows in PackedBatch::longest_first(&data.lengths(), self.settings.batch_size)? {
            let batch = data.batch(&rows)?;
            let hidden = match &mut last {
                LastExit::Regression => {
                    let layers = model.encoder().layers();
                    flops += batch.spans.lengths().map(|tokens| model.layer_flops(layers, tokens)).sum::<u64>();
                    states_at_exits(model, &batch)?
                }
                LastExit::Classifier(cache) => {
                    let states = cache.states(model, &batch, true)?;
                    let tokens = states.ran.iter().map(|sample| batch.spans.range(*sample).len());
                    flops += tokens.map(|tokens| model.full_flops(tokens)).sum::<u64>();
                    if let Some(logits) = &states.own {
                        logs.set(&rows, model.outputs().of_logits(logits, &batch.sample_ids)?);
                    }
                    states.exits
                }
            };
            for (exit, (hidden, pooled)) in hidden.iter().zip(&mut exits).enumerate() {
                self.store(exit, hidden, &rows, pooled)?;
            }
            ran(rows.len());
        }
        let classifier = if is_classifier { Some(logs.table()?) } else { None };
        Ok((PooledStates { exits, classifier }, flops))
    }

    /// Pools a batch's hidden states at an exit, and writes them to the table `pooled`. `rows` are the indices of the
    /// batch's texts in the data set.
    fn store(&self, exit: usize, hidden: &Hidden, rows: &[usize], pooled: &mut Rows) -> Result<()> {
        let pooling = match self.model.settings().last_pooling {
            Some(last) if exit + 1 == self.model.exits().len() => last,
            _ => self.settings.pooling,
        };
        let states = match pooling {
            Pooling::Mean => hidden.mean_rows()?,
            Pooling::Cls | Pooling::Pooler => hidden.first_rows()?,
        };
        let states: Vec<Vec<f32>> = states.to_vec2()?;
        for (row, state) in rows.iter().zip(states) {
            if state.iter().any(|value| !value.is_finite()) {
                let (id, depth) = (self.data.samples[*row].id, self.model.depths()[exit]);
                let got = format!("NaN or infinity in row {id} after layer {depth}");
                return Err(Error::argument("pooled state", "finite numbers", got));
            }
            pooled.set(*row, &state)?;
        }
        Ok(())
    }
}
