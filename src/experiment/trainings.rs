//! Settings that all training runs of an experiment share: encoder, pooling, training settings and random streams.

use std::io::{ErrorKind, Write};

use candle_core::Device;
use dht_dynamic::route::WidthCoupling;
use dht_dynamic::{accelerate::AccelerateSettings, exit::NgramSettings};
use dht_search::cost::FlopsCost;
use dht_search::settings::{Experiment, PublishedDataset};
use dht_transformer::{
    AdamWSettings, EncodedDataset, Encoder, Pooling, TextClassifier, TrainSettings, flops::Load,
    pretrained::PretrainedWeights,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::choices::{Model, SettingsChoice};
use super::data::RunData;
use super::plan::RunPlan;
use crate::error::{Error, Result};
use crate::record::ModelRecord;

/// Number of the random stream for the encoder's initial weights.
const WEIGHTS: u64 = 1;
/// Number of the random stream for the initial weights of each model's classifiers.
pub(crate) const CLASSIFIERS: u64 = 2;
/// Number of the random stream for the control that assigns routes to texts at random.
pub(crate) const CONTROL: u64 = 3;

/// Writes text to an output, usually standard output. A closed pipe is not an error, since the results are already
/// saved.
pub(crate) fn print(mut output: impl Write, text: &str) -> Result<()> {
    match writeln!(output, "{text}") {
        Err(source) if source.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Io { path: "standard output".into(), source })
        }
        _ => Ok(()),
    }
}

/// Settings for accelerating a trained model. They are the defaults, except for the batch size and for the special
/// tokens, which n-grams leave out.
pub(crate) fn accelerate_settings(data: &RunData, batch_size: usize) -> Result<AccelerateSettings> {
    let ngram = NgramSettings { left_out: data.tokenizer.tokens_around()?, ..NgramSettings::default() };
    Ok(AccelerateSettings { ngram: Some(ngram), batch_size, ..AccelerateSettings::default() })
}

/// FLOPs of the full model for one pass over all texts: forward, and backward.
pub(crate) fn flops(model: &TextClassifier, texts: &EncodedDataset) -> Result<(u64, u64)> {
    let (encoder, classifier) = (model.encoder(), model.classifier().shape());
    let cost = FlopsCost::new(encoder.layers(), encoder.block_shape(), classifier, WidthCoupling::Heads)?;
    let load = Load::of_texts(texts.lengths());
    Ok((cost.full_forward(load).total().0, cost.full_backward(load).total().0))
}

/// Describes an experiment for comparison with the DHT paper (Meng et al. 2023): data, size of the encoder and
/// training.
pub(crate) fn experiment(plan: &RunPlan, data: &RunData, encoder: &Encoder) -> Experiment {
    Experiment {
        dataset: PublishedDataset::of_name(&data.record.name),
        training_rows: data.train.len(),
        validation_rows: data.validation.len(),
        test_rows: data.test.len(),
        max_tokens: plan.max_length,
        hidden: encoder.block_shape().hidden,
        pretrained: plan.pretrained(),
        own_pooler: encoder.has_pooler(),
        epochs: plan.epochs,
    }
}

/// Name of the model: the last component of its directory, or its size.
pub(crate) fn model_name(plan: &RunPlan) -> String {
    match &plan.model {
        Model::Directory(folder) => {
            folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        }
        Model::Size(size) => size.to_string(),
    }
}

/// Size of the full model, for the result file.
pub(crate) fn model_record(encoder: &Encoder, classes: usize) -> ModelRecord {
    let shape = encoder.block_shape();
    ModelRecord {
        layers: encoder.layers(),
        heads: shape.heads,
        hidden: shape.hidden,
        ffn: shape.ffn,
        parameters: encoder.parameters().elements() + classes * (shape.hidden + 1),
    }
}

/// Training settings that all models of a run share.
pub(crate) fn train_settings(plan: &RunPlan) -> TrainSettings {
    let optimizer = AdamWSettings { learning_rate: plan.learning_rate, ..AdamWSettings::default() };
    // A model from scratch learns faster with a smaller β₂ within its few hundred steps.
    let optimizer = if plan.pretrained() { optimizer } else { AdamWSettings { beta2: 0.98, ..optimizer } };
    TrainSettings {
        epochs: plan.epochs,
        batch_size: plan.batch,
        seed: plan.seed,
        optimizer,
        ..TrainSettings::default()
    }
}

/// Creates the encoder from which the training of every model starts.
pub(crate) fn encoder(plan: &RunPlan, data: &RunData, device: &Device) -> Result<Encoder> {
    let encoder = match &plan.model {
        Model::Directory(folder) => {
            let weights = PretrainedWeights::read(folder)?;
            Encoder::from_tensors(&weights.config, &weights.tensors, device)?
        }
        Model::Size(size) => {
            let config = size.config(data.tokenizer.vocabulary_size())?.with_dropout(0.0);
            Encoder::random(&config, device, &mut rng(plan, WEIGHTS))?
        }
    };
    encoder.parameters().compute_in(plan.precision)?;
    Ok(encoder)
}

/// Pooling of every model. From scratch it is \[CLS\], which learns to collect the inputs that determine the class. For
/// a pre-trained encoder it is the mean, since all token states are informative. With the DHT paper's settings it is
/// BERT's pooler, as in the paper.
pub(crate) fn pooling(plan: &RunPlan) -> Pooling {
    match plan.settings {
        SettingsChoice::Paper => Pooling::Pooler,
        SettingsChoice::Ours if plan.pretrained() => Pooling::Mean,
        SettingsChoice::Ours => Pooling::Cls,
    }
}

pub(crate) fn rng(plan: &RunPlan, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    rng.set_stream(stream);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
        print(Failing(ErrorKind::BrokenPipe), "table").unwrap();
        let full = print(Failing(ErrorKind::StorageFull), "table");
        assert!(matches!(full, Err(Error::Io { path, .. }) if path.ends_with("standard output")));
    }
}
