//! From training to serving: a small dynamic model is trained, saved, loaded as an engine, calibrated to a budget of
//! FLOPs, and used from several threads at once.
//!
//! `cargo run --release -p dht-search --example serve`

use candle_core::Device;
use dht_search::dynamic::evaluation::calibrate;
use dht_search::dynamic::{DynamicModel, Engine, SpeedCurve};
use dht_search::transformer::{
    AdamWSettings, BertConfig, Dataset, Encoder, Example, TextTokenizer, TrainSettings, Trainer,
};
use dht_search::{Error, Preset, SearchModel, SearchObjective, SearchSettings};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const GOOD: [&str; 4] = ["lovely", "fresh", "friendly", "quick"];
const BAD: [&str; 4] = ["stale", "rude", "cold", "slow"];
const THINGS: [&str; 4] = ["soup", "waiter", "bread", "table"];

/// Generates a review such as "the soup was not stale". It has one to four judgements; the label is that of the
/// majority.
fn review(rng: &mut ChaCha8Rng) -> Example {
    let (mut parts, mut score) = (Vec::new(), 0);
    while parts.is_empty() || score == 0 || (parts.len() < 4 && rng.random_bool(0.5)) {
        let (good, negated) = (rng.random_bool(0.5), rng.random_bool(0.3));
        let (thing, word) = (THINGS.choose(rng), if good { GOOD.choose(rng) } else { BAD.choose(rng) });
        let not = if negated { "not " } else { "" };
        parts.push(format!("the {} was {not}{}", thing.unwrap_or(&"soup"), word.unwrap_or(&"cold")));
        score += if good != negated { 1 } else { -1 };
    }
    Example::new(parts.join(" and "), usize::from(score > 0))
}

fn main() -> Result<(), Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let labels = ["bad", "good"].map(String::from).to_vec();
    let mut reviews = |name: &str, count: usize| {
        Dataset::from_examples(name, labels.clone(), (0..count).map(|_| review(&mut rng)).collect())
    };
    let [training, held_out, asked] = [reviews("training", 3000)?, reviews("held out", 400)?, reviews("asked", 400)?];
    let tokenizer = TextTokenizer::train(training.examples.iter().map(|example| &*example.text), 100)?;
    let encode = |data| tokenizer.encode_all(data, 64);
    let (training, held_out) = (encode(&training)?, encode(&held_out)?);

    // Train and save: encoder, exits, routers, tokenizer.
    let encoder = Encoder::random(&BertConfig::small(4, 6, 48, tokenizer.vocabulary_size())?, &Device::Cpu, &mut rng)?;
    let space = Preset::TDht.space(4, 6)?;
    let model = SearchModel::new(encoder, space, SearchSettings::default(), labels.len(), &mut rng)?;
    let mut search = SearchObjective::new(model)?;
    let optimizer = AdamWSettings { learning_rate: 2e-3, ..AdamWSettings::default() };
    Trainer::new(TrainSettings { epochs: 4, optimizer, ..TrainSettings::default() }).fit(
        &mut search,
        &training,
        &held_out,
        &mut (),
    )?;
    let folder = std::env::temp_dir().join(format!("dht-serve-{}", std::process::id()));
    search.into_model().save(&folder, Some(&tokenizer), &labels)?;

    // Serve: the budget is halfway between the lowest and the highest cost that the speed can set.
    let (model, labels, tokenizer) = SearchModel::load(&folder, &Device::Cpu)?;
    let model = DynamicModel::from(model);
    let (least, most) = SpeedCurve::new(&model, &held_out, 64)?.range();
    let calibrated = calibrate(&model, &held_out, (least + most) / 2.0, 64)?;
    println!(
        "FLOPs from {least:.3} to {most:.3} of the full model; speed {:.3} costs {:.3}",
        calibrated.speed, calibrated.flops_ratio
    );
    let tokenizer = tokenizer.expect("it was saved with the model");
    let engine = Engine::new(model.with_speed(calibrated.speed)?, tokenizer, &labels)?.with_max_length(64)?;
    let correct: usize = std::thread::scope(|scope| {
        let ask = |part: &[Example]| -> Result<usize, Error> {
            let texts: Vec<&str> = part.iter().map(|example| &*example.text).collect();
            let answers = engine.predict(&texts)?;
            Ok(answers.iter().zip(part).filter(|(answer, example)| answer.class == example.label).count())
        };
        let threads: Vec<_> = asked.examples.chunks(100).map(|part| scope.spawn(move || ask(part))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).sum::<Result<usize, _>>()
    })?;
    println!("{correct} of {} answers are correct, from four threads", asked.examples.len());
    for answer in engine
        .predict(&["the soup was cold", "the waiter was not rude and the bread was fresh and the table was slow"])?
    {
        println!(
            "{:4} with {:.2} on {}, {} FLOPs",
            answer.label, answer.probabilities[answer.class], answer.route, answer.flops
        );
    }
    std::fs::remove_dir_all(&folder).map_err(|source| dht_search::transformer::Error::Io { path: folder, source })?;
    Ok(())
}
