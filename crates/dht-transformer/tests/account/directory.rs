//! Tiny model directories with one fault each, and the messages that they must give.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use dht_toys::{batch, config, encoder, rng};
use dht_transformer::{
    BertConfig, Encoder, Error, ForwardContext, Pooling, TextClassifier, TextTokenizer,
    account::{Account, Treatment},
    config::Family,
};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

pub const FAMILIES: [(&str, Family); 6] = [
    ("Bert", Family::Bert),
    ("DistilBert", Family::DistilBert),
    ("Roberta", Family::Roberta),
    ("XLMRoberta", Family::XlmRoberta),
    ("Camembert", Family::Camembert),
    ("MPNet", Family::MpNet),
];

/// Temporary directory of a tiny classifier.
pub struct Directory(TempDir);

impl Directory {
    pub fn new(family: Family, classes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let words = ["cat", "dog", "bird", "caf\u{e9}"].map(String::from);
        let tokenizer = TextTokenizer::from_vocabulary(&words).expect("words");
        let mut config = BertConfig { family, max_position_embeddings: 16, ..config([1, 2, 8, 20], 0.4) };
        if family != Family::Bert {
            (config.type_vocab_size, config.pad_token_id) = (1, 1);
        }
        let rng = &mut rng(3);
        let encoder = encoder(&config, rng);
        let task = if classes == 1 { dht_transformer::Task::Number } else { dht_transformer::Task::Class };
        let model = TextClassifier::for_task(task, encoder, classes, Pooling::Pooler, rng).expect("a classifier");
        let labels: Vec<String> = (0..classes).map(|class| format!("name {class}")).collect();
        model.save(folder.path().join("model"), Some(&tokenizer), &labels).expect("a directory");
        Self(folder)
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("model")
    }

    /// Changes a JSON file, which is created if it is missing.
    pub fn edit(&self, file: &str, change: impl FnOnce(&mut Map<String, Value>)) {
        let path = self.path().join(file);
        let read = std::fs::read(&path).map(|bytes| serde_json::from_slice(&bytes).expect("JSON"));
        let mut fields: Map<String, Value> = read.unwrap_or_default();
        change(&mut fields);
        std::fs::write(path, json!(fields).to_string()).expect("a file");
    }

    /// Sets fields of `config.json`.
    pub fn config(&self, fields: Value) -> &Self {
        self.edit("config.json", |config| config.extend(fields.as_object().expect("fields").clone()));
        self
    }

    pub fn without(&self, field: &str) -> &Self {
        self.edit("config.json", |config| drop(config.remove(field)));
        self
    }

    /// Changes the tensors of the weights.
    pub fn tensors(&self, change: impl FnOnce(&mut BTreeMap<String, Tensor>)) {
        let path = self.path().join("model.safetensors");
        let loaded = candle_core::safetensors::load(&path, &Device::Cpu).expect("weights");
        let mut tensors = loaded.into_iter().collect();
        change(&mut tensors);
        std::fs::write(path, safetensors::serialize(tensors, None).expect("tensors")).expect("a file");
    }

    pub fn load(&self) -> Result<TextClassifier, Error> {
        TextClassifier::load(self.path(), &Device::Cpu)
    }

    pub fn account(&self) -> Account {
        Account::inspect(self.path()).expect("a directory")
    }

    /// Message with which the classifier is refused. Asserts that the account lists the same message, and that `start`
    /// says whether an encoder can be trained from the directory.
    pub fn refused(&self, start: bool) -> String {
        let error = self.load().expect_err("a refusal").to_string();
        let account = self.account();
        let listed: Vec<String> =
            account.problems.iter().chain(&account.classifier_problems).map(Error::to_string).collect();
        assert!(listed.contains(&error), "{error} is not among {listed:?}");
        assert_eq!(account.is_start(), start, "{listed:?}");
        assert_eq!(Encoder::from_pretrained(self.path(), &Device::Cpu).is_ok(), start, "{listed:?}");
        error
    }

    /// Logits of the loaded classifier for two texts.
    pub fn logits(&self) -> Vec<Vec<f32>> {
        let account = self.account();
        assert!(account.is_classifier(), "{:?}", account.problems);
        logits(&self.load().expect("a classifier"))
    }

    pub fn treatment(&self, item: &str) -> Treatment {
        let account = self.account();
        let entry = account.entries.iter().find(|entry| entry.item.as_deref().unwrap_or(&entry.file) == item);
        entry.unwrap_or_else(|| panic!("{item} is not listed: {:?}", account.entries)).treatment
    }
}

fn logits(model: &TextClassifier) -> Vec<Vec<f32>> {
    let batch = batch(&[&[2, 5, 6, 3][..], &[2, 7, 3]], &[0, 0]);
    model.logits(&batch, &ForwardContext::inference()).and_then(|logits| Ok(logits.to_vec2()?)).expect("logits")
}

/// Tensor filled with one value.
pub fn full(value: f32, shape: &[usize]) -> Tensor {
    Tensor::full(value, shape, &Device::Cpu).expect("a tensor")
}

#[test]
fn adapters_and_heads_in_other_files_are_refused() {
    for file in ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "pytorch_model_head.bin"] {
        let directory = Directory::new(Family::Bert, 2);
        std::fs::write(directory.path().join(file), "{}").unwrap();
        assert!(directory.refused(false).contains(file), "{file}");
        assert_eq!(directory.treatment(file), Treatment::Refused);
    }
    let directory = Directory::new(Family::Bert, 2);
    for file in ["README.md", "pytorch_model.bin", "training_args.bin", "strange.dat"] {
        std::fs::write(directory.path().join(file), "").unwrap();
    }
    directory.logits();
    assert_eq!(directory.treatment("pytorch_model.bin"), Treatment::Harmless);
    assert_eq!(directory.treatment("strange.dat"), Treatment::Unknown);
}

#[test]
fn every_missing_file_is_a_reason() {
    for (file, start) in [("config.json", false), ("model.safetensors", false), ("tokenizer.json", false)] {
        let directory = Directory::new(Family::Roberta, 2);
        std::fs::remove_file(directory.path().join(file)).unwrap();
        let account = directory.account();
        assert_eq!((account.is_classifier(), account.is_start()), (false, start), "{file}");
        let named = account.problems.iter().any(|problem| problem.to_string().contains(file));
        assert!(named, "{file}: {:?}", account.problems);
    }
    assert!(Account::inspect(Path::new("/nowhere/at/all")).is_err());
}

#[test]
fn all_reasons_are_listed_and_not_the_first_alone() {
    let directory = Directory::new(Family::Bert, 2);
    directory.config(json!({
        "hidden_size": null, "layer_norm_eps": "1e-5", "quantization_config": {"bits": 4}, "is_decoder": true,
    }));
    directory.edit("tokenizer_config.json", |fields| {
        fields.insert("truncation_side".into(), "left".into());
        fields.insert("tokenizer_class".into(), "OwnTokenizer".into());
    });
    std::fs::write(directory.path().join("adapter_config.json"), "{}").unwrap();
    let Account { problems, classifier_problems, .. } = directory.account();
    let all: Vec<String> = problems.iter().chain(&classifier_problems).map(Error::to_string).collect();
    for part in [
        "hidden_size is null, expected a whole number",
        "layer_norm_eps is \"1e-5\", expected a number",
        "quantization_config is",
        "is_decoder is true",
        "truncation_side is \"left\"",
        "tokenizer_class is \"OwnTokenizer\"",
        "adapter_config.json",
    ] {
        assert_eq!(all.iter().filter(|message| message.contains(part)).count(), 1, "{part}: {all:?}");
    }
}

#[test]
fn weights_in_another_form_are_refused_with_what_to_do() {
    for (file, part) in [
        ("pytorch_model.bin.index.json", "expected value"),
        ("model.safetensors.index.json", "expected value"),
        ("tf_model.h5", "save it by save_pretrained with safe_serialization=True"),
    ] {
        let directory = Directory::new(Family::DistilBert, 2);
        std::fs::rename(directory.path().join("model.safetensors"), directory.path().join(file)).unwrap();
        let refused = directory.refused(false);
        assert!(refused.contains(file) && refused.contains(part), "{refused}");
    }
}

#[test]
fn a_head_of_another_task_is_listed_as_left_aside() {
    let directory = Directory::new(Family::Bert, 2);
    assert_eq!(directory.treatment("classifier.weight"), Treatment::Obeyed);
    directory.config(json!({"architectures": ["BertForTokenClassification"]}));
    assert_eq!(directory.treatment("classifier.weight"), Treatment::Harmless);
    assert_eq!(directory.treatment("bert.embeddings.LayerNorm.weight"), Treatment::Obeyed);
}

/// Each fault has one reason, which says what to do.
#[test]
fn each_fault_has_one_reason() {
    type Fault = (&'static str, fn(&Directory));
    let faults: [Fault; 9] = [
        ("lacks the tensors classifier.bias", |directory| {
            directory.tensors(|tensors| drop(tensors.remove("classifier.bias")));
        }),
        (r#"begin with "model.bert.", where this model_type has "bert." or nothing"#, |directory| {
            directory.tensors(|tensors| {
                *tensors =
                    std::mem::take(tensors).into_iter().map(|(name, it)| (format!("model.{name}"), it)).collect();
            });
        }),
        (r#"begin with "bert.", where this model_type has "roberta." or nothing"#, |directory| {
            directory.config(json!({ "model_type": "roberta", "architectures": ["RobertaForSequenceClassification"] }));
        }),
        (r#"model_type is "electra", expected one of"#, |directory| {
            directory.config(json!({ "model_type": "electra", "embedding_size": 4, "pruned_heads": { "0": [1] } }));
        }),
        ("is_decoder is true, expected false", |directory| {
            directory.config(json!({ "is_decoder": true }));
        }),
        ("begins with a byte order mark", |directory| {
            let path = directory.path().join("config.json");
            std::fs::write(&path, format!("\u{feff}{}", std::fs::read_to_string(&path).unwrap())).unwrap();
        }),
        ("model.fp16.safetensors: is not read under this name: call it model.safetensors", |directory| {
            let path = directory.path();
            std::fs::rename(path.join("model.safetensors"), path.join("model.fp16.safetensors")).unwrap();
        }),
        ("copy the tokenizer's files of the model that this one was trained from", |directory| {
            for file in ["tokenizer.json", "tokenizer_config.json"] {
                std::fs::remove_file(directory.path().join(file)).unwrap();
            }
        }),
        ("the tokenizer's token \"<new>\" has the number 20, and the embeddings need a row for it", |directory| {
            directory.edit("tokenizer.json", |fields| {
                let token = json!({ "id": 20, "content": "<new>", "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": true });
                fields["added_tokens"].as_array_mut().unwrap().push(token);
                let vocabulary = fields["model"]["vocab"].as_object_mut().unwrap();
                vocabulary.extend((vocabulary.len()..20).map(|id| (format!("word{id}"), json!(id))).collect::<Vec<_>>());
            });
        }),
    ];
    for (expected, fault) in faults {
        let directory = Directory::new(Family::Bert, 2);
        fault(&directory);
        let Account { problems, classifier_problems, .. } = directory.account();
        let reasons: Vec<String> = problems.iter().chain(&classifier_problems).map(Error::to_string).collect();
        assert_eq!(reasons.len(), 1, "{expected}: {reasons:?}");
        assert!(reasons[0].contains(expected), "{expected}: {reasons:?}");
        if !expected.contains("token") {
            assert_eq!(directory.load().unwrap_err().to_string(), reasons[0]);
        }
    }
}

#[test]
fn a_file_is_treated_by_what_is_beside_it() {
    let directory = Directory::new(Family::Bert, 2);
    for file in ["pytorch_model.bin", "vocab.txt"] {
        std::fs::write(directory.path().join(file), "").unwrap();
        assert_eq!(directory.treatment(file), Treatment::Harmless, "{file}");
    }
    for (file, missing, treatment) in [
        ("pytorch_model.bin", "model.safetensors", Treatment::Obeyed),
        ("vocab.txt", "tokenizer.json", Treatment::Obeyed),
    ] {
        std::fs::remove_file(directory.path().join(missing)).unwrap();
        assert_eq!(directory.treatment(file), treatment, "{file}");
    }
}
