//! Model directories that release 0.1 wrote are read by every release 0.1.x, with the same answers; later ones are refused
//! by name. `WRITE_FIXTURES=1 cargo test -p dht-dynamic --release --test compatibility` writes them, once for a format.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use dht_dynamic::accelerate::{AccelerateSettings, SideSettings, Texts, accelerate};
use dht_dynamic::exit::NgramSettings;
use dht_dynamic::transformer::{BertConfig, Pooling};
use dht_dynamic::{
    Engine,
    serving::{ServedModel, TextModel},
};
use dht_dynamic::{Error, Result};
use dht_toys::{classifier, config, reviews, rng};
use serde_json::{Value, json};

const TEXTS: [&str; 5] =
    ["fine day", "the food was bad", "awful", "good good bad", "the day was fine the food was good"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/0.1")
}

/// Full classifier and accelerated classifier, both as small as possible.
fn models() -> Result<[(&'static str, ServedModel); 2]> {
    let small = config([2, 2, 8, reviews::tokenizer().vocabulary_size()], 0.5);
    let small = BertConfig { max_position_embeddings: 16, intermediate_size: 16, ..small };
    let full = classifier(&small, 2, Pooling::Mean, &mut rng(1));
    let (training, held_out) = (reviews::data(60, 1), reviews::data(40, 2));
    let settings = AccelerateSettings {
        ngram: Some(NgramSettings::default()),
        side: Some(SideSettings { width: Some(4), ..SideSettings::default() }),
        ..AccelerateSettings::default()
    };
    let texts = Texts::new(&training).with_held_out(&held_out);
    let fast = accelerate(&full, texts, &settings, &mut rng(2))?.model.with_speed(0.3)?;
    Ok([("full", full.into()), ("dynamic", fast.into())])
}

fn answers(engine: &Engine) -> Result<Value> {
    let answers = engine.predict(&TEXTS)?;
    let answer = |answer: &dht_dynamic::Answer| json!({ "label": *answer.label, "route": answer.route.to_string(), "probabilities": answer.probabilities });
    Ok(answers.iter().map(answer).collect())
}

#[test]
fn models_of_release_0_1_give_the_answers_of_their_release() -> Result<()> {
    if std::env::var_os("WRITE_FIXTURES").is_some() {
        for (name, model) in models()? {
            let model = TextModel::new(model, reviews::tokenizer(), &reviews::labels(), 16)?;
            model.save(fixtures().join(name), "A model of release 0.1, for a test.\n")?;
            let text = format!("{:#}\n", answers(&Engine::from_model(model))?);
            fs::write(fixtures().join(format!("{name}.answers.json")), text).unwrap();
        }
    }
    let mut routes = std::collections::BTreeSet::new();
    for name in ["full", "dynamic"] {
        let actual = answers(&Engine::load(fixtures().join(name))?)?;
        let text = fs::read_to_string(fixtures().join(format!("{name}.answers.json"))).unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        for (actual, expected) in actual.as_array().unwrap().iter().zip(expected.as_array().unwrap()) {
            assert_eq!((&actual["label"], &actual["route"]), (&expected["label"], &expected["route"]), "{name}");
            routes.insert(actual["route"].to_string());
            for (actual, expected) in
                actual["probabilities"].as_array().unwrap().iter().zip(expected["probabilities"].as_array().unwrap())
            {
                let difference = actual.as_f64().unwrap() - expected.as_f64().unwrap();
                assert!(difference.abs() < 1e-4, "{name}: {difference}");
            }
        }
    }
    assert!(routes.len() > 1, "{routes:?}");
    Ok(())
}

#[test]
fn a_directory_of_another_version_is_refused_by_its_release() {
    let device = Device::Cpu;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model");
    copy(&fixtures().join("full"), &target);
    let path = target.join("dht.json");
    let original: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let load = |change: &dyn Fn(&mut Value)| {
        let mut description = original.clone();
        change(&mut description);
        fs::write(&path, description.to_string()).unwrap();
        TextModel::load(&target, &device).map(drop)
    };
    assert!(load(&|_| ()).is_ok());
    let newer = load(&|description| {
        description["version"] = 3.into();
        description["release"] = "0.2.0".into();
    });
    let newer = newer.expect_err("a later version").to_string();
    assert!(newer.contains("its version is 3 of release 0.2.0, expected 2"), "{newer}");
    let without = load(&|description| drop(description.as_object_mut().unwrap().remove("version")));
    assert!(matches!(without, Err(Error::Model { field: "version", .. })), "{without:?}");
    let unknown = load(&|description| description["colour"] = "red".into());
    assert!(
        matches!(&unknown, Err(Error::Json { source, .. }) if source.to_string().contains("colour")),
        "{unknown:?}"
    );
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
