//! Engine: the same answers from any thread, in the order of the queries, and typed errors for texts that it cannot
//! read.

use std::collections::BTreeSet;

use candle_core::Device;
use dht_dynamic::accelerate::{AccelerateSettings, Texts, accelerate};
use dht_dynamic::evaluation::SpeedPoint;
use dht_dynamic::serving::{ServedModel, TextModel};
use dht_dynamic::transformer::{PackedBatch, Pooling, Precision, Sample, Task, TextClassifier, TextTokenizer};
use dht_dynamic::{Answer, DynamicModel, Engine, Error, Query, Result};
use dht_toys::reviews::{self, WORDS, labels, texts, tokenizer, words};
use dht_toys::{config, refused, rng};

fn parts() -> Result<(DynamicModel, TextTokenizer)> {
    let (rng, data) = (&mut rng(1), reviews::data(300, 1));
    let classifier = reviews::full_model(&data, &data, 4, rng);
    let settings = AccelerateSettings { ngram: None, ..AccelerateSettings::default() };
    Ok((accelerate(&classifier, Texts::new(&data), &settings, rng)?.model.with_speed(0.02)?, tokenizer()))
}

fn engine() -> Result<Engine> {
    let (model, tokenizer) = parts()?;
    Engine::new(model, tokenizer, &labels())
}

#[test]
fn texts_without_a_declared_length_are_read_up_to_the_positions() -> Result<()> {
    let (rng, data) = (&mut rng(1), reviews::data(40, 1));
    let classifier = reviews::full_model(&data, &data, 1, rng);
    let most = classifier.encoder().config().longest_text();
    assert_eq!(tokenizer().model_max_length(), None);
    assert_eq!(Engine::new(classifier.clone(), tokenizer(), &labels())?.max_length(), most);
    let declared = tokenizer().with_model_max_length(most + 9);
    assert_eq!(Engine::new(classifier, declared, &labels())?.max_length(), most);
    Ok(())
}

#[test]
fn a_budget_gets_the_costliest_speed_within_it() -> Result<()> {
    let (model, tokenizer) = parts()?;
    let point = |speed, flops_ratio| SpeedPoint { speed, flops_ratio, flops_error: 0.0, accuracy: 0.9 };
    let curve = vec![point(0.0, 1.0), point(0.1, 0.6), point(0.2, 0.3)];
    let model = TextModel { curve, ..TextModel::new(model, tokenizer, &labels(), 16)? };
    for (budget, speed) in [(1.0, Some(0.0)), (0.9, Some(0.1)), (0.3, Some(0.2)), (0.2, None)] {
        assert_eq!(model.speed_within(budget).map(|point| point.speed), speed, "{budget}");
    }
    Ok(())
}

#[test]
fn an_engine_is_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<Engine>();
    fn sent<T: Send + Sync>() {}
    sent::<DynamicModel>();
}

#[test]
fn several_threads_get_the_answers_that_one_gets() -> Result<()> {
    let engine = engine()?.with_batch_size(16)?;
    let texts = words(200, 2);
    let queries: Vec<&str> = texts.iter().map(String::as_str).collect();
    let fast = engine.with_speed(0.3)?;
    let (slow_alone, fast_alone) = (engine.predict(&queries)?, fast.predict(&queries)?);
    assert_ne!(slow_alone, fast_alone, "the two speeds must differ");
    let routes: BTreeSet<String> = slow_alone.iter().map(|answer| answer.route.to_string()).collect();
    assert!(routes.len() > 2, "{routes:?}");
    std::thread::scope(|scope| {
        for turn in 0..6 {
            let (engine, expected) =
                if turn % 2 == 0 { (engine.clone(), &slow_alone) } else { (fast.clone(), &fast_alone) };
            let queries = &queries;
            scope.spawn(move || {
                for _ in 0..5 {
                    assert!(engine.predict(queries).expect("answers") == *expected, "turn {turn}");
                }
            });
        }
    });
    Ok(())
}

#[test]
fn answers_come_in_the_order_of_the_texts() -> Result<()> {
    let engine = engine()?;
    let texts = texts(50, 3);
    let queries: Vec<&str> = texts.iter().map(|(text, _)| text.as_str()).collect();
    let answers = engine.predict(&queries)?;
    assert_eq!(answers.len(), 50);
    let backwards: Vec<&str> = queries.iter().rev().copied().collect();
    for (answer, other) in answers.iter().zip(engine.predict(&backwards)?.iter().rev()) {
        assert_eq!((answer.class, answer.route.exit()), (other.class, other.route.exit()));
    }
    let full = engine.model().shape().layers;
    for Answer { label, class, probabilities, route, flops, .. } in &answers {
        assert_eq!(**label, labels()[*class]);
        let sum: f32 = probabilities.iter().sum();
        assert!((sum - 1.0).abs() < 1e-5 && probabilities[*class] >= 0.5, "{probabilities:?}");
        assert!(*flops > 0 && route.depth() <= full);
    }
    let right = answers.iter().zip(&texts).filter(|(answer, (_, label))| answer.class == *label).count();
    assert!(right >= 35, "{right} of 50 right");
    Ok(())
}

#[test]
fn nothing_an_empty_text_a_pair_and_a_long_text_are_answered() -> Result<()> {
    let engine = engine()?;
    assert!(engine.predict(&[] as &[&str])?.is_empty());
    let empty = &engine.predict(&[""])?[0];
    assert!(!empty.truncated && empty.probabilities.len() == 2);
    let pair = engine.predict(&[("fine", "food")])?;
    assert_eq!(pair, engine.predict(&[Query { text: "fine", pair: Some("food") }])?);
    assert_ne!(pair[0].flops, engine.predict(&["fine"])?[0].flops);
    let long = "fine ".repeat(600);
    assert!(engine.predict(&[long.as_str()])?[0].truncated);
    Ok(())
}

#[test]
fn what_does_not_fit_together_is_refused() -> Result<()> {
    let (model, tokenizer) = parts()?;
    assert_eq!(refused(Engine::new(model.with_speed(0.1)?, tokenizer.clone(), &labels()[..1])), "labels");
    let larger = TextTokenizer::from_vocabulary(&[WORDS.map(String::from).to_vec(), vec!["more".into()]].concat())?;
    assert_eq!(refused(Engine::new(model.with_speed(0.1)?, larger, &labels())), "vocab_size");
    let engine = Engine::new(model, tokenizer, &labels())?;
    assert_eq!(refused(engine.clone().with_max_length(2)), "max_length");
    assert_eq!(refused(engine.clone().with_max_length(513)), "max_length");
    assert_eq!(refused(engine.clone().with_batch_size(0)), "batch_size");
    assert_eq!(refused(engine.with_speed(f64::NAN)), "speed");
    // Three tokens have room for one token of a text, but not for one token of each text of a pair.
    let short = engine.with_max_length(3)?;
    assert!(short.predict(&["fine food"])?[0].truncated);
    assert!(matches!(short.predict(&[("fine", "food")]), Err(Error::Transformer(_))));
    let strict = short.with_max_bytes(9);
    assert_eq!(strict.predict(&["fine food"])?.len(), 1);
    let long = strict.predict(&["fine", "fine food."]);
    assert!(
        matches!(
            long,
            Err(Error::Transformer(dht_dynamic::transformer::Error::TextTooLong { bytes: 10, most: 9, .. }))
        ),
        "{long:?}"
    );
    Ok(())
}

/// Full classifier with the vocabulary of the texts.
fn classifier(task: Task, outputs: usize) -> Result<TextClassifier> {
    let rng = &mut rng(3);
    let encoder = dht_toys::encoder(&config([2, 2, 12, tokenizer().vocabulary_size()], None), rng);
    Ok(TextClassifier::for_task(task, encoder, outputs, Pooling::Mean, rng)?)
}

#[test]
fn a_loaded_engine_answers_as_the_saved_one() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let texts = words(40, 4);
    let queries: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (dynamic, tokenizer) = parts()?;
    let full = classifier(Task::Class, 2)?;
    let models: [(&str, ServedModel); 2] = [("dynamic", dynamic.into()), ("full", full.into())];
    for (name, model) in models {
        let saved = TextModel::new(model, tokenizer.clone().with_rest(9), &labels(), 7)?;
        let place = folder.path().join(name);
        saved.save(&place, "# A card")?;
        assert_eq!(std::fs::read_to_string(place.join("README.md")).expect("a card"), "# A card");
        let loaded = TextModel::load(&place, &Device::Cpu)?;
        assert_eq!((loaded.max_length, loaded.tokenizer.rest(), &loaded.labels), (7, 9, &labels()), "{name}");
        let (loaded, saved) = (Engine::load(&place)?.predict(&queries)?, Engine::from_model(saved).predict(&queries)?);
        assert_eq!(loaded, saved, "{name}");
        assert!(saved.iter().any(|answer| answer.truncated), "{name}: texts are cut at 7 tokens");
    }
    Ok(())
}

#[test]
fn a_hugging_face_classifier_is_loaded_as_it_is() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let texts = words(40, 4);
    let queries: Vec<&str> = texts.iter().map(String::as_str).collect();
    let full = classifier(Task::Class, 2)?;
    for (declared, length) in [(7, 7), (5000, 512)] {
        let tokenizer = tokenizer().with_model_max_length(declared);
        full.save(folder.path(), Some(&tokenizer), &labels())?;
        let loaded = TextModel::load(folder.path(), &Device::Cpu)?;
        assert_eq!((loaded.max_length, &loaded.labels, loaded.curve.len()), (length, &labels(), 0));
        let own = Engine::new(full.clone(), tokenizer, &labels())?.predict(&queries)?;
        assert_eq!(Engine::load(folder.path())?.predict(&queries)?, own, "{declared}");
    }
    std::fs::remove_file(folder.path().join("tokenizer.json")).expect("a tokenizer");
    let error = TextModel::load(folder.path(), &Device::Cpu).map(drop).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
    Ok(())
}

#[test]
fn a_directory_that_is_no_model_says_what_to_do_with_it() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str| folder.path().join(name);
    let refused = |name: &str| match TextModel::load(place(name), &Device::Cpu) {
        Err(error) => error.to_string().replace(&*folder.path().to_string_lossy(), ""),
        Ok(_) => panic!("{name} is taken"),
    };
    assert!(refused("nowhere").starts_with("/nowhere: "), "{}", refused("nowhere"));
    let (dynamic, tokenizer) = parts()?;
    dynamic.save(place("library"), Some(&tokenizer), &labels())?;
    assert!(refused("library").contains("which DynamicModel::load reads"), "{}", refused("library"));
    let full = classifier(Task::Class, 2)?;
    // The directory's configuration says that it contains an encoder.
    let rng = &mut rng(3);
    let encoder = dht_toys::encoder(&config([2, 2, 12, tokenizer.vocabulary_size()], None), rng);
    let pooled = TextClassifier::for_task(Task::Class, encoder, 2, Pooling::Pooler, rng)?;
    pooled.save(place("encoder"), Some(&tokenizer), &labels())?;
    let file = place("encoder").join("config.json");
    let written = std::fs::read_to_string(&file).expect("a configuration");
    std::fs::write(&file, written.replace("BertForSequenceClassification", "BertModel")).expect("a configuration");
    assert!(refused("encoder").contains("dht train"), "{}", refused("encoder"));
    std::fs::create_dir(place("empty")).expect("a folder");
    assert!(refused("empty").contains("that `dht train` or `dht accelerate` wrote"), "{}", refused("empty"));

    let model = TextModel::new(full, tokenizer, &labels(), 16)?;
    model.save(place("good"), "")?;
    let description = std::fs::read_to_string(place("good").join("dht.json")).expect("a description");
    for (from, to, named) in [
        ("\"version\": 2", "\"version\": 9", "its version is 9 of release 0.1.0, expected 2"),
        ("\"version\": 2", "\"version\": 1", "its version is 1 of release 0.1.0, expected 2: load it with the release"),
        ("\"max_length\": 16", "\"max_length\": 600", "max_length is 600, expected at most the model's 512 positions"),
        ("\"max_length\": 16", "\"length\": 16", "unknown field `length`"),
    ] {
        assert!(description.contains(from), "{from}");
        model.save(place("bad"), "")?;
        std::fs::write(place("bad").join("dht.json"), description.replace(from, to)).expect("a description");
        assert!(refused("bad").contains(named), "{}", refused("bad"));
    }
    model.save(place("torn"), "")?;
    std::fs::write(place("torn").join("model/model.safetensors"), b"other").expect("a file");
    assert!(refused("torn").contains("is not the file that"), "{}", refused("torn"));
    Ok(())
}

#[test]
fn labels_and_values_are_served_too() -> Result<()> {
    let (model, tokenizer) = (classifier(Task::Labels, 2)?, tokenizer());
    let answers = Engine::new(model.clone(), tokenizer.clone(), &labels())?.predict(&["fine food", "bad"])?;
    let batch = tokenizer.encode("fine food", None, 16)?;
    let sample = Sample { id: 0, label: 0, targets: Vec::new(), encoding: batch };
    let own = model.probabilities(&PackedBatch::from_samples([&sample])?)?;
    for (served, own) in answers[0].probabilities.iter().zip(&own[0]) {
        assert!((served - own).abs() < 1e-6, "{served} {own}");
    }
    let engine = Engine::new(classifier(Task::Number, 1)?, tokenizer, &["stars".into()])?;
    let answer = &engine.predict(&["fine food"])?[0];
    assert_eq!((&*answer.label, answer.probabilities.len()), ("stars", 1));
    assert_eq!(refused(engine.with_speed(1.0)), "model");
    Ok(())
}

#[test]
fn in_eight_bits_answers_are_nearly_the_same() -> Result<()> {
    let exact = engine()?;
    let rounded = exact.clone().with_precision(Precision::Int8);
    let texts = words(120, 5);
    let queries: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (exact, rounded) = (exact.predict(&queries)?, rounded.predict(&queries)?);
    let same = exact.iter().zip(&rounded).filter(|(exact, rounded)| exact.class == rounded.class).count();
    assert!(same >= 114, "{same} of 120 classes are the same");
    assert_ne!(exact, rounded, "nothing was rounded");
    Ok(())
}

#[test]
fn answers_do_not_change_without_unpacked_weights() -> Result<()> {
    let texts = words(60, 7);
    let queries: Vec<&str> = texts.iter().map(String::as_str).collect();
    for precision in [Precision::F32, Precision::Int8] {
        let engine = engine()?.with_precision(precision);
        let fast = engine.with_speed(0.6)?;
        let other = engine.clone().with_precision(Precision::F32);
        let before = (engine.predict(&queries)?, fast.predict(&queries)?);
        let bytes = engine.weight_bytes();
        let freed = engine.free_unpacked_weights()?;
        assert!(freed > 0 && engine.weight_bytes() == bytes - freed, "{freed} of {bytes}, {}", engine.weight_bytes());
        assert_eq!((engine.predict(&queries)?, fast.predict(&queries)?), before);
        assert_eq!(engine.free_unpacked_weights()?, 0, "nothing is freed twice");
        // An engine that has not packed the weights needs their values.
        let refused = other.predict(&queries).expect_err("no values").to_string();
        assert!(refused.contains("were released"), "{refused}");
    }
    let classifier = Engine::new(classifier(Task::Labels, 2)?, tokenizer(), &labels())?;
    let before = classifier.predict(&queries)?;
    assert!(classifier.free_unpacked_weights()? > 0);
    assert_eq!(classifier.predict(&queries)?, before);
    Ok(())
}

#[test]
fn spaces_around_a_text_change_no_token() -> Result<()> {
    let (model, _) = parts()?;
    // Whole texts are tokens, so that a space or another line end makes another one.
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fine\nday", " fine\r\nday "];
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        words.iter().zip(0..).map(|(word, id)| ((*word).to_owned(), id.into())).collect();
    let description = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "unk_token": "[UNK]", "vocab": vocabulary },
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tokenizer.json");
    std::fs::write(&file, description.to_string()).expect("a file");
    let engine = Engine::new(model, TextTokenizer::from_file(&file)?, &labels())?;
    let ids = |text: &str| engine.encode(Query::from(text), 0).map(|sample| sample.encoding.ids);
    assert_eq!(ids("fine\nday")?, [2, 5, 3]);
    assert_eq!(ids(" fine\r\nday ")?, ids("fine\nday")?);
    let pair = |first, second| engine.encode(Query::from((first, second)), 0).map(|sample| sample.encoding.ids);
    assert_eq!(pair("fine\nday", "\tfine\rday")?, pair("fine\nday", "fine\nday")?);
    Ok(())
}
