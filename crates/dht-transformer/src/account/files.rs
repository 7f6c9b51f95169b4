//! Table of the files in a model directory: whether each is read, ignored or refused.

use std::collections::BTreeSet;
use std::path::Path;

use super::entry::{Entry, Treatment};
use crate::error::Error;
use crate::storage::{FileKind, read_file};

/// Patterns of file names, in which `*` at the beginning or the end matches any text.
type Names = &'static [&'static str];

/// Treatment of known files: those that are read, those that prevent loading, and those without effect.
const FILES: &[(Treatment, &str, Names)] = &[
    (Treatment::Obeyed, "the configuration", &["config.json"]),
    (Treatment::Obeyed, WEIGHTS, &["model.safetensors"]),
    (Treatment::Obeyed, "the tokenizer", &["tokenizer.json"]),
    (Treatment::Obeyed, "the tokenizer's settings, which override tokenizer.json", &["tokenizer_config.json"]),
    (
        Treatment::Obeyed,
        "tokens, where tokenizer_config.json has no added_tokens_decoder",
        &["special_tokens_map.json", "added_tokens.json"],
    ),
    (
        Treatment::Obeyed,
        "lower case; the length of texts, which `dht train` chooses by trials",
        &["sentence_bert_config.json"],
    ),
    (
        Treatment::Obeyed,
        "the pooling of a model that is trained, if it is mean or cls; another is reported, and the mean is used",
        &["modules.json", "1_Pooling"],
    ),
    (Treatment::Obeyed, "default_prompt_name, the prefix of each text", &["config_sentence_transformers.json"]),
    (Treatment::Obeyed, VOCABULARY, &["vocab.txt", "vocab.json", "merges.txt"]),
    (
        Treatment::Refused,
        "weights of an adapter, which would change the model's: merge them (merge_and_unload in peft) into the model",
        &[ADAPTER, "adapter_model*", "pytorch_adapter.bin", "adapter.safetensors"],
    ),
    (
        Treatment::Refused,
        "a head outside the weights: save the whole model again",
        &["pytorch_model_head.bin", "head_config.json"],
    ),
    (
        Treatment::Harmless,
        OTHER_WEIGHTS,
        &[
            "pytorch_model*",
            "tf_model.h5",
            "flax_model.msgpack",
            "rust_model.ot",
            "model.fp16.safetensors",
            "model.onnx",
            "*.onnx",
            "*.ot",
            "*.h5",
            "*.msgpack",
            "*.gguf",
            "onnx",
            "openvino",
            "coreml",
            "model.safetensors.index.json",
            "model-*",
        ],
    ),
    (
        Treatment::Harmless,
        "a tokenizer in another format, which is not read beside tokenizer.json",
        &["*.model", "tekken.json", "spiece.vocab", "bpe.codes", "dict.txt"],
    ),
    (
        Treatment::Harmless,
        "read by sentence-transformers alone",
        &[
            "config_setfit.json",
            "model_head.pkl",
            "1_*",
            "2_*",
            "3_*",
            "0_*",
            "similarity_evaluation*",
            "*_evaluation_results.csv",
            "eval",
        ],
    ),
    (
        Treatment::Harmless,
        "generation and chats alone",
        &["generation_config.json", "chat_template.jinja", "additional_chat_templates", "custom_generate"],
    ),
    (
        Treatment::Harmless,
        "other kinds of inputs",
        &["preprocessor_config.json", "processor_config.json", "image_processor_config.json"],
    ),
    (
        Treatment::Harmless,
        "the state of a training run",
        &[
            "training_args.bin",
            "optimizer.pt",
            "scheduler.pt",
            "scaler.pt",
            "rng_state*",
            "trainer_state.json",
            "all_results.json",
            "train_results.json",
            "eval_results.json",
            "predict_results*",
            "checkpoint-*",
            "runs",
            "logs",
        ],
    ),
    (
        Treatment::Harmless,
        "code, which is never run: `auto_map` in config.json decides whether the directory needs it",
        &["*.py", "__pycache__"],
    ),
    (
        Treatment::Harmless,
        "a note",
        &["*.md", "*.png", "*.svg", "*.jpg", "LICENSE*", "NOTICE*", ".git*", ".cache", ".DS_Store", "requirements.txt"],
    ),
];

/// Creates the account entry of a file from its name: the name, the treatment and the reason.
pub(crate) fn file_entry(name: &str) -> Entry {
    let fits = |pattern: &&str| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        (None, None) => name == *pattern,
    };
    match FILES.iter().find(|(_, _, names)| names.iter().any(&fits)) {
        Some((treatment, reason, _)) => Entry::new(name, None, *treatment, *reason),
        None => Entry::new(name, None, Treatment::Unknown, "no file that transformers reads"),
    }
}

const ADAPTER: &str = "adapter_config.json";
const WEIGHTS: &str = "the weights";
const INDEX: &str = "the index of the files of the weights";
const OTHER_WEIGHTS: &str = "other weights, which are not read beside those of the directory";
const VOCABULARY: &str = "the vocabulary, where tokenizer.json is missing";

impl Entry {
    /// Adjusts the treatment of a file to the other files of its directory. `weights` are the weight files that are
    /// read. If there are none, weights in other formats prevent loading. A vocabulary file is ignored if there is a
    /// `tokenizer.json`.
    pub(crate) fn beside(mut self, names: &[String], weights: &BTreeSet<String>) -> Self {
        let there = |name: &str| names.iter().any(|other| other == name);
        if weights.contains(&self.file) {
            let index = self.file.ends_with(".index.json");
            (self.treatment, self.reason) = (Treatment::Obeyed, if index { INDEX } else { WEIGHTS }.into());
        } else if self.reason == OTHER_WEIGHTS && weights.is_empty() {
            (self.treatment, self.reason) = (Treatment::Refused, "weights in a format that is not read".into());
        } else if self.reason == VOCABULARY && there("tokenizer.json") {
            (self.treatment, self.reason) =
                (Treatment::Harmless, "a vocabulary, which is not read beside tokenizer.json".into());
        }
        self
    }

    /// Creates the error for a file that prevents loading. Returns `None` for other files, and for fields and tensors.
    pub(crate) fn refusal(&self, folder: &Path) -> Option<Error> {
        if self.treatment != Treatment::Refused || self.item.is_some() {
            return None;
        }
        let (path, mut reason) = (folder.join(&self.file), self.reason.clone());
        if self.file == ADAPTER
            && let Some(base) = base_model(&path)
        {
            reason = format!("{reason}, which is {base:?}");
        }
        Some(Error::Unsupported { path, item: None, reason })
    }
}

/// Reads the name of the base model from the configuration of an adapter.
fn base_model(path: &Path) -> Option<String> {
    let text = read_file(path, FileKind::Description).ok()?;
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&text).ok()?;
    fields.get("base_model_name_or_path")?.as_str().map(str::to_owned)
}
