//! Damaged model directories with matching checksums: loading fails with an error or the model answers, without a
//! panic.
//!
//! A run tests a few hundred directories. For more:
//! `DHT_FUZZ_CASES=100000 cargo test -p dht-dynamic --release --test damaged_models`.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;
use dht_dynamic::accelerate::{AccelerateSettings, Texts, accelerate};
use dht_dynamic::transformer::{
    BertConfig, Dataset, EncodedDataset, Example, Pooling, Task, TextTokenizer, storage::file_sha256,
    train::checkpoint::Checkpoint,
};
use dht_dynamic::{
    Answer, Engine,
    serving::{ServedModel, TextModel},
};
use dht_toys::{classifier, config, rng};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const WORDS: [&str; 4] = ["fine", "bad", "the", "day"];
const DESCRIPTION: &str = "dht.json";
const CHECKPOINT: &str = "model/dynamic.checkpoint";

fn cases() -> usize {
    std::env::var("DHT_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

fn data(tokenizer: &TextTokenizer, rows: usize, rng: &mut ChaCha8Rng) -> EncodedDataset {
    let example = |_| {
        let words: Vec<usize> = (0..rng.random_range(1..6)).map(|_| rng.random_range(0..WORDS.len())).collect();
        let text = words.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" ");
        Example { text, pair: None, label: usize::from(words.contains(&0)), targets: Vec::new() }
    };
    let examples: Vec<_> = (0..rows).map(example).collect();
    let labels = ["other", "good"].map(String::from).to_vec();
    tokenizer.encode_all(&Dataset::from_examples("reviews", labels, examples).unwrap(), 8).unwrap()
}

/// Files of a saved model directory.
struct Saved {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// Checkpoint of a dynamic model; `None` for other models.
    checkpoint: Option<Checkpoint>,
}

impl Saved {
    fn new(model: impl Into<ServedModel>, tokenizer: &TextTokenizer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("model");
        let labels = ["other", "good"].map(String::from);
        TextModel::new(model, tokenizer.clone(), &labels, 8).unwrap().save(&target, "A model.").unwrap();
        let mut files = BTreeMap::new();
        let mut folders = vec![target.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => drop(
                        files.insert(path.strip_prefix(&target).unwrap().to_owned(), std::fs::read(&path).unwrap()),
                    ),
                }
            }
        }
        let checkpoint = target.join(CHECKPOINT);
        Self { checkpoint: checkpoint.exists().then(|| Checkpoint::load(checkpoint).unwrap()), files }
    }

    /// Writes the directory with random damage and with checksums of the damaged files.
    fn write_damaged(&self, target: &Path, rng: &mut ChaCha8Rng) {
        let mut files = self.files.clone();
        files.remove(Path::new("README.md"));
        let names: Vec<PathBuf> = files.keys().cloned().collect();
        let mut checkpoint = self.checkpoint.clone();
        for _ in 0..rng.random_range(1..4) {
            let name = &names[rng.random_range(0..names.len())];
            match &mut checkpoint {
                // A checkpoint whose sum is wrong is refused: what it holds is damaged, and its sum fits.
                Some(checkpoint) if name == Path::new(CHECKPOINT) => damage_checkpoint(checkpoint, rng),
                _ => damage(files.get_mut(name).unwrap(), rng),
            }
        }
        for (name, bytes) in &files {
            let path = target.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        if rng.random_bool(0.05) {
            std::fs::remove_file(target.join(&names[rng.random_range(0..names.len())])).unwrap();
        }
        let sum = |name: &str| file_sha256(target.join("model").join(name)).map_or(Value::Null, Value::from);
        if let Some(checkpoint) = &mut checkpoint {
            let state = &mut checkpoint.state;
            for name in ["config.json", "model.safetensors", "tokenizer.json"] {
                set(state, &["encoder", name], sum(&format!("encoder/{name}")));
            }
            set(state, &["front", "ngram"], sum("ngram.json"));
            set(state, &["seen_texts"], sum("seen_texts.bin"));
            // One that cannot be saved stays as it was, and fits nothing any more.
            let _ = checkpoint.save(target.join(CHECKPOINT));
        }
        let description = target.join(DESCRIPTION);
        let Some(mut value) =
            std::fs::read(&description).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        else {
            return;
        };
        for name in ["config.json", "model.safetensors", "tokenizer.json", "dynamic.checkpoint"] {
            set(&mut value, &["files", name], sum(name));
        }
        std::fs::write(description, value.to_string()).unwrap();
    }
}

/// Sets what is there.
fn set(value: &mut Value, path: &[&str], new: Value) {
    let place = path.iter().try_fold(value, |value, key| value.get_mut(key));
    place.into_iter().for_each(|place| *place = new.clone());
}

fn wild(rng: &mut ChaCha8Rng) -> Value {
    let values = [
        json!(0),
        json!(1),
        json!(-1),
        json!(3),
        json!(0.5),
        json!(1e308),
        json!(-1e-308),
        json!(99_999_999),
        json!(u64::MAX),
        json!(null),
        json!(true),
        json!(""),
        json!("relu"),
        json!([]),
        json!({}),
        json!([[0]]),
    ];
    values[rng.random_range(0..values.len())].clone()
}

/// Changes one random value of a JSON tree.
fn damage_tree(root: &mut Value, rng: &mut ChaCha8Rng) {
    let mut at = root;
    loop {
        let children = match &*at {
            Value::Array(list) => list.len(),
            Value::Object(map) => map.len(),
            _ => 0,
        };
        if children == 0 || rng.random_bool(0.15) {
            break *at = wild(rng);
        }
        let (child, change) = (rng.random_range(0..children), rng.random_range(0..12));
        match (&mut *at, change) {
            (Value::Array(list), 0) => break drop(list.remove(child)),
            (Value::Array(list), 1) => break list.push(list[child].clone()),
            (Value::Array(list), 2) => break list.swap(0, child),
            (Value::Object(map), 0 | 1) => {
                let key = map.keys().nth(child).unwrap().clone();
                break drop(map.remove(&key));
            }
            _ => {}
        }
        at = match at {
            Value::Array(list) => &mut list[child],
            Value::Object(map) => map.values_mut().nth(child).unwrap(),
            _ => unreachable!(),
        };
    }
}

fn damage_checkpoint(checkpoint: &mut Checkpoint, rng: &mut ChaCha8Rng) {
    if rng.random_bool(0.7) {
        return damage_tree(&mut checkpoint.state, rng);
    }
    let name = checkpoint.tensors.keys().nth(rng.random_range(0..checkpoint.tensors.len().max(1))).cloned();
    let Some(mut tensor) = name.as_ref().and_then(|name| checkpoint.tensors.remove(name)) else { return };
    match rng.random_range(0..5) {
        0 => return,
        1 => tensor.shape.reverse(),
        2 => tensor.values.iter_mut().for_each(|value| *value = f32::NAN),
        3 => tensor.values.iter_mut().for_each(|value| *value *= 1e30),
        _ => {
            tensor.values.push(1.0);
            tensor.shape = vec![tensor.values.len()];
        }
    }
    checkpoint.tensors.extend(name.map(|name| (name, tensor)));
}

fn damage(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let tree = serde_json::from_slice::<Value>(bytes).ok().filter(|_| rng.random_bool(0.8));
    if let Some(mut tree) = tree {
        damage_tree(&mut tree, rng);
        return *bytes = tree.to_string().into_bytes();
    }
    // The header of a file of tensors is where it can be damaged.
    let first = if rng.random_bool(0.7) { bytes.len().min(600) } else { bytes.len() };
    let at = rng.random_range(0..first.max(1)).min(bytes.len());
    match rng.random_range(0..5) {
        0 if at < bytes.len() => bytes[at] = rng.random(),
        1 if at < bytes.len() => drop(bytes.remove(at)),
        2 => bytes.insert(at, b"[]{}\",:0-eE\\nul9"[rng.random_range(0..16)]),
        3 => bytes.truncate(at),
        _ => {
            let part: Vec<u8> = bytes[at..].iter().take(20).copied().collect();
            drop(bytes.splice(at..at, part));
        }
    }
}

/// Checks that an answer is valid for its task: a number, or probabilities of which the answer's is the largest.
fn check(answer: &Answer) -> Result<(), &'static str> {
    let values = &answer.probabilities;
    let largest = values.iter().copied().fold(f32::NAN, f32::max);
    let sum: f32 = values.iter().sum();
    match answer.task {
        Task::Number if values.len() == 1 && sum.is_finite() => Ok(()),
        Task::Number => Err("expected a number"),
        _ if !values.iter().all(|value| (0.0..=1.0).contains(value)) => Err("expected probabilities"),
        Task::Class if (sum - 1.0).abs() > 1e-4 => Err("expected a sum of 1"),
        _ if values.get(answer.class) != Some(&largest) => Err("expected the likeliest class"),
        _ if answer.labels.get(answer.class) != Some(&answer.label) => Err("expected the name of the class"),
        _ => Ok(()),
    }
}

#[test]
fn a_damaged_model_is_refused_or_answers() {
    let mut rng = rng(21);
    let tokenizer = TextTokenizer::from_vocabulary(&WORDS.map(String::from)).unwrap();
    let config = config([2, 2, 4, tokenizer.vocabulary_size()], None);
    let config = BertConfig { max_position_embeddings: 10, ..config };
    let classifier = classifier(&config, 2, Pooling::Mean, &mut rng);
    let (train, held_out) = (data(&tokenizer, 40, &mut rng), data(&tokenizer, 30, &mut rng));
    let texts = Texts::new(&train).with_held_out(&held_out);
    let dynamic = accelerate(&classifier, texts, &AccelerateSettings::default(), &mut rng).unwrap().model;
    let saved = [Saved::new(classifier, &tokenizer), Saved::new(dynamic, &tokenizer)];
    let (mut answered, mut refused) = (0, 0);
    for case in 0..cases() {
        let mut rng = dht_toys::rng(case as u64);
        let folder = tempfile::tempdir().unwrap();
        saved[case % saved.len()].write_damaged(folder.path(), &mut rng);
        let answers = std::panic::catch_unwind(|| {
            let model = TextModel::load(folder.path(), &Device::Cpu).ok()?;
            // What answers may still refuse these texts.
            let texts = ["fine the day", "bad", "the the the the the the the the the"];
            Some(Engine::from_model(model).predict(&texts).ok())
        });
        let Ok(answers) = answers else { panic!("case {case} panics") };
        for answer in answers.iter().flatten().flatten() {
            check(answer).unwrap_or_else(|what| panic!("case {case} answers {answer:?}: {what}"));
        }
        *(if answers.flatten().is_some() { &mut answered } else { &mut refused }) += 1;
    }
    assert!(answered > cases() / 50 && refused > cases() / 4, "{answered} answered, {refused} refused");
}
