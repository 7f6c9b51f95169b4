//! `dht train`.

mod arguments;
mod run;

use dht_dynamic::SeenTexts;
use dht_dynamic::transformer::{EncodedDataset, TextClassifier};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use self::arguments::TrainArguments;
use self::run::Run;
use super::made::{MadeModel, check_target, finish, the_rows};
use crate::acceleration::REST;
use crate::error::{Error, Result};
use crate::progress::report;
use crate::texts::{cut_note, report_texts, warnings};
use crate::training::{Interruption, Start, TrainingDir};

/// Random streams of the weights and the classifier.
const WEIGHTS: u64 = 0x5765_6967_6874_7300;
const CLASSIFIER: u64 = 0x436c_6173_7369_6679;

/// Trains a classifier, makes it dynamic, scores it and saves it.
pub fn train(arguments: &TrainArguments) -> Result<()> {
    let start = Start::load(&arguments.model)?;
    let max_length = arguments.check(&start)?;
    let replaced = check_target(&arguments.out)?;
    let say = |line: &str| {
        if !arguments.quiet {
            report(line);
        }
    };
    replaced.iter().for_each(|note| say(note));
    let device = arguments.device.open_in(arguments.precision)?;
    arguments.texts.notes()?.iter().for_each(|note| say(note));
    let mut texts = arguments.read_texts()?;
    arguments.check_rows(&texts, arguments.without_rungs(&start).is_none())?;
    // The n-gram classifier reads whole texts.
    let tokenizer = start.tokenizer(&texts.train)?.with_rest(REST);
    let encode = |data| tokenizer.encode_all(data, max_length);
    let (train, validation) = (encode(&texts.train)?, encode(&texts.validation)?);
    let calibration = texts.calibration.as_ref().map(encode).transpose()?;
    let test = texts.test.as_ref().map(encode).transpose()?;
    report_texts(&texts, arguments.texts.task(), &train, max_length).iter().for_each(|line| say(line));
    if arguments.quiet {
        warnings(&texts).into_iter().chain(cut_note([&train], max_length)).for_each(|line| report(&line));
    } else {
        warnings(&texts).iter().for_each(|line| report(line));
    }
    texts.forget_texts();
    if arguments.makes_dynamic_at_once(&start) {
        check_unseen(&train, &validation)?;
    }

    let encoded = (&train, &validation, calibration.as_ref());
    let dir = TrainingDir::open(&arguments.out, &arguments.settings(encoded, max_length)?, arguments.restart)?;
    if dir.is_resumed() {
        say("resuming the stopped training");
    }
    let folder = dir.folder().to_path_buf();
    let interruption = Interruption::watch(move || TrainingDir::message_if_stopped(&folder));
    let weights = arguments.balanced.then(|| balanced(&train));
    let vocabulary = tokenizer.vocabulary_size();
    let fresh = || {
        let encoder = start.encoder(vocabulary, &device, &mut generator(arguments.seed, WEIGHTS))?;
        let encoder = match arguments.layers {
            Some(layers) => encoder.truncated(layers)?,
            None => encoder,
        };
        encoder.parameters().compute_in(arguments.precision)?;
        let mut rng = generator(arguments.seed, CLASSIFIER);
        let (task, outputs) = (arguments.texts.task(), texts.train.labels.len());
        let classifier = TextClassifier::for_task(task, encoder, outputs, start.pooling(), &mut rng)?;
        Ok(match &weights {
            Some(weights) => classifier.with_class_weights(weights)?,
            None => classifier,
        })
    };
    let settings = arguments.train_settings(&start);
    let run = Run { start: &start, texts: &texts, max_length, dir: &dir, interruption: &interruption };
    let made = match arguments.without_rungs(&start) {
        None => arguments.in_rungs(&run, &fresh()?, tokenizer, encoded, settings)?,
        Some(_) => arguments.at_once(&run, fresh, tokenizer, encoded, settings)?,
    };
    let out_of_fold = made.out_of_fold.as_ref().filter(|_| test.is_none());
    let (scored, scored_on, split) = match (&test, out_of_fold) {
        (Some(test), _) => (test, the_rows(test.len(), "test"), "test"),
        (None, Some(found)) => {
            let rows = the_rows(found.texts.len(), "training and validation");
            (&found.texts, format!("{rows}, out of fold; all choices were made on them"), "out of fold")
        }
        (None, None) => {
            let rows = the_rows(validation.len(), "validation");
            (&validation, format!("{rows}, on which all choices were made"), "validation")
        }
    };
    let facts = MadeModel {
        out: &arguments.out,
        how: made.how,
        scored,
        scored_on,
        out_of_fold,
        data: &arguments.texts.source.data,
        split,
        metric: arguments.texts.metric(),
        is_given: false,
        training: made.ladder.as_ref(),
        json: arguments.json,
    };
    finish(&made.model, facts, &made.misses)?;
    dir.finish()
}

/// Rejects validation rows most of which have the text of a training row: no speed can be selected on them.
fn check_unseen(train: &EncodedDataset, validation: &EncodedDataset) -> Result<()> {
    let (seen, all) = (SeenTexts::new([train]).rows_of(validation).len(), validation.len());
    if 2 * seen <= all {
        return Ok(());
    }
    let got = format!("a source where {seen} of {all} validation rows have the text of a training row");
    Err(Error::argument("data", "texts that repeat less, or `--kind full`", got))
}

/// Weight of each class: the reciprocal of its share of the rows, divided by the number of classes.
fn balanced(train: &EncodedDataset) -> Vec<f32> {
    let mut counts = vec![0_usize; train.labels.len()];
    train.samples.iter().for_each(|sample| counts[sample.label as usize] += 1);
    let (rows, classes) = (train.len() as f32, counts.len() as f32);
    counts.iter().map(|count| rows / (classes * (*count).max(1) as f32)).collect()
}

fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}
