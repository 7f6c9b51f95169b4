//! The model of a search in an engine and in a service: what it answers, and what its answers may depend on.

use std::collections::BTreeSet;
use std::time::Duration;

use candle_core::Device;
use dht_search::dynamic::serving::{Request, Service, ServiceSettings, TextModel};
use dht_search::dynamic::{Engine, Error, Result};
use dht_search::settings::HeadDraws;
use dht_search::transformer::{
    AdamWSettings, BertConfig, Dataset, Encoder, Example, TextTokenizer, TrainSettings, Trainer,
};
use dht_search::{Preset, SearchModel, SearchObjective, SearchSettings};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const WORDS: [&str; 8] = ["fine", "good", "bad", "awful", "the", "day", "food", "was"];

/// Texts of one to nine words, and a class: whether good words outnumber bad ones.
fn texts(count: usize, seed: u64) -> Vec<(String, usize)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let text = |_| {
        let words: Vec<usize> = (0..rng.random_range(1..10)).map(|_| rng.random_range(0..WORDS.len())).collect();
        let score: i32 = words.iter().map(|word| [1, 1, -1, -1, 0, 0, 0, 0][*word]).sum();
        (words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" "), usize::from(score > 0))
    };
    (0..count).map(text).collect()
}

fn labels() -> Vec<String> {
    ["other", "good"].map(String::from).into()
}

/// A model whose bandits choose depth and heads; texts of a batch share head sets, as trained.
fn parts() -> dht_search::Result<(SearchModel, TextTokenizer)> {
    let tokenizer = TextTokenizer::from_vocabulary(&WORDS.map(String::from))?;
    let example = |(text, label)| Example { text, pair: None, label, targets: Vec::new() };
    let examples = texts(300, 1).into_iter().map(example).collect();
    let data = tokenizer.encode_all(&Dataset::from_examples("reviews", labels(), examples)?, 16)?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let encoder = Encoder::random(&BertConfig::small(4, 6, 24, tokenizer.vocabulary_size())?, &Device::Cpu, &mut rng)?;
    let settings = SearchSettings { warm_up_contexts: 64, explore_share: 1.0, ..SearchSettings::default() };
    assert_eq!(settings.head_draws, HeadDraws::PerGroup);
    let model = SearchModel::new(encoder, Preset::TDht.space(4, 6)?, settings, 2, &mut rng)?;
    let mut search = SearchObjective::new(model)?;
    let optimizer = AdamWSettings { learning_rate: 3e-3, ..AdamWSettings::default() };
    let settings = TrainSettings { epochs: 4, batch_size: 8, optimizer, ..TrainSettings::default() };
    Trainer::new(settings).fit(&mut search, &data, &data, &mut ())?;
    Ok((search.into_model(), tokenizer))
}

fn engine() -> Result<Engine> {
    let (model, tokenizer) = parts()?;
    Engine::new(model, tokenizer, &labels())
}

#[test]
fn threads_get_the_answers_that_one_gets_at_two_speeds() -> Result<()> {
    let engine = engine()?.with_batch_size(16)?;
    let texts = texts(200, 2);
    let queries: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
    let fast = engine.with_speed(2.0)?;
    let (slow_alone, fast_alone) = (engine.predict(&queries)?, fast.predict(&queries)?);
    assert_ne!(slow_alone, fast_alone, "the two speeds must differ");
    let routes: BTreeSet<String> = slow_alone.iter().map(|answer| answer.route.to_string()).collect();
    assert!(routes.len() > 2, "{routes:?}");
    std::thread::scope(|scope| {
        for turn in 0..4 {
            let (engine, expected) = if turn % 2 == 0 { (&engine, &slow_alone) } else { (&fast, &fast_alone) };
            let queries = &queries;
            scope.spawn(move || assert!(engine.predict(queries).expect("answers") == *expected, "turn {turn}"));
        }
    });
    assert!(matches!(engine.with_speed(f64::NAN), Err(Error::Setting { field: "reward_shape.lambda", .. })));
    Ok(())
}

#[test]
fn in_a_service_an_answer_in_a_batch_is_the_answer_alone() -> Result<()> {
    let texts: Vec<String> = texts(60, 5).into_iter().map(|(text, _)| text).collect();
    let settings = ServiceSettings { batch_tokens: 1 << 16, max_wait: Duration::ZERO, ..ServiceSettings::default() };
    let service = Service::start(engine()?, settings)?;
    let together = service.predict(&Request::new(texts.iter().map(String::as_str)))?;
    for (text, served) in texts.iter().zip(&together) {
        let alone = &service.predict(&Request::new([text.as_str()]))?[0].answer;
        assert_eq!((alone, alone.flops), (&served.answer, served.answer.flops), "{text}");
    }
    Ok(())
}

#[test]
fn a_directory_of_a_served_model_is_for_models_of_early_exits() -> Result<()> {
    let (model, tokenizer) = parts()?;
    let folder = tempfile::tempdir().expect("a folder");
    let saved = TextModel::new(model, tokenizer, &labels(), 16)?.save(folder.path().join("model"), "");
    assert!(matches!(saved, Err(Error::Setting { field: "model", .. })), "{saved:?}");
    Ok(())
}
