use std::path::Path;
use std::sync::LazyLock;

use candle_core::Device;
use dht_toys::outside;
use dht_transformer::{
    BertConfig, Dataset, DatasetReader, Encoder, Encoding, Error, Example, TextTokenizer, data::NamedDataset,
};
use proptest::prelude::*;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use tokenizers::{Tokenizer, TruncationParams, utils::truncation::truncate_encodings};

fn words(words: &[&str]) -> TextTokenizer {
    let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
    TextTokenizer::from_vocabulary(&words).expect("plain words")
}

fn tokens(tokenizer: &TextTokenizer, text: &str) -> Vec<String> {
    let encoding = tokenizer.encode(text, None, 512).expect("room for all");
    encoding.ids.iter().map(|&id| tokenizer.token(id).expect("a token of the vocabulary")).collect()
}

#[test]
fn a_word_vocabulary_knows_only_its_words_in_any_case() {
    let tokenizer = words(&["cat", "The", "CAT", "."]);
    assert_eq!(tokenizer.vocabulary_size(), 8);
    assert_eq!(tokens(&tokenizer, "the Cat, cats."), ["[CLS]", "the", "cat", "[UNK]", "[UNK]", ".", "[SEP]"]);
    assert_eq!(tokens(&tokenizer, " "), ["[CLS]", "[SEP]"]);
}

#[test]
fn a_word_that_could_never_be_found_is_refused() {
    for word in ["don't", "two words", "", " "] {
        let result = TextTokenizer::from_vocabulary(&[word.to_owned()]);
        assert!(matches!(result, Err(Error::Argument { name: "words", .. })), "{word:?}");
    }
}

#[test]
fn a_pair_has_two_types_and_three_special_tokens() {
    let encoding = words(&["a", "b"]).encode("a", Some("b b"), 9).unwrap();
    let expected = Encoding {
        ids: vec![2, 5, 3, 6, 6, 3],
        type_ids: vec![0, 0, 0, 1, 1, 1],
        truncated: false,
        rest: Default::default(),
    };
    assert_eq!(encoding, expected);
}

#[test]
fn no_room_for_the_text_is_an_error() {
    let tokenizer = words(&["a"]);
    assert!(matches!(tokenizer.encode("a", None, 2), Err(Error::Argument { name: "max_length", .. })));
    assert!(matches!(tokenizer.encode("a", Some("a"), 4), Err(Error::Argument { name: "max_length", .. })));
    assert_eq!(tokenizer.encode("a a", None, 3).unwrap().ids.len(), 3);
}

#[test]
fn sentence_transformers_may_lower_the_case() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ncafé\nCafé\n");
    write("config.json", r#"{"model_type": "bert"}"#);
    write("tokenizer_config.json", r#"{"tokenizer_class": "BertTokenizer", "do_lower_case": false}"#);
    write("sentence_bert_config.json", r#"{"max_seq_length": 16, "do_lower_case": true}"#);
    let read = || TextTokenizer::from_dir(folder.path());
    // Without the list of modules, the settings of sentence-transformers are ignored, as `transformers` does.
    assert_eq!(tokens(&read().unwrap(), "Café")[1], "Café");
    write("modules.json", r#"[{"path": "", "type": "sentence_transformers.models.Transformer"}]"#);
    let lower = read().unwrap();
    assert_eq!(tokens(&lower, "Café")[1], "café", "the accent stays");
    assert_eq!(lower.model_max_length(), Some(16));
    let saved = tempfile::tempdir().unwrap();
    lower.save(saved.path().join("tokenizer.json")).unwrap();
    assert_eq!(tokens(&TextTokenizer::from_dir(saved.path()).unwrap(), "CAFÉ")[1], "café");
    write("sentence_bert_config.json", r#"{"do_lower_case": 1}"#);
    let refused = read().unwrap_err().to_string();
    assert!(refused.contains("sentence_bert_config.json") && refused.contains("true or false"), "{refused}");
    write("sentence_bert_config.json", r#"{"max_seq_length": 0}"#);
    let refused = read().unwrap_err().to_string();
    assert!(refused.contains("sentence_bert_config.json") && refused.contains("max_seq_length"), "{refused}");
}

#[test]
fn a_prefix_stands_before_each_text_and_is_saved() {
    let plain = words(&["query", ":", "cat", "dog"]);
    let tokenizer = plain.clone().with_prefix("query: ");
    let encode = |tokenizer: &TextTokenizer, text, pair| tokenizer.encode(text, pair, 9).unwrap();
    assert_eq!(encode(&tokenizer, "cat", None), encode(&plain, "query: cat", None));
    assert_eq!(encode(&tokenizer, "cat", Some("dog")), encode(&plain, "query: cat", Some("dog")));
    assert_eq!(encode(&tokenizer, "", None), encode(&plain, "query: ", None));

    let folder = tempfile::tempdir().unwrap();
    let config = dht_toys::config([1, 2, 8, tokenizer.vocabulary_size()], None);
    let encoder = Encoder::random(&config, &Device::Cpu, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    encoder.save(folder.path().join("e"), Some(&tokenizer)).unwrap();
    let read = TextTokenizer::from_dir(folder.path().join("e")).unwrap();
    assert_eq!(read.prefix(), "query: ");
    assert_eq!(encode(&read, "cat", None), encode(&tokenizer, "cat", None));
    // Saving without a prefix later removes the file.
    encoder.save(folder.path().join("e"), Some(&plain)).unwrap();
    assert_eq!(TextTokenizer::from_dir(folder.path().join("e")).unwrap().prefix(), "");
}

#[test]
fn the_default_prompt_is_the_prefix_of_texts() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("config_sentence_transformers.json"), text).unwrap();
    words(&["cat"]).save(folder.path().join("tokenizer.json")).unwrap();
    let prefix = || TextTokenizer::from_dir(folder.path()).map(|tokenizer| tokenizer.prefix().to_owned());
    assert_eq!(prefix().unwrap(), "");
    for (text, expected) in [
        (r#"{"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": "query"}"#, "query: "),
        (r#"{"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": "document"}"#, ""),
        (r#"{"prompts": {"query": "query: "}, "default_prompt_name": null, "similarity_fn_name": "cosine"}"#, ""),
        ("{}", ""),
    ] {
        write(text);
        assert_eq!(prefix().unwrap(), expected, "{text}");
    }
    let inner = folder.path().join("0_Transformer");
    std::fs::create_dir(&inner).unwrap();
    words(&["cat"]).save(inner.join("tokenizer.json")).unwrap();
    write(r#"{"prompts": {"query": "query: "}, "default_prompt_name": "query"}"#);
    assert_eq!(TextTokenizer::from_dir(&inner).unwrap().prefix(), "");
    std::fs::write(folder.path().join("modules.json"), "[]").unwrap();
    assert_eq!(TextTokenizer::from_dir(&inner).unwrap().prefix(), "query: ");
    for (text, expected) in [
        (r#"{"prompts": {"a": "x", "b": "y"}, "default_prompt_name": "q"}"#, "one of the prompts: a, b"),
        (r#"{"prompts": {"a": 1}, "default_prompt_name": "a"}"#, "that is text"),
        (r#"{"default_prompt_name": 3}"#, "the name of a prompt, or null"),
        ("[]", "config_sentence_transformers.json"),
        ("{", "config_sentence_transformers.json"),
    ] {
        write(text);
        let refused = prefix().unwrap_err().to_string();
        assert!(refused.contains(expected), "{text}: {refused}");
    }
}

#[test]
fn saving_and_loading_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = words(&["cat", "dog", "!"]);
    tokenizer.save(folder.path().join("tokenizer.json")).unwrap();
    let again = TextTokenizer::from_dir(folder.path()).unwrap();
    assert_eq!(again.vocabulary_size(), tokenizer.vocabulary_size());
    let text = "cat [MASK] Dog! bird";
    assert_eq!(again.encode(text, None, 9).unwrap(), tokenizer.encode(text, None, 9).unwrap());
    assert_eq!(tokens(&again, text)[2], "[MASK]");
}

#[test]
fn bad_tokenizer_files_are_errors_with_their_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    assert!(matches!(TextTokenizer::from_dir(folder.path()), Err(Error::Io { .. })));
    let bare = r#"{"version": "1.0", "added_tokens": [], "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}"#;
    let strange = bare.replace(
        r#""model""#,
        r#""post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 9], "cls": ["[CLS]", 8]}, "model""#,
    );
    let broken = bare.replace(r#""model""#, r#""decoder": {"type" 3}, "model""#);
    for content in ["", "{}", "nonsense", bare, strange.as_str(), broken.as_str()] {
        std::fs::write(&path, content).unwrap();
        let result = TextTokenizer::from_dir(folder.path());
        assert!(matches!(&result, Err(Error::Tokenizer { what, .. }) if what.contains("tokenizer.json")), "{content}");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::write(folder.path().join("vocab.txt"), "[PAD]\n[UNK]\nsome\n").unwrap();
    assert!(matches!(TextTokenizer::from_dir(folder.path()), Err(Error::Tokenizer { .. })));
}

#[test]
fn a_vocabulary_file_minds_the_configuration_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vocab.txt"), "<unk>\n[CLS]\n[SEP]\ncat\nCat\n##s\n").unwrap();
    let config = r#"{"do_lower_case": false, "unk_token": {"content": "<unk>"}}"#;
    std::fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
    let tokenizer = TextTokenizer::from_dir(folder.path()).unwrap();
    assert_eq!(tokens(&tokenizer, "Cats cat dog"), ["[CLS]", "Cat", "##s", "cat", "<unk>", "[SEP]"]);
    std::fs::write(folder.path().join("tokenizer_config.json"), "{").unwrap();
    assert!(matches!(TextTokenizer::from_dir(folder.path()), Err(Error::Json { .. })));
}

#[test]
fn a_word_too_long_to_tokenise_does_not_change_the_vocabulary() {
    let folder = tempfile::tempdir().unwrap();
    let learn = |words: &[&str]| {
        let texts: Vec<String> = (0..50).map(|row| format!("The cat sat on mat {}", row % 10)).collect();
        let text = texts.iter().map(String::as_str).chain(words.iter().copied()).collect::<Vec<_>>().join("\n");
        std::fs::write(folder.path().join("text"), &text).unwrap();
        let from_file = TextTokenizer::train_from_text(folder.path().join("text"), 60).unwrap();
        let learnt = TextTokenizer::train([&*text], 60).unwrap();
        let pieces = |tokenizer: &TextTokenizer| -> Vec<Option<String>> {
            (0..tokenizer.vocabulary_size()).map(|id| tokenizer.token(id as u32)).collect()
        };
        assert_eq!(pieces(&learnt), pieces(&from_file));
        pieces(&learnt)
    };
    let without = learn(&[]);
    assert!(learn(&[&"zq".repeat(500_000)]) == without, "pieces of a long word were learnt");
    assert_eq!(learn(&[&"z".repeat(101)]), without);
    // Words up to the longest tokenised length are learned from; the length is counted in characters, not in bytes.
    assert_ne!(learn(&[&"\u{4e0}".repeat(100)]), without);
    let longest = "zq".repeat(50);
    assert_ne!(learn(&[&longest]), without);
    let tokenizer = TextTokenizer::train([&*longest], 60).unwrap();
    assert!(!tokens(&tokenizer, &longest).contains(&"[UNK]".to_owned()));
    assert!(tokens(&tokenizer, &format!("{longest}z")).contains(&"[UNK]".to_owned()));
}

#[test]
fn texts_with_nothing_but_words_too_long_hold_no_word() {
    let result = TextTokenizer::train([&*"a".repeat(101)], 60);
    assert!(matches!(result, Err(Error::Argument { name: "texts", .. })));
}

#[test]
fn a_learned_vocabulary_merges_frequent_and_splits_rare_words() {
    let texts: Vec<String> = (0..50).map(|row| format!("The cat sat on mat {}", row % 10)).collect();
    let learn = || TextTokenizer::train(texts.iter().map(String::as_str), 60).unwrap();
    let tokenizer = learn();
    assert!(tokenizer.vocabulary_size() <= 60);
    assert_eq!(tokens(&tokenizer, "the CAT sat"), ["[CLS]", "the", "cat", "sat", "[SEP]"]);
    let parts = tokens(&tokenizer, "mathe");
    assert!(parts.len() > 3 && parts.concat().replace("##", "") == "[CLS]mathe[SEP]", "{parts:?}");
    // Training twice, with differently seeded hash maps, gives the same ids.
    let folder = tempfile::tempdir().unwrap();
    let paths = ["one", "two"].map(|name| folder.path().join(name));
    for path in &paths {
        learn().save(path).unwrap();
    }
    let [one, two] = paths.map(|path| std::fs::read(path).unwrap());
    assert_eq!(one, two);
}

#[test]
fn a_vocabulary_of_nothing_is_refused() {
    assert!(matches!(TextTokenizer::train(["", " "], 100), Err(Error::Argument { name: "texts", .. })));
    assert!(matches!(TextTokenizer::train(["a b"], 31), Err(Error::Argument { name: "vocabulary_size", .. })));
}

#[test]
fn a_tokenizer_with_more_tokens_than_embeddings_does_not_fit() {
    let tokenizer = words(&["a", "b", "c"]);
    let fits = |rows| tokenizer.check_fits(&BertConfig::small(1, 1, 8, rows).unwrap());
    assert!(fits(8).is_ok() && fits(9).is_ok());
    let error = fits(7).unwrap_err();
    assert!(matches!(&error, Error::Argument { name: "vocab_size", .. }));
    let expected = "vocab_size is 7, expected at least 8: the tokenizer's token \"c\" has the number 7, and the embeddings need a row for it";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn all_rows_are_encoded_in_their_order() {
    let examples = (0..1000).map(|row| Example {
        text: "a ".repeat(row % 7 + 1),
        pair: (row % 2 == 0).then(|| "b".to_owned()),
        label: row % 3,
        targets: Vec::new(),
    });
    let labels = ["x", "y", "z"].map(String::from).to_vec();
    let data = Dataset::from_examples("generated", labels, examples.collect()).unwrap();
    let tokenizer = words(&["a", "b"]);
    let encoded = tokenizer.encode_all(&data, 6).unwrap();
    assert_eq!(encoded.labels, data.labels);
    for (row, sample) in encoded.samples.iter().enumerate() {
        let example = &data.examples[row];
        assert_eq!((sample.id, sample.label), (row as u64, example.label as u32));
        assert_eq!(sample.encoding, tokenizer.encode(&example.text, example.pair.as_deref(), 6).unwrap());
        assert!(sample.encoding.ids.len() <= 6);
    }
    // Single texts of more than 4 words, and pairs of more than 2 words, are truncated.
    let cut = (0..1000).filter(|row| row % 7 + 1 > if row % 2 == 0 { 2 } else { 4 }).count();
    assert_eq!(encoded.truncated_rows, cut);
}

/// Tokenizer of the words a and b in this crate, and the same tokenizer in the `tokenizers` crate.
static PEERS: LazyLock<(TextTokenizer, Tokenizer)> = LazyLock::new(|| {
    let tokenizer = words(&["a", "b"]);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("tokenizer.json");
    tokenizer.save(&path).expect("a temporary file");
    (tokenizer, Tokenizer::from_file(&path).expect("a tokenizer's file"))
});

proptest! {
    #[test]
    fn pairs_are_cut_as_hugging_face_cuts_them(first in 0_usize..12, second in 0_usize..12, max_length in 5_usize..24) {
        let (tokenizer, peer) = &*PEERS;
        let (first, second) = ("a ".repeat(first), "b ".repeat(second));
        // `with_truncation` is not used. Since 0.23 it truncates each text to `max_length` before it compares their
        // lengths, so that the shorter of two very long texts may keep one more token.
        let expected = |pair: Option<&str>| {
            let room = TruncationParams { max_length: max_length - 2 - pair.iter().len(), ..Default::default() };
            let second = pair.map(|pair| peer.encode(pair, false).unwrap());
            let (first, second) = truncate_encodings(peer.encode(first.as_str(), false).unwrap(), second, &room).unwrap();
            peer.post_process(first, second, true).unwrap()
        };
        let single = tokenizer.encode(&first, None, max_length).unwrap();
        prop_assert_eq!(single.ids, expected(None).get_ids().to_vec());
        let expected = expected(Some(&second));
        let pair = tokenizer.encode(&first, Some(&second), max_length).unwrap();
        prop_assert_eq!(pair.ids.as_slice(), expected.get_ids());
        prop_assert_eq!(pair.truncated, !expected.get_overflowing().is_empty());
        prop_assert_eq!(pair.type_ids.iter().sum::<u32>() as usize, pair.ids.iter().filter(|&&id| id == 6).count() + 1);
    }
}

fn golden(name: &str, tensors: &safetensors::SafeTensors<'_>) -> Vec<u32> {
    let data = tensors.tensor(name).expect("the golden file has it").data();
    data.chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().expect("8 bytes")) as u32).collect()
}

#[test]
fn real_texts_get_the_numbers_that_transformers_gives_them() {
    let (Some(json), Some(bytes), Some(model)) = (
        outside("DHT_GOLDEN", "minilm.json"),
        outside("DHT_GOLDEN", "minilm.safetensors"),
        outside("DHT_MODELS", "minilm-l6"),
    ) else {
        return;
    };
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let bytes = std::fs::read(bytes).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let [ids, types, offsets] = ["ids", "type_ids", "offsets"].map(|name| golden(name, &tensors));
    // Only its vocab.txt gives the same tokenizer.
    let folder = tempfile::tempdir().unwrap();
    for name in ["vocab.txt", "tokenizer_config.json"] {
        std::fs::copy(model.join(name), folder.path().join(name)).unwrap();
    }
    for folder in [model.as_path(), folder.path() as &Path] {
        let tokenizer = TextTokenizer::from_dir(folder).unwrap();
        assert_eq!(tokenizer.vocabulary_size(), 30_522);
        let texts = json["texts"].as_array().unwrap();
        assert_eq!(texts.len() + 1, offsets.len());
        for (text, span) in texts.iter().zip(offsets.windows(2)) {
            let (first, second) = match text.as_array() {
                Some(pair) => (pair[0].as_str().unwrap(), pair[1].as_str()),
                None => (text.as_str().unwrap(), None),
            };
            let encoding = tokenizer.encode(first, second, 128).unwrap();
            let span = span[0] as usize..span[1] as usize;
            assert_eq!(encoding.ids, ids[span.clone()]);
            assert_eq!(encoding.types().collect::<Vec<_>>(), types[span]);
        }
    }
}

#[test]
fn a_learned_vocabulary_covers_nearly_all_tokens_of_real_texts() {
    let Some(folder) = outside("DHT_DATA", "ag_news") else { return };
    let train = NamedDataset::reader_of_files(&folder).read(folder.join("train.csv")).unwrap().take(2000);
    let test = DatasetReader::new().like(&train).read(folder.join("test.csv")).unwrap().take(500);
    let tokenizer = TextTokenizer::train(train.examples.iter().map(|example| example.text.as_str()), 2000).unwrap();
    assert_eq!(tokenizer.vocabulary_size(), 2000);
    let encoded = tokenizer.encode_all(&test, 512).unwrap();
    let ids: Vec<u32> = encoded.samples.into_iter().flat_map(|sample| sample.encoding.ids).collect();
    let unknown = ids.iter().filter(|&&id| Some(id) == tokenizer.token_id("[UNK]")).count();
    assert!(unknown * 1000 < ids.len(), "{unknown} of {}", ids.len());
    assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocabulary_size()));
}

#[test]
fn an_escape_of_half_a_character_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    TextTokenizer::from_vocabulary(&["fine".into()]).unwrap().save(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let broken = text.replace("\"##\"", "\"\\ud800\"");
    assert_ne!(text, broken);
    std::fs::write(&path, broken).unwrap();
    assert!(matches!(TextTokenizer::from_file(&path), Err(Error::Tokenizer { .. })));
}
