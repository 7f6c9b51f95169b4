//! Text classifiers, saved and loaded as Hugging Face directories.

use std::path::Path;

use candle_core::{Device, Tensor};
use dht_toys::{config, data, rng, sample};
use dht_transformer::{
    Encoder, Error, ForwardContext, Objective, PackedBatch, Pooling, TextClassifier, TextTokenizer,
    error::WeightsProblem, pretrained::PretrainedWeights,
};
use serde_json::json;

const EVERY_POOLING: [Pooling; 3] = [Pooling::Cls, Pooling::Pooler, Pooling::Mean];

fn model(pooling: Pooling) -> TextClassifier {
    dht_toys::classifier(&config([2, 2, 8, 12], 0.3), 3, pooling, &mut rng(4))
}

fn batch() -> PackedBatch {
    dht_toys::batch(&[&[2, 5, 3][..], &[2, 11, 7, 6, 3]], &[0, 2])
}

fn labels() -> Vec<String> {
    ["low", "middle", "high"].map(String::from).to_vec()
}

fn logits(model: &TextClassifier) -> Result<Vec<Vec<f32>>, Error> {
    Ok(model.logits(&batch(), &ForwardContext::inference())?.to_vec2()?)
}

fn config_of(folder: &Path) -> serde_json::Value {
    let text = std::fs::read(folder.join("config.json")).expect("it was written");
    serde_json::from_slice(&text).expect("it is JSON")
}

#[test]
fn a_saved_classifier_gives_the_same_logits_when_it_is_loaded() -> Result<(), Error> {
    for pooling in EVERY_POOLING {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let folder = folder.path().join("model");
        let words: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let tokenizer = TextTokenizer::from_vocabulary(&words)?;
        let saved = model(pooling);
        saved.save(&folder, Some(&tokenizer), &labels())?;
        // Saving again replaces a directory that this crate wrote.
        saved.save(&folder, Some(&tokenizer), &labels())?;
        let loaded = TextClassifier::load(&folder, &Device::Cpu)?;
        assert_eq!(logits(&loaded)?, logits(&saved)?);
        assert_eq!(loaded.classifier().pooling(), pooling);
        assert_eq!(loaded.encoder().config().labels(), Some(labels()));
        let (ours, theirs) = (TextTokenizer::from_dir(&folder)?.encode("b a", None, 9)?, [2, 6, 5, 3]);
        assert_eq!(ours.ids, theirs);
    }
    Ok(())
}

#[test]
fn a_classifier_without_a_pooler_is_saved_as_its_own_class() -> Result<(), Error> {
    let stock = ("bert", "BertForSequenceClassification");
    let own = ("dht-bert", "DhtBertForSequenceClassification");
    for (pooling, said, (model_type, class)) in
        [(Pooling::Cls, Some("cls"), own), (Pooling::Mean, Some("mean"), own), (Pooling::Pooler, None, stock)]
    {
        let folder = tempfile::tempdir().expect("a temporary directory");
        model(pooling).save(folder.path(), None, &labels())?;
        let config = config_of(folder.path());
        assert_eq!(config.get("classifier_pooling").and_then(|value| value.as_str()), said);
        assert_eq!((&config["model_type"], &config["architectures"]), (&json!(model_type), &json!([class])));
        assert_eq!(config["id2label"]["2"], "high");
        let names = PretrainedWeights::read(folder.path())?.tensors;
        assert_eq!(names.contains_key("pooler.dense.weight"), pooling == Pooling::Pooler);

        let code = std::fs::read_to_string(folder.path().join("modeling_dht.py")).ok();
        assert_eq!((code.is_some(), config.get("auto_map").is_some()), (said.is_some(), said.is_some()));
        if let Some(code) = code {
            assert_eq!(config["auto_map"]["AutoModelForSequenceClassification"], format!("modeling_dht.{class}"));
            assert!(code.contains(&format!("class {class}(BertPreTrainedModel):")), "{code}");
            assert!(code.contains("model_type = \"dht-bert\""), "{code}");
        }
    }
    Ok(())
}

#[test]
fn a_pooling_under_a_stock_class_is_refused() -> Result<(), Error> {
    for pooling in [Pooling::Cls, Pooling::Mean] {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let saved = model(pooling);
        saved.save(folder.path(), None, &labels())?;
        let mut config = config_of(folder.path());
        config["model_type"] = "bert".into();
        config["architectures"] = json!(["BertForSequenceClassification"]);
        config.as_object_mut().expect("an object").remove("auto_map");
        std::fs::write(folder.path().join("config.json"), config.to_string()).expect("a temporary file");
        // Python would use a pooler with other weights.
        let refused = TextClassifier::load(folder.path(), &Device::Cpu).expect_err("another class").to_string();
        assert!(refused.contains("classifier_pooling"), "{refused}");
    }
    Ok(())
}

#[test]
fn a_classifier_that_needs_a_pooler_is_not_written_without_one() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let model = model(Pooling::Mean);
    let mut tensors = model.encoder().to_tensors()?;
    tensors.extend(model.classifier().to_tensors()?);
    let written = PretrainedWeights::write(folder.path().join("model"), model.encoder().config(), &tensors, None);
    assert!(
        matches!(&written, Err(Error::Weights { problem: WeightsProblem::Missing { names }, .. }) if names == "pooler.dense.weight"),
        "{written:?}"
    );
    assert!(!folder.path().join("model").exists());
    Ok(())
}

#[test]
fn another_pooling_replaces_the_word_of_the_first() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    model(Pooling::Mean).save(folder.path(), None, &labels())?;
    let tuned = TextClassifier::from_pretrained(folder.path(), 3, Pooling::Pooler, &Device::Cpu, &mut rng(5))?;
    tuned.save(folder.path(), None, &labels())?;
    let loaded = TextClassifier::load(folder.path(), &Device::Cpu)?;
    assert_eq!((loaded.classifier().pooling(), logits(&loaded)?), (Pooling::Pooler, logits(&tuned)?));
    assert!(!folder.path().join("modeling_dht.py").exists());
    assert_eq!(config_of(folder.path()).get("auto_map"), None);
    Ok(())
}

#[test]
fn a_pretrained_encoder_keeps_its_pooler_with_a_new_classifier() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let first = model(Pooling::Pooler);
    first.save(folder.path(), None, &labels())?;
    for pooling in EVERY_POOLING {
        let tuned = TextClassifier::from_pretrained(folder.path(), 5, pooling, &Device::Cpu, &mut rng(6))?;
        assert_eq!(tuned.classifier().classes(), 5);
        for (name, value) in first.encoder().parameters().values()? {
            let same = tuned.encoder().parameters().values()?.get(&name) == Some(&value);
            let expected_same =
                !name.starts_with("classifier.") || (name.contains("pooler") && pooling == Pooling::Pooler);
            // A new bias is zero in both models, but has another length.
            assert_eq!(same, expected_same, "{name} under {pooling:?}");
        }
    }
    let encoder = Encoder::from_pretrained(folder.path(), &Device::Cpu)?;
    let of_encoder = |name: &&str| !name.starts_with("classifier");
    let parameters = first.encoder().parameters();
    assert!(encoder.parameters().iter().map(|(_, name, _)| name).eq(parameters.iter().map(|p| p.1).filter(of_encoder)));
    Ok(())
}

#[test]
fn classifiers_added_to_an_encoder_start_from_its_pooler() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let first = model(Pooling::Pooler);
    first.save(folder.path(), None, &labels())?;
    let rng = &mut rng(7);
    let own = first.classifier().to_tensors()?;
    let read = Encoder::from_pretrained(folder.path(), &Device::Cpu)?;
    assert!(read.has_pooler() && !Encoder::random(read.config(), &Device::Cpu, rng)?.has_pooler());
    for mut encoder in [read.truncated(1)?, read.deep_clone()?, read] {
        for name in ["exit.1", "exit.2"] {
            let added = encoder.add_classifier(name, 3, Pooling::Pooler, rng)?.to_tensors()?;
            for part in ["pooler.dense.weight", "pooler.dense.bias"] {
                let [actual, expected] = [&added, &own].map(|tensors| tensors[part].flatten_all().unwrap());
                assert_eq!(actual.to_vec1::<f32>()?, expected.to_vec1::<f32>()?, "{name} {part}");
            }
            assert_ne!(added["classifier.weight"].dims(), own["pooler.dense.weight"].dims());
        }
    }
    let mut tensors = first.encoder().to_tensors()?;
    tensors.extend(own);
    tensors.insert("pooler.dense.bias".into(), candle_core::Tensor::zeros(5, candle_core::DType::F32, &Device::Cpu)?);
    let mut narrow = Encoder::from_tensors(first.encoder().config(), &tensors, &Device::Cpu)?;
    narrow.add_classifier("mean", 3, Pooling::Mean, rng)?;
    let refused = narrow.add_classifier("pooled", 3, Pooling::Pooler, rng);
    assert!(matches!(&refused, Err(Error::Shape { what, .. }) if what == "pooler.dense.bias"), "{refused:?}");
    Ok(())
}

#[test]
fn scoring_an_unknown_class_is_rejected_with_its_row() -> Result<(), Error> {
    let mut data = data(0..5, [sample(0, 2, [2, 5, 3]), sample(1, 3, [2, 5, 3])]);
    let scored = model(Pooling::Cls).score(&data, 2);
    assert!(matches!(&scored, Err(Error::Argument { name: "label", got, .. }) if got == "3 in row 1"), "{scored:?}");
    data.samples.truncate(1);
    assert!(model(Pooling::Cls).score(&data, 2).is_ok());
    Ok(())
}

#[test]
fn probabilities_are_the_softmax_of_the_logits() -> Result<(), Error> {
    let model = model(Pooling::Cls);
    for (probabilities, logits) in model.probabilities(&batch())?.iter().zip(logits(&model)?) {
        let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        for (probability, logit) in probabilities.iter().zip(logits) {
            approx::assert_abs_diff_eq!(f64::from(*probability), f64::from(logit).exp() / sum, epsilon = 1e-6);
        }
    }
    Ok(())
}

#[test]
fn what_is_no_classifier_is_refused() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path();
    let model = model(Pooling::Mean);
    assert!(matches!(model.save(path, None, &labels()[..2]), Err(Error::Shape { .. })));

    let missing = |path: &Path, expected: &str| match TextClassifier::load(path, &Device::Cpu) {
        Err(Error::Weights { problem: WeightsProblem::Missing { names }, .. }) => assert!(names.contains(expected)),
        other => panic!("{other:?}"),
    };
    PretrainedWeights::write(path, model.encoder().config(), &model.encoder().to_tensors()?, None)?;
    let encoder = TextClassifier::load(path, &Device::Cpu);
    assert!(
        matches!(&encoder, Err(Error::Unsupported { item: Some(item), .. }) if item == "architectures"),
        "{encoder:?}"
    );

    model.save(path, None, &labels())?;
    let change = |field: &str, value: Option<serde_json::Value>| {
        let mut config = config_of(path);
        match (config.as_object_mut().expect("an object"), value) {
            (config, Some(value)) => config.insert(field.into(), value),
            (config, None) => config.remove(field),
        };
        std::fs::write(path.join("config.json"), config.to_string()).expect("it can be written");
    };
    change("architectures", None);
    change("classifier_pooling", None);
    missing(path, "pooler.dense.weight");
    change("classifier_pooling", Some("median".into()));
    let unknown = TextClassifier::load(path, &Device::Cpu);
    assert!(
        matches!(&unknown, Err(Error::Config { file, field: "classifier_pooling", .. }) if file.ends_with("config.json")),
        "{unknown:?}"
    );
    change("classifier_pooling", Some("mean".into()));
    change("id2label", Some(serde_json::json!({"0": "a", "1": "b"})));
    let misnamed = TextClassifier::load(path, &Device::Cpu);
    assert!(matches!(misnamed, Err(Error::Config { field: "id2label", .. })), "{misnamed:?}");
    Ok(())
}

#[test]
fn non_finite_weights_are_rejected_before_a_save_and_on_load() -> Result<(), Error> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path();
    let model = model(Pooling::Mean);
    model.save(path, None, &labels())?;
    let good = logits(&model)?;
    let parameters = model.encoder().parameters();
    let poisoned = Tensor::from_vec(vec![0.0, f32::NAN, 1.0], 3, &Device::Cpu)?;
    parameters.var(parameters.id("classifier.bias")?).set(&poisoned)?;
    let refused = |result| match result {
        Err(Error::Weights { tensor: Some(name), problem: WeightsProblem::NotFinite { element: 1, .. }, .. }) => {
            assert_eq!(name, "classifier.bias");
        }
        other => panic!("{other:?}"),
    };
    refused(model.save(path, None, &labels()));
    assert_eq!(logits(&TextClassifier::load(path, &Device::Cpu)?)?, good);

    // The numbers are written without the writer's check.
    let file = path.join("model.safetensors");
    let mut tensors = candle_core::safetensors::load(&file, &Device::Cpu)?;
    tensors.insert("classifier.bias".into(), poisoned);
    candle_core::safetensors::save(&tensors, &file)?;
    refused(TextClassifier::load(path, &Device::Cpu).map(|_| ()));
    Ok(())
}
