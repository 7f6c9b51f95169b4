//! Search model in an engine and in a service: its answers, and what these answers may depend on.

use std::collections::BTreeSet;
use std::time::Duration;

use candle_core::Device;
use dht_search::dynamic::serving::{Request, Service, ServiceSettings, TextModel};
use dht_search::dynamic::{self, Engine, Result};
use dht_search::settings::HeadDraws;
use dht_search::transformer::TextTokenizer;
use dht_search::{OwnParts, Preset, SearchModel, SearchObjective, SearchSettings};
use dht_toys::reviews::{self, labels, words};
use dht_toys::{refused, rng};

/// Model whose bandits choose depth and heads; texts of a batch share head sets, as trained.
fn parts() -> dht_search::Result<(SearchModel, TextTokenizer)> {
    let (rng, data) = (&mut rng(1), reviews::data(300, 1));
    let settings = SearchSettings { warm_up_contexts: 64, explore_share: 1.0, ..SearchSettings::default() };
    assert_eq!(settings.head_draws, HeadDraws::PerGroup);
    let model = SearchModel::new(reviews::encoder(rng), Preset::TDht.space(4, 6)?, settings, 2, rng)?;
    let mut search = SearchObjective::new(model)?;
    reviews::trainer(4).fit(&mut search, &data, &data, &mut ())?;
    Ok((search.into_model(), reviews::tokenizer()))
}

fn engine() -> Result<Engine> {
    let (model, tokenizer) = parts()?;
    Engine::new(model, tokenizer, &labels())
}

#[test]
fn threads_get_the_answers_that_one_gets_at_two_speeds() -> Result<()> {
    let engine = engine()?.with_batch_size(16)?;
    let texts = words(200, 2);
    let queries: Vec<&str> = texts.iter().map(String::as_str).collect();
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
    assert_eq!(refused(engine.with_speed(f64::NAN)), "reward_shape.lambda");
    Ok(())
}

#[test]
fn in_a_service_an_answer_in_a_batch_is_the_answer_alone() -> Result<()> {
    let texts = words(60, 5);
    let settings = ServiceSettings { batch_tokens: 1 << 16, max_wait: Duration::ZERO, ..ServiceSettings::default() };
    let service = Service::start(engine()?, settings)?;
    let together = service.predict(&Request::new(texts.iter().map(String::as_str)))?;
    for (text, served) in texts.iter().zip(&together) {
        let alone = &service.predict(&Request::new([text.as_str()]))?[0];
        assert_eq!((alone, alone.flops), (served, served.flops), "{text}");
    }
    Ok(())
}

#[test]
fn a_served_directory_of_a_search_is_read_with_its_parts() -> Result<()> {
    let (model, tokenizer) = parts()?;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model");
    let expected = Engine::new(model.clone(), tokenizer.clone(), &labels())?.with_max_length(16)?;
    TextModel::new(model, tokenizer, &labels(), 16)?.save(&path, "a card")?;
    match TextModel::load(&path, &Device::Cpu) {
        Err(error @ dynamic::Error::Model { field: "search", .. }) => {
            assert!(error.to_string().contains("dht-search"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let loaded = Engine::from_model(TextModel::load_with(&path, &Device::Cpu, OwnParts::new().into())?);
    let texts = words(20, 3);
    assert_eq!(loaded.predict(&texts)?, expected.predict(&texts)?);
    Ok(())
}
