//! A loaded model equals the saved one, and other files are refused.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use dht_dynamic::Error as Dynamic;
use dht_dynamic::router::LeavingRule;
use dht_dynamic::{DynamicModel, Engine, ExitModel, ExitSettings};
use dht_search::{Error, Preset, Result, SearchModel, SearchObjective, SearchSettings};
use dht_search::{
    transformer::error::CheckpointProblem,
    transformer::train::checkpoint::Checkpoint,
    transformer::{CheckpointSettings, Encoder, Error as TransformerError, TextTokenizer, Trainer},
};
use dht_toys::{config, encoder, rng};

use crate::toy::{self, CLASSES, bits, kinds, model, task, train_settings, weights_and_state_of};

fn labels() -> Vec<String> {
    ["one", "two", "three"].map(String::from).into()
}

fn trained(settings: &SearchSettings) -> Result<SearchModel> {
    Ok(toy::trained(model(settings.clone(), 1)?, &task(37, 1))?.into_model())
}

fn refused(folder: &Path) -> Error {
    SearchModel::load(folder, &Device::Cpu).map(|_| ()).expect_err("a broken model was read")
}

#[test]
fn a_loaded_model_predicts_the_same_bits() -> Result<()> {
    let test = task(25, 2);
    for (name, settings) in kinds() {
        let mut model = trained(&settings)?;
        if model.lambda().is_some() {
            model.set_speed(0.01)?;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let target = folder.path().join("models").join("first");
        model.save(&target, None, &labels())?;
        let (loaded, names, tokenizer) = SearchModel::load(&target, &Device::Cpu)?;
        assert_eq!((names, tokenizer.is_none()), (labels(), true));
        assert_eq!((loaded.space(), loaded.settings()), (model.space(), model.settings()), "{name}");
        assert!(bits(loaded.encoder().parameters()) == bits(model.encoder().parameters()), "{name}");
        assert_eq!(weights_and_state_of(&loaded)?.1["router"], weights_and_state_of(&model)?.1["router"], "{name}");
        assert_eq!(weights_and_state_of(&loaded)?.1["heads"], weights_and_state_of(&model)?.1["heads"], "{name}");
        for rows in [(0..25).collect::<Vec<usize>>(), vec![3], vec![9, 4]] {
            let batch = test.batch(&rows)?;
            let predictions = model.predict_batch(&batch)?;
            assert_eq!(loaded.predict_batch(&batch)?, predictions, "{name}");
        }
        // It can be trained further, and saving it again replaces the first save.
        let mut search = SearchObjective::new(loaded)?;
        Trainer::new(train_settings()).fit(&mut search, &task(20, 3), &test, &mut ())?;
        let loaded = search.into_model();
        loaded.save(&target, None, &labels())?;
        let entries = |path: &Path| fs::read_dir(path).expect("a folder").count();
        assert_eq!((entries(&target), entries(target.parent().expect("a parent"))), (2, 1), "{name}");
        let (again, ..) = SearchModel::load(&target, &Device::Cpu)?;
        assert!(bits(again.encoder().parameters()) == bits(loaded.encoder().parameters()), "{name}");
    }
    Ok(())
}

#[test]
fn a_save_keeps_the_tokenizer_and_an_ordinary_encoder_directory() -> Result<()> {
    let texts = ["a fine day", "bad food", "the food was fine", "a bad day"];
    let tokenizer = TextTokenizer::train(texts, 60)?.with_rest(40).with_model_max_length(5);
    let (rng, space) = (&mut rng(1), Preset::TDht.space(6, 12)?);
    let encoder = encoder(&config([6, 12, 24, tokenizer.vocabulary_size()], None), rng);
    let model = SearchModel::new(encoder, space, SearchSettings::default(), CLASSES, rng)?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("model");
    model.save(&target, Some(&tokenizer), &labels())?;
    let (_, _, loaded) = SearchModel::load(&target, &Device::Cpu)?;
    let loaded = loaded.expect("a tokenizer");
    assert_eq!(loaded.encode("bad day", None, 9)?, tokenizer.encode("bad day", None, 9)?);
    assert_eq!((loaded.rest(), loaded.model_max_length()), (40, Some(5)));
    let engine = Engine::new(model.clone(), loaded, &labels())?;
    assert_eq!((engine.max_length(), engine.predict(&["the food was fine"])?[0].tokens), (5, 5));
    let refused = model.save(folder.path().join("equal"), None, &["a", "b", "a"].map(String::from));
    assert!(refused.expect_err("equal names").to_string().contains("another name for each class"));
    let alone = Encoder::from_pretrained(target.join("encoder"), &Device::Cpu)?;
    let values = alone.parameters().values()?;
    let full = model.encoder().parameters().values()?;
    assert!(!values.is_empty() && values.iter().all(|(name, tensor)| full.get(name) == Some(tensor)));
    Ok(())
}

#[test]
fn torn_foreign_and_newer_files_are_refused_by_their_kind() -> Result<()> {
    let model = model(SearchSettings::default(), 1)?.into_model();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("model");
    let file = target.join("dynamic.checkpoint");
    model.save(&target, None, &labels())?;
    let intact = fs::read(&file).expect("the file");

    assert!(matches!(
        refused(&folder.path().join("nowhere")),
        Error::Dynamic(Dynamic::Transformer(TransformerError::Io { .. }))
    ));
    let of_checkpoint = |error| match error {
        Error::Dynamic(Dynamic::Transformer(TransformerError::Checkpoint { path, problem })) if path == file => problem,
        other => panic!("{other}"),
    };
    for (bytes, torn) in
        [(&intact[..intact.len() / 2], true), (b"a text that is no checkpoint at all".as_slice(), false)]
    {
        fs::write(&file, bytes).expect("written");
        match of_checkpoint(refused(&target)) {
            CheckpointProblem::Torn { .. } => assert!(torn),
            CheckpointProblem::Foreign => assert!(!torn),
            other => panic!("{other:?}"),
        }
    }
    let changed = |change: &dyn Fn(&mut Checkpoint)| -> Result<Error> {
        fs::write(&file, &intact).expect("written");
        let mut checkpoint = Checkpoint::load(&file)?;
        change(&mut checkpoint);
        checkpoint.save(&file)?;
        Ok(refused(&target))
    };
    let newer = changed(&|checkpoint| checkpoint.state["version"] = 4.into())?;
    assert!(
        matches!(newer, Error::Dynamic(Dynamic::Model { field: "version", ref got, .. }) if got == "4 of release 0.1.0"),
        "{newer}"
    );
    let other = changed(&|checkpoint| checkpoint.state["format"] = "a recipe".into())?;
    assert!(matches!(other, Error::Dynamic(Dynamic::Model { field: "format", .. })), "{other}");
    let strange = changed(&|checkpoint| checkpoint.state["router"]["own"] = 3.into())?;
    assert!(matches!(strange, Error::Dynamic(Dynamic::Model { field: "router", .. })), "{strange}");
    let two = changed(&|checkpoint| checkpoint.state["labels"] = serde_json::json!(["a", "b"]))?;
    assert!(matches!(two, Error::Dynamic(Dynamic::Transformer(TransformerError::Shape { .. }))), "{two}");
    let name = "exit.4.classifier.weight";
    let missing = changed(&|checkpoint| drop(checkpoint.tensors.remove(name)))?;
    let of_parameter =
        |error: &Error| matches!(error, Error::Dynamic(Dynamic::Transformer(TransformerError::Parameter { .. })));
    assert!(of_parameter(&missing), "{missing}");
    let broken = changed(&|checkpoint| {
        let tensor = checkpoint.tensors.get_mut(name).expect("a tensor");
        tensor.values[0] = f32::NAN;
    })?;
    assert!(of_parameter(&broken), "{broken}");
    let smuggled = changed(&|checkpoint| {
        let tensor = checkpoint.tensors[name].clone();
        checkpoint.tensors.insert("embeddings.word_embeddings.weight".into(), tensor);
    })?;
    assert!(
        matches!(smuggled, Error::Dynamic(Dynamic::Model { field: "tensor", .. })) || of_parameter(&smuggled),
        "{smuggled}"
    );
    let space = Preset::TDht.space(12, 12)?;
    let other = changed(&|checkpoint| {
        checkpoint.state["search"]["description"]["space"] = serde_json::to_value(&space).expect("JSON")
    })?;
    assert!(matches!(other, Error::Dynamic(Dynamic::Argument { name: "space", .. })), "{other}");

    // The checkpoint of a training run is valid, but not a model.
    let training = task(20, 1);
    let checkpoint = CheckpointSettings { path: file.clone(), every_steps: 1, resume: false };
    let trainer = Trainer { checkpoint: Some(checkpoint), ..Trainer::new(train_settings()) };
    trainer.fit(&mut crate::toy::model(SearchSettings::default(), 1)?, &training, &training, &mut ())?;
    assert!(matches!(refused(&target), Error::Dynamic(Dynamic::Model { field: "format", .. })));
    Ok(())
}

#[test]
fn foreign_or_corrupt_model_files_are_rejected_by_name() -> Result<()> {
    let tokenizer = TextTokenizer::train(["a fine day", "bad food", "the food was fine"], 60)?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let saved = |name: &str, seed, tokenizer: Option<&TextTokenizer>| -> Result<PathBuf> {
        let target = folder.path().join(name);
        model(SearchSettings::default(), seed)?.model().save(&target, tokenizer, &labels())?;
        Ok(target)
    };
    let (first, second) = (saved("first", 1, Some(&tokenizer))?, saved("second", 2, None)?);
    let of = |name: &str| first.join("encoder").join(name);
    let is_named = |name: &str, error: &Error| match error {
        Error::Dynamic(Dynamic::ModelFile { path, checkpoint, .. }) => {
            *path == of(name) && *checkpoint == first.join("dynamic.checkpoint")
        }
        _ => false,
    };
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let intact = fs::read(of(name)).expect("the file");
        for byte in [0, intact.len() / 2, intact.len() - 1] {
            let mut bytes = intact.clone();
            bytes[byte] ^= 1;
            fs::write(of(name), bytes).expect("written");
            let error = refused(&first);
            assert!(is_named(name, &error), "{name}, byte {byte}: {error}");
        }
        fs::remove_file(of(name)).expect("removed");
        let error = refused(&first);
        assert!(is_named(name, &error), "{name}: {error}");
        assert!(matches!(&error, Error::Dynamic(Dynamic::ModelFile { expected: Some(_), got: None, .. })), "{error}");
        fs::write(of(name), intact).expect("written");
    }
    // Files that no model reads are allowed in the directory.
    fs::write(of("README.md"), "# A model").expect("written");
    SearchModel::load(&first, &Device::Cpu)?;

    let mine = fs::read(of("model.safetensors")).expect("the file");
    fs::copy(second.join("encoder/model.safetensors"), of("model.safetensors")).expect("copied");
    let error = refused(&first);
    assert!(is_named("model.safetensors", &error), "{error}");
    assert!(error.to_string().ends_with("restore the file of that save"), "{error}");
    fs::write(of("model.safetensors"), mine).expect("written");
    fs::copy(second.join("dynamic.checkpoint"), first.join("dynamic.checkpoint")).expect("copied");
    assert!(is_named("model.safetensors", &refused(&first)));
    // A tokenizer that was not saved with the model is refused.
    let theirs = second.join("encoder/tokenizer.json");
    fs::copy(of("tokenizer.json"), &theirs).expect("copied");
    let error = refused(&second);
    assert!(
        matches!(&error, Error::Dynamic(Dynamic::ModelFile { path, expected: None, .. }) if *path == theirs),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_search_and_a_product_each_say_who_reads_them() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (search, product) = (folder.path().join("search"), folder.path().join("product"));
    let model = model(SearchSettings::default(), 1)?.into_model();
    model.save(&search, None, &labels())?;
    match DynamicModel::load(&search, &Device::Cpu).map(drop) {
        Err(error @ dht_dynamic::Error::Model { field: "search", .. }) => {
            assert!(error.to_string().contains("SearchModel::load"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // A handle at another speed is saved with that speed.
    let faster = DynamicModel::from(model.clone()).with_speed(0.7)?;
    faster.save(&search, None, &labels())?;
    assert_eq!(SearchModel::load(&search, &Device::Cpu)?.0.speed(), Some(0.7));

    let exits = ExitModel::new(model.encoder().truncated(6)?, ExitSettings::linear(vec![2, 6]), CLASSES, &mut rng(1));
    DynamicModel::new(exits?, LeavingRule::Confidence)?.save(&product, None, &labels())?;
    let error = refused(&product);
    assert!(matches!(error, Error::Dynamic(Dynamic::Model { field: "search", .. })), "{error}");
    assert!(error.to_string().contains("DynamicModel::load"), "{error}");
    Ok(())
}

#[test]
fn a_save_that_is_refused_leaves_what_was_there() -> Result<()> {
    let model = model(SearchSettings::default(), 1)?.into_model();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("model");
    model.save(&target, None, &labels())?;
    let refused = model.save(&target, None, &labels()[..2]);
    assert!(matches!(refused, Err(Error::Dynamic(Dynamic::Shape { what: "labels", .. }))));
    fs::write(target.join("thesis.txt"), "years of work").expect("written");
    let refused = model.save(&target, None, &labels());
    assert!(matches!(refused, Err(Error::Dynamic(Dynamic::Transformer(TransformerError::ForeignDirectory { .. })))));
    assert_eq!(fs::read_to_string(target.join("thesis.txt")).expect("still there"), "years of work");
    SearchModel::load(&target, &Device::Cpu)?;
    Ok(())
}
