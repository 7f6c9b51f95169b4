//! Tokenizers that the files of a directory declare.

use std::path::Path;

use dht_transformer::{BertConfig, Error, TextTokenizer};
use serde_json::{Value, json};
use tempfile::TempDir;

const WORDS: [&str; 14] = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "cat",
    "Cat",
    "cafe",
    "caf\u{e9}",
    "\u{4f60}",
    "\u{597d}",
    "\u{4f60}\u{597d}",
    "##s",
    "new",
];

/// Directory of a BERT whose vocabulary has 20 rows. Its tokenizer lower-cases if `lowercase` is true.
fn bert(lowercase: bool, config: Option<Value>) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let model = json!({
        "model_type": "bert", "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16,
    });
    write(folder.path(), "config.json", &model);
    let vocabulary: serde_json::Map<String, Value> =
        WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), id.into())).collect();
    let special: Vec<Value> = (0..5).map(|id| token(id, WORDS[id], true)).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": special,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    });
    write(folder.path(), "tokenizer.json", &tokenizer);
    if let Some(config) = config {
        write(folder.path(), "tokenizer_config.json", &config);
    }
    folder
}

fn token(id: usize, content: &str, special: bool) -> Value {
    json!({
        "id": id, "content": content, "special": special, "normalized": !special, "single_word": false,
        "lstrip": false, "rstrip": false,
    })
}

fn write(folder: &Path, name: &str, value: &Value) {
    std::fs::write(folder.join(name), value.to_string()).expect("a file");
}

fn tokens(folder: &TempDir, text: &str) -> Vec<String> {
    let tokenizer = TextTokenizer::from_dir(folder.path()).expect("a tokenizer");
    let ids = tokenizer.encode(text, None, 64).expect("a text").ids;
    ids[1..ids.len() - 1].iter().map(|id| tokenizer.token(*id).expect("a token")).collect()
}

#[test]
fn settings_override_the_tokenizer_file() {
    let text = "Cat caf\u{e9} \u{4f60}\u{597d}";
    for lowercase in [true, false] {
        for (config, expected) in [
            (json!({"do_lower_case": true}), ["cat", "cafe", "\u{4f60}", "\u{597d}"].as_slice()),
            (json!({"do_lower_case": false}), &["Cat", "caf\u{e9}", "\u{4f60}", "\u{597d}"]),
            (json!({"do_lower_case": false, "strip_accents": true}), &["Cat", "cafe", "\u{4f60}", "\u{597d}"]),
            (json!({"strip_accents": false}), &["cat", "caf\u{e9}", "\u{4f60}", "\u{597d}"]),
            (json!({"tokenize_chinese_chars": false}), &["cat", "cafe", "\u{4f60}\u{597d}"]),
            (json!({}), &["cat", "cafe", "\u{4f60}", "\u{597d}"]),
            (
                json!({"tokenizer_class": "BertTokenizerFast", "strip_accents": null}),
                &["cat", "cafe", "\u{4f60}", "\u{597d}"],
            ),
        ] {
            assert_eq!(tokens(&bert(lowercase, Some(config.clone())), text), expected, "{config} {lowercase}");
        }
        // This class uses `tokenizer.json` unchanged.
        let fast = json!({"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": !lowercase});
        assert_eq!(tokens(&bert(lowercase, Some(fast)), "Cat"), [if lowercase { "cat" } else { "Cat" }]);
    }
}

#[test]
fn a_file_unlike_its_class_is_refused_where_none_is_named() {
    assert_eq!(tokens(&bert(true, None), "Cat"), ["cat"]);
    let refused = TextTokenizer::from_dir(bert(false, None).path()).unwrap_err();
    assert!(matches!(&refused, Error::Unsupported { item: Some(part), .. } if part == "normalizer"), "{refused}");
    assert!(refused.to_string().contains("\"tokenizer_class\": \"PreTrainedTokenizerFast\""), "{refused}");
}

#[test]
fn added_tokens_are_found_wherever_they_are_declared() {
    let added = |folder: &TempDir| {
        assert_eq!(tokens(folder, "cats <new> cat"), ["cat", "##s", "<new>", "cat"]);
        let tokenizer = TextTokenizer::from_dir(folder.path()).unwrap();
        assert_eq!(tokenizer.token_id("<new>"), Some(14));
        // A saved copy of the tokenizer keeps the settings.
        let copy = tempfile::tempdir().unwrap();
        tokenizer.save(copy.path().join("tokenizer.json")).unwrap();
        let copied = TextTokenizer::from_file(copy.path().join("tokenizer.json")).unwrap();
        assert_eq!(copied.encode("a <new> b", None, 9).unwrap(), tokenizer.encode("a <new> b", None, 9).unwrap());
    };
    let flags = json!({"content": "<new>", "special": true, "normalized": false});
    added(&bert(true, Some(json!({"added_tokens_decoder": {"14": flags}}))));
    added(&bert(true, Some(json!({"additional_special_tokens": ["<new>"]}))));
    added(&bert(true, Some(json!({"extra_special_tokens": ["<new>"]}))));
    added(&bert(true, Some(json!({"extra_special_tokens": {"new_token": "<new>"}}))));
    added(&bert(true, Some(json!({"speaker_token": "<new>"}))));
    let map = bert(true, None);
    write(map.path(), "special_tokens_map.json", &json!({"additional_special_tokens": [flags]}));
    added(&map);
    let file = bert(true, None);
    write(file.path(), "added_tokens.json", &json!({"<new>": 14}));
    added(&file);
    let own = bert(true, None);
    let path = own.path().join("tokenizer.json");
    let mut description: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    description["added_tokens"].as_array_mut().unwrap().push(token(14, "<new>", true));
    write(own.path(), "tokenizer.json", &description);
    added(&own);
    let vocabulary = bert(true, Some(json!({"additional_special_tokens": ["<new>"]})));
    std::fs::remove_file(vocabulary.path().join("tokenizer.json")).unwrap();
    std::fs::write(vocabulary.path().join("vocab.txt"), WORDS.join("\n") + "\n").unwrap();
    added(&vocabulary);
}

#[test]
fn a_declared_number_that_is_not_the_next_one_is_refused() {
    let folder = bert(true, Some(json!({"added_tokens_decoder": {"17": {"content": "<new>", "special": true}}})));
    let refused = TextTokenizer::from_dir(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("added_tokens_decoder is 17, expected 14 for \"<new>\""), "{refused}");
}

#[test]
fn special_tokens_by_other_names_are_used() {
    let config = json!({"cls_token": "cat", "sep_token": {"content": "new"}, "unk_token": "cafe", "mask_token": null});
    let tokenizer = TextTokenizer::from_dir(bert(true, Some(config)).path()).unwrap();
    assert_eq!(tokenizer.encode("dog", None, 9).unwrap().ids, [5, 7, 13]);
    assert_eq!(tokenizer.encode("dog", Some("dog"), 9).unwrap().type_ids, [0, 0, 0, 1, 1]);
    for (field, value) in [("cls_token", json!("<none>")), ("unk_token", json!(null)), ("sep_token", json!(3))] {
        let refused = TextTokenizer::from_dir(bert(true, Some(json!({field: value}))).path());
        assert!(refused.is_err(), "{field} {value}");
    }
}

#[test]
fn types_of_a_pair_follow_the_names_of_the_inputs() {
    let types = |config: Value| {
        let tokenizer = TextTokenizer::from_dir(bert(true, Some(config)).path()).unwrap();
        tokenizer.encode("cat", Some("cat"), 9).unwrap().types().collect::<Vec<_>>()
    };
    let names = |names: &[&str]| json!({"model_input_names": names, "tokenizer_class": "PreTrainedTokenizerFast"});
    assert_eq!(types(json!({})), [0, 0, 0, 1, 1]);
    assert_eq!(types(json!({"model_input_names": ["input_ids", "attention_mask"]})), [0; 5]);
    assert_eq!(types(names(&["input_ids", "token_type_ids", "attention_mask"])), [0, 0, 0, 1, 1]);
    assert_eq!(types(names(&["input_ids", "attention_mask"])), [0; 5]);
    assert_eq!(types(json!({"tokenizer_class": "PreTrainedTokenizerFast"})), [0; 5]);
}

#[test]
fn fields_that_change_ids_are_refused() {
    for (field, value) in [
        ("truncation_side", json!("left")),
        ("split_special_tokens", json!(true)),
        ("auto_map", json!({"AutoTokenizer": ["own.Tokenizer", null]})),
        ("fast_tokenizer_files", json!(["tokenizer.4.0.0.json"])),
        ("init_inputs", json!(["vocab.txt"])),
        ("tokenizer_class", json!("BertJapaneseTokenizer")),
        ("tokenizer_class", json!("OwnTokenizer")),
        ("tokenizer_class", json!(["BertTokenizer"])),
        ("do_lower_case", json!("false")),
        ("do_lower_case", json!(null)),
        ("strip_accents", json!("yes")),
        ("model_input_names", json!("input_ids")),
    ] {
        let refused = TextTokenizer::from_dir(bert(true, Some(json!({field: value}))).path()).unwrap_err();
        assert!(matches!(&refused, Error::Config { field: got, .. } if *got == field), "{field}: {refused}");
    }
    // These fields have no effect on ids, or no effect for this class.
    let harmless = json!({
        "padding_side": "left", "clean_up_tokenization_spaces": true, "do_basic_tokenize": false, "add_prefix_space": true,
        "never_split": ["cat"], "truncation_side": "right", "add_bos_token": true, "strange": 3,
    });
    assert_eq!(tokens(&bert(true, Some(harmless)), "Cats"), ["cat", "##s"]);
}

#[test]
fn a_vocabulary_of_another_kind_than_its_class_is_refused() {
    for class in ["RobertaTokenizer", "BertTokenizer"] {
        let folder = bert(true, Some(json!({"tokenizer_class": class})));
        if class == "BertTokenizer" {
            let path = folder.path().join("tokenizer.json");
            let mut description: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            description["model"] = json!({"type": "Unigram", "unk_id": 0, "vocab": [["[UNK]", 0.0], ["cat", -1.0]]});
            write(folder.path(), "tokenizer.json", &description);
        }
        let refused = TextTokenizer::from_dir(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("needs") && refused.contains("PreTrainedTokenizerFast"), "{refused}");
    }
}

#[test]
fn robertas_vocabulary_and_merges_are_enough() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "config.json", &json!({"model_type": "roberta", "vocab_size": 30}));
    let vocabulary = json!({
        "<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "c": 4, "a": 5, "t": 6, "\u{120}": 7, "ca": 8, "cat": 9, "\u{120}cat": 10,
        "<mask>": 11,
    });
    write(folder.path(), "vocab.json", &vocabulary);
    let merges = "#version: 0.2\nc a\nca t\n\u{120} cat\n";
    std::fs::write(folder.path().join("merges.txt"), merges).unwrap();
    let ids = |folder: &TempDir| {
        TextTokenizer::from_dir(folder.path()).unwrap().encode("cat cat <mask>", None, 16).unwrap().ids
    };
    assert_eq!(ids(&folder), [0, 9, 10, 7, 11, 2]);
    write(folder.path(), "tokenizer_config.json", &json!({"add_prefix_space": true}));
    assert_eq!(ids(&folder), [0, 10, 10, 7, 11, 2]);
    std::fs::remove_file(folder.path().join("merges.txt")).unwrap();
    let refused = TextTokenizer::from_dir(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("merges.txt"), "{refused}");
}

#[test]
fn the_maximal_length_is_read_and_bounded_by_the_positions() {
    let declared = |value: Value| {
        TextTokenizer::from_dir(bert(true, Some(json!({"model_max_length": value}))).path())
            .map(|tokenizer| tokenizer.model_max_length())
    };
    assert_eq!(declared(json!(128)).unwrap(), Some(128));
    assert_eq!(declared(json!(128.0)).unwrap(), Some(128));
    assert_eq!(declared(json!(null)).unwrap(), None);
    assert!(declared(json!(1e30)).unwrap().is_some_and(|length| length > 1 << 40));
    for value in [json!(0), json!(-1), json!(1.5), json!("512"), json!(true), json!([512])] {
        let refused = declared(value.clone()).unwrap_err();
        assert!(matches!(&refused, Error::Config { field: "model_max_length", .. }), "{value}: {refused}");
    }
    let old = bert(true, Some(json!({"max_len": 64})));
    assert_eq!(TextTokenizer::from_dir(old.path()).unwrap().model_max_length(), Some(64));
    let account = |config: Option<Value>| {
        let folder = bert(true, config);
        dht_transformer::account::Account::inspect(folder.path()).unwrap().max_length
    };
    for (config, expected) in
        [(None, 512), (Some(json!({"model_max_length": 1e30})), 512), (Some(json!({"model_max_length": 99})), 99)]
    {
        assert_eq!(account(config), Some(expected));
    }
    let config = BertConfig::from_file(bert(true, None).path().join("config.json")).unwrap();
    assert_eq!(config.longest_text(), 512);
}

/// Pieces of a Unigram vocabulary: XLM-RoBERTa's special tokens, and words after a space.
const PIECES: [&str; 12] =
    ["<s>", "<pad>", "</s>", "<unk>", "\u{2581}", "\u{2581}cat", "cat", "s", "\u{2581}new", "fi", "\u{fb01}", "<mask>"];

/// Directory of a BERT with XLM-RoBERTa's tokenizer. Its `tokenizer.json` has the normalizer `normalizer`, and splits
/// differently from the tokenizer class.
fn unigram(normalizer: Value, config: Value) -> TempDir {
    let folder = bert(true, Some(config));
    let special: Vec<Value> = [0, 1, 2, 3, 11].map(|id| token(id, PIECES[id], true)).to_vec();
    let score = |id: usize| if id < 4 { 0.0 } else { -(id as f64) };
    let pieces: Vec<Value> = PIECES.iter().enumerate().map(|(id, piece)| json!([piece, score(id)])).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": special, "normalizer": normalizer,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "first", "split": true},
        "post_processor": {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}, "decoder": null,
        "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces},
    });
    write(folder.path(), "tokenizer.json", &tokenizer);
    folder
}

#[test]
fn xlm_roberta_takes_pieces_and_table_from_its_file() {
    // A character table that replaces "Q" by "cat".
    let table = format!("AAQAAABAAQBRDQAAAAAAgAAA{}AABjYXQA", "A".repeat(1344));
    let table = json!({"type": "Precompiled", "precompiled_charsmap": table});
    let sequence = json!({"type": "Sequence", "normalizers": [{"type": "NFKC"}, table]});
    let class = |mut config: Value| {
        config["tokenizer_class"] = "XLMRobertaTokenizer".into();
        config
    };
    // The expected ids are from transformers 5.24.
    for (normalizer, config, text, pair, expected) in [
        (json!(null), json!({}), " cat\n\tcats  new ", None, [0, 5, 5, 7, 8, 2].as_slice()),
        (json!({"type": "NFKC"}), json!({}), "\u{fb01}", None, &[0, 4, 10, 2]),
        (json!(null), json!({}), "x", None, &[0, 4, 3, 2]),
        (json!(null), json!({}), "cat<mask>cat", None, &[0, 5, 11, 5, 2]),
        (json!(null), json!({}), "cat", Some("new"), &[0, 5, 2, 2, 8, 2]),
        (json!(null), json!({"add_prefix_space": false}), "cats cat", None, &[0, 6, 7, 6, 2]),
        (json!(null), json!({"bos_token": "<mask>"}), "cat", None, &[11, 5, 2]),
        (json!(null), json!({"unk_token": null, "cls_token": null}), "cat", None, &[0, 5, 2]),
        (table, json!({}), "xQ", None, &[0, 4, 3, 6, 2]),
        (sequence, json!({}), " cat\n\tcats  Qs \u{fb01}", None, &[0, 5, 5, 7, 5, 7, 4, 10, 2]),
    ] {
        let folder = unigram(normalizer, class(config.clone()));
        let encoding = TextTokenizer::from_dir(folder.path()).unwrap().encode(text, pair, 16).unwrap();
        assert_eq!(encoding.ids, expected, "{config} {text:?}");
        assert!(encoding.types().all(|kind| kind == 0), "{config} {text:?}");
    }
    let as_written = unigram(json!({"type": "NFKC"}), json!({"tokenizer_class": "PreTrainedTokenizerFast"}));
    assert_eq!(
        TextTokenizer::from_dir(as_written.path()).unwrap().encode("\u{fb01}", None, 16).unwrap().ids,
        [0, 4, 9, 2]
    );
    for config in [json!({"bos_token": null}), json!({"eos_token": "<none>"})] {
        assert!(TextTokenizer::from_dir(unigram(json!(null), class(config.clone())).path()).is_err(), "{config}");
    }
}

#[test]
fn a_sentencepiece_file_alone_is_refused_with_a_way_out() {
    let folder = bert(true, Some(json!({"tokenizer_class": "XLMRobertaTokenizer"})));
    let refused = || TextTokenizer::from_dir(folder.path()).unwrap_err().to_string();
    std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    assert!(refused().contains("tokenizer.json") && !refused().contains(".model"), "{}", refused());
    std::fs::write(folder.path().join("sentencepiece.bpe.model"), b"pieces").unwrap();
    let message = refused();
    assert!(message.contains("sentencepiece.bpe.model") && message.contains("save_pretrained('.')"), "{message}");
    std::fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
    let message = refused();
    assert!(message.contains("\"tokenizer_class\": \"XLMRobertaTokenizer\""), "{message}");
}

#[test]
fn an_empty_last_line_of_a_vocabulary_has_an_id() {
    for (end, id) in [("", 14), ("\n", 14), ("\n\n", 15), ("\n \n\n", 15)] {
        let folder = bert(true, Some(json!({"additional_special_tokens": ["<new>"]})));
        std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
        std::fs::write(folder.path().join("vocab.txt"), WORDS.join("\n") + end).unwrap();
        let tokenizer = TextTokenizer::from_dir(folder.path()).unwrap();
        assert_eq!(tokenizer.token_id("<new>"), Some(id), "{end:?}");
        assert_eq!(tokenizer.vocabulary_size(), id as usize + 1);
        write(folder.path(), "tokenizer_config.json", &json!({}));
        assert_eq!(TextTokenizer::from_dir(folder.path()).unwrap().vocabulary_size(), WORDS.len(), "{end:?}");
    }
}

#[test]
fn flags_and_lists_of_tokens_are_read_as_by_transformers() {
    let new = |config: Value, special: Value| {
        let folder = bert(true, Some(config));
        write(folder.path(), "special_tokens_map.json", &special);
        TextTokenizer::from_dir(folder.path()).unwrap().token_id("<new>")
    };
    // A list in tokenizer_config.json overrides the list in special_tokens_map.json, even if it is empty.
    let listed = |name: &str| json!({name: ["<new>"]});
    for (config, special, expected) in [
        (json!({}), listed("additional_special_tokens"), Some(14)),
        (json!({"additional_special_tokens": []}), listed("additional_special_tokens"), None),
        (json!({"extra_special_tokens": []}), listed("additional_special_tokens"), None),
        (json!({"extra_special_tokens": []}), listed("extra_special_tokens"), Some(14)),
        (json!({"extra_special_tokens": {"a_token": "cat"}}), listed("additional_special_tokens"), Some(14)),
        (json!({"extra_special_tokens": {"a_token": "<new>"}}), json!({}), Some(14)),
        (json!({"added_tokens_decoder": {}}), listed("extra_special_tokens"), None),
    ] {
        assert_eq!(new(config.clone(), special.clone()), expected, "{config} {special}");
    }
    let many = bert(true, Some(json!({"extra_special_tokens": {"b_token": "<b>", "a_token": "<a>"}})));
    let refused = TextTokenizer::from_dir(many.path()).unwrap_err().to_string();
    assert!(refused.contains("added_tokens_decoder") && refused.contains("<a>"), "{refused}");
    // A special token by name is matched as it is written, unless `normalized` says otherwise.
    let mask = |normalized: Value| {
        let mut mask = json!({"content": "<New>", "__type": "AddedToken"});
        mask.as_object_mut().unwrap().extend(normalized.as_object().cloned().unwrap());
        let tokenizer = TextTokenizer::from_dir(bert(true, Some(json!({"mask_token": mask}))).path()).unwrap();
        tokenizer.encode("cat <new>", None, 16).unwrap().ids
    };
    assert_eq!(mask(json!({})), [2, 5, 1, 13, 1, 3]);
    assert_eq!(mask(json!({"normalized": true})), [2, 5, 14, 3]);
    // The last flags of a token count, but a repeated declaration does not.
    let cat = json!({"content": "Cat", "normalized": true, "__type": "AddedToken"});
    let twice = json!({"bos_token": "Cat", "sep_token": cat, "pad_token": "Cat"});
    let tokenizer = TextTokenizer::from_dir(bert(true, Some(twice)).path()).unwrap();
    assert_eq!(tokenizer.encode("cat", None, 16).unwrap().ids, [2, 6, 6]);
    // The padding token of the file is special if the class names none.
    let padded = |class: &str| {
        let folder = bert(true, Some(json!({"tokenizer_class": class, "pad_token": null})));
        let path = folder.path().join("tokenizer.json");
        let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        file["added_tokens"] = json!([]);
        file["padding"] = json!({
            "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0,
            "pad_token": "[PAD]",
        });
        write(folder.path(), "tokenizer.json", &file);
        if class == "PreTrainedTokenizerFast" {
            write(folder.path(), "tokenizer_config.json", &json!({"tokenizer_class": class}));
        }
        tokens(&folder, "[PAD]")
    };
    assert_eq!(padded("PreTrainedTokenizerFast"), ["[PAD]"]);
    assert_ne!(padded("BertTokenizer"), ["[PAD]"]);
}

/// Directory with a tokenizer class, and a `tokenizer.json` of which only the vocabulary is read.
fn of_class(class: &str, model: &Value) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), "config.json", &json!({"model_type": "roberta", "vocab_size": 20}));
    write(folder.path(), "tokenizer_config.json", &json!({"tokenizer_class": class}));
    write(folder.path(), "tokenizer.json", &json!({"version": "1.0", "added_tokens": [], "model": model}));
    folder
}

#[test]
fn tokenizers_of_mpnet_and_camembert_match_transformers() {
    let words = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "cat", "##s", "<mask>"];
    let vocabulary: serde_json::Map<String, Value> =
        words.iter().enumerate().map(|(id, word)| ((*word).to_owned(), id.into())).collect();
    let mpnet = of_class("MPNetTokenizer", &json!({"type": "WordPiece", "vocab": vocabulary}));
    let pieces = [
        ("<s>NOTUSED", 0.0),
        ("<pad>", 0.0),
        ("</s>NOTUSED", 0.0),
        ("\u{2581}", -3.0),
        ("\u{2581}chat", -2.0),
        ("s", -2.5),
        ("<unk>", 0.0),
        ("<s>", 0.0),
        ("</s>", 0.0),
        ("<mask>", 0.0),
    ];
    let camembert = of_class("CamembertTokenizerFast", &json!({"type": "Unigram", "unk_id": 3, "vocab": pieces}));
    let texts: [(&TempDir, &str, Option<&str>, &[u32]); 4] = [
        (&mpnet, "Cats dog  <mask> cat", None, &[0, 5, 6, 4, 7, 5, 2]),
        (&mpnet, "cat", Some("cats <unk>"), &[0, 5, 2, 2, 5, 6, 4, 4, 4, 2]),
        (&camembert, "chats xx  <mask> chat", None, &[7, 4, 5, 3, 6, 9, 4, 8]),
        (&camembert, "chat", Some("chats <s>NOTUSED <unk>NOTUSED"), &[7, 4, 8, 8, 4, 5, 0, 10, 8]),
    ];
    for (folder, text, pair, expected) in texts {
        let encoding = TextTokenizer::from_dir(folder.path()).unwrap().encode(text, pair, 64).unwrap();
        assert_eq!((&*encoding.ids, &*encoding.type_ids), (expected, &[][..]), "{text}");
    }
    let pieces = tempfile::tempdir().unwrap();
    write(pieces.path(), "config.json", &json!({"model_type": "camembert", "vocab_size": 20}));
    std::fs::write(pieces.path().join("sentencepiece.bpe.model"), "pieces").unwrap();
    let refused = TextTokenizer::from_dir(pieces.path()).unwrap_err().to_string();
    assert!(refused.contains("sentencepiece.bpe.model is not read"), "{refused}");
    assert!(refused.contains("from transformers import CamembertTokenizer as T"), "{refused}");
}
