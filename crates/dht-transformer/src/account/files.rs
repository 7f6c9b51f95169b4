//! The files of a directory.

use super::entry::{Entry, Treatment};
use crate::error::Error;

/// Names of files; `*` at the beginning or the end matches any text.
type Names = &'static [&'static str];

/// Files that are read or refused, and files that are known to have no effect.
const FILES: &[(Treatment, &str, Names)] = &[
    (Treatment::Obeyed, "the configuration", &["config.json"]),
    (Treatment::Obeyed, "the weights", &["model.safetensors"]),
    (Treatment::Obeyed, "the tokenizer", &["tokenizer.json"]),
    (Treatment::Obeyed, "the tokenizer's settings, which override tokenizer.json", &["tokenizer_config.json"]),
    (
        Treatment::Obeyed,
        "tokens, where tokenizer_config.json has no added_tokens_decoder",
        &["special_tokens_map.json", "added_tokens.json"],
    ),
    (
        Treatment::Obeyed,
        "lower case; the length of texts is chosen where a model is trained",
        &["sentence_bert_config.json"],
    ),
    (
        Treatment::Obeyed,
        "the pooling of a model that is trained, if it is mean or cls; another is reported, and the mean is used",
        &["modules.json", "1_Pooling"],
    ),
    (Treatment::Obeyed, VOCABULARY, &["vocab.txt", "vocab.json", "merges.txt"]),
    (
        Treatment::Refused,
        "weights of an adapter, which would change the model's: merge them into the model (merge_and_unload in peft)",
        &["adapter_config.json", "adapter_model*", "pytorch_adapter.bin", "adapter.safetensors"],
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
            "config_sentence_transformers.json",
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
        "the state of a training",
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

/// The entry of a file.
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

/// Reasons that depend on the other files.
const OTHER_WEIGHTS: &str = "weights in another format, which are not read beside model.safetensors";
const VOCABULARY: &str = "the vocabulary, where tokenizer.json is missing";

impl Entry {
    /// Adjusts the entry of a file to the other files of its directory. Weights in another format matter only if
    /// model.safetensors is missing, and a vocabulary file is not read if there is a tokenizer.json.
    pub(crate) fn beside(mut self, names: &[String]) -> Self {
        let there = |name: &str| names.iter().any(|other| other == name);
        if self.reason == OTHER_WEIGHTS && !there("model.safetensors") {
            (self.treatment, self.reason) =
                (Treatment::Refused, "weights that are not read: only model.safetensors is".into());
        } else if self.reason == VOCABULARY && there("tokenizer.json") {
            (self.treatment, self.reason) =
                (Treatment::Harmless, "a vocabulary, which is not read beside tokenizer.json".into());
        }
        self
    }

    /// The error of a refused file.
    pub(crate) fn refusal(&self, folder: &std::path::Path) -> Option<Error> {
        (self.treatment == Treatment::Refused && self.item.is_none()).then(|| Error::Unsupported {
            path: folder.join(&self.file),
            item: None,
            reason: self.reason.clone(),
        })
    }
}
