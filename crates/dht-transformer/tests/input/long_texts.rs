//! Long texts are tokenised only as far as their first tokens require, with the same tokens as from the whole text.

use std::path::Path;
use std::sync::LazyLock;

use dht_toys::outside;
use dht_transformer::{Dataset, DatasetReader, Encoding, Error, Example, TextTokenizer};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::utils::truncation::truncate_encodings;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer, TokenizerImpl,
    TruncationParams,
};

/// Tokenizer of this crate, and the same tokenizer in the `tokenizers` crate.
struct Peers {
    name: &'static str,
    ours: TextTokenizer,
    theirs: Tokenizer,
}

/// Encoding of a text: token ids, types, and whether tokens were truncated.
type Tokens = (Vec<u32>, Vec<u32>, bool);

fn tokens_of(encoding: &Encoding) -> Tokens {
    (encoding.ids.clone(), encoding.types().collect(), encoding.truncated)
}

impl Peers {
    fn new(name: &'static str, file: &Path) -> Self {
        let ours = TextTokenizer::from_file(file).expect("a tokenizer");
        let mut theirs = Tokenizer::from_file(file).expect("a tokenizer");
        theirs.with_truncation(None).expect("no truncation").with_padding(None);
        Self { name, ours, theirs }
    }

    fn of_json(name: &'static str, json: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("tokenizer.json");
        std::fs::write(&file, json.to_string()).expect("a temporary file");
        Self::new(name, &file)
    }

    /// Tokenises the whole text, and then truncates it.
    fn whole(&self, text: &str, pair: Option<&str>, max_length: usize) -> Tokens {
        let special = self.theirs.encode_fast("", true).expect("right texts").len();
        let special =
            if pair.is_some() { self.theirs.encode_fast(("", ""), true).expect("right texts").len() } else { special };
        let room = TruncationParams { max_length: max_length - special, ..Default::default() };
        let second = pair.map(|pair| self.theirs.encode(pair, false).expect("right texts"));
        let (mut first, mut second) =
            truncate_encodings(self.theirs.encode(text, false).expect("right texts"), second, &room)
                .expect("right texts");
        let mut cut = !first.take_overflowing().is_empty();
        cut |= second.as_mut().is_some_and(|second| !second.take_overflowing().is_empty());
        let encoding = self.theirs.post_process(first, second, true).expect("right texts");
        (encoding.get_ids().to_vec(), encoding.get_type_ids().to_vec(), cut)
    }

    fn by_parts(&self, text: &str, pair: Option<&str>, max_length: usize) -> Tokens {
        let encoding = self.ours.encode(text, pair, max_length).expect("right texts");
        tokens_of(&encoding)
    }
}

const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Subwords of the vocabulary, so that words are split.
const PIECES: [&str; 14] = ["the", "cat", "a", "b", "c", "##a", "##b", "##c", "##at", "e", "##e", ",", "中", "##1"];

fn added(token: &str, id: usize) -> Value {
    let id_of = json!({"id": id, "content": token, "special": true, "normalized": false});
    let plain = json!({"single_word": false, "lstrip": false, "rstrip": false});
    let mut both = id_of.as_object().expect("an object").clone();
    both.extend(plain.as_object().expect("an object").clone());
    both.into()
}

/// Tokenizer of BERT with another normalizer, pre-tokenizer or model.
fn bert(normalizer: Value, pre_tokenizer: Value, model: &str) -> Value {
    let tokens = SPECIAL.iter().chain(&PIECES);
    let vocabulary: serde_json::Map<String, Value> =
        tokens.enumerate().map(|(id, token)| ((*token).to_owned(), id.into())).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": SPECIAL.iter().enumerate().map(|(id, token)| added(token, id)).collect::<Vec<_>>(),
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": model, "unk_token": "[UNK]", "vocab": vocabulary, "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100},
    })
}

fn cleaning(lowercase: bool, clean: bool, ideographs: bool, strip: Value) -> Value {
    json!({"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": ideographs, "strip_accents": strip,
           "lowercase": lowercase})
}

type Trained = TokenizerImpl<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// Byte-level tokenizer as in RoBERTa, trained on a few words.
fn byte_level(name: &'static str, prefix: bool) -> Peers {
    let mut tokenizer: Trained = TokenizerImpl::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(prefix, true, true)));
    tokenizer.with_post_processor(Some(RobertaProcessing::new(("</s>".into(), 1), ("<s>".into(), 0))));
    let token = |content: &str| AddedToken::from(content, true);
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(300)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(vec![token("<s>"), token("</s>"), token("<pad>"), token("<mask>").lstrip(true)])
        .build();
    let words = ["the cat sat on the mat", "a cat's 12 cats, they'll eat", "abc abc aab cab"];
    tokenizer.train(&mut trainer, words.into_iter()).expect("some words");
    Peers::of_json(name, &serde_json::from_str(&tokenizer.to_string(false).expect("a text")).expect("JSON"))
}

/// Unigram tokenizer with a pre-tokenizer that replaces spaces by a visible character.
fn metaspace(name: &'static str, scheme: &str) -> Peers {
    let pieces = ["<s>", "</s>", "<unk>", "▁", "▁the", "▁cat", "a", "b", "c", "t", "▁a", "at", "e", "s"];
    let vocabulary: Vec<Value> =
        pieces.iter().enumerate().map(|(id, piece)| json!([piece, -1.0 - id as f64 / 8.0])).collect();
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [added("<s>", 0), added("</s>", 1)], "normalizer": null,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true},
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": true,
                           "add_prefix_space": false},
        "decoder": null, "model": {"type": "Unigram", "unk_id": 2, "vocab": vocabulary, "byte_fallback": false},
    });
    Peers::of_json(name, &json)
}

static EVERY: LazyLock<Vec<Peers>> = LazyLock::new(|| {
    let split = json!({"type": "BertPreTokenizer"});
    let of = |name, normalizer, pre_tokenizer: &Value, model| {
        Peers::of_json(name, &bert(normalizer, pre_tokenizer.clone(), model))
    };
    let mut strange = bert(cleaning(true, true, true, Value::Null), split.clone(), "WordPiece");
    // The added tokens include adjacent spaces, match inside of words, or match whole words only.
    strange["added_tokens"].as_array_mut().expect("an array").extend([
        json!({"id": 19, "content": "[E]", "special": true, "normalized": false, "single_word": false, "lstrip": true, "rstrip": true}),
        json!({"id": 20, "content": "abc", "special": false, "normalized": true, "single_word": false, "lstrip": false, "rstrip": false}),
        json!({"id": 21, "content": "two words", "special": false, "normalized": true, "single_word": true, "lstrip": false, "rstrip": false}),
    ]);
    let mut inside = bert(cleaning(true, true, true, Value::Null), split.clone(), "WordPiece");
    inside["added_tokens"].as_array_mut().expect("an array").push(
        json!({"id": 19, "content": "bb", "special": false, "normalized": true, "single_word": false, "lstrip": false, "rstrip": false}),
    );
    let sequence =
        json!({"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}, {"type": "StripAccents"}]});
    let digits = json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Digits", "individual_digits": true}]});
    vec![
        of("uncased", cleaning(true, true, true, Value::Null), &split, "WordPiece"),
        of("cased", cleaning(false, true, true, json!(false)), &split, "WordPiece"),
        of("raw", cleaning(false, false, false, json!(true)), &split, "WordPiece"),
        of("whole words", cleaning(true, true, true, Value::Null), &split, "WordLevel"),
        of("no normaliser", Value::Null, &json!({"type": "WhitespaceSplit"}), "WordPiece"),
        of("runs of signs", Value::Null, &json!({"type": "Whitespace"}), "WordPiece"),
        of("compositions", json!({"type": "NFC"}), &split, "WordPiece"),
        of("a sequence", sequence, &split, "WordPiece"),
        of("two splitters", cleaning(true, true, true, Value::Null), &digits, "WordPiece"),
        Peers::of_json("strange added tokens", &strange),
        Peers::of_json("an added token inside of words", &inside),
        byte_level("byte level", false),
        byte_level("byte level, prefixed", true),
        metaspace("always a visible space", "always"),
        metaspace("a visible space first", "first"),
        metaspace("never a visible space", "never"),
    ]
});

/// Pieces of text that tokenizers treat differently.
fn piece() -> impl Strategy<Value = String> {
    let some = |all: &'static [&'static str]| proptest::sample::select(all).prop_map(str::to_owned);
    prop_oneof![
        8 => some(&["the", "cat", "cab", "a", "abc", "The", "Ça", "é", "İ", "ß", "'ll", "two words", "12", "c4t"]),
        8 => some(&[" ", " ", " ", "  ", "\n", "\t", "\r\n", " \n "]),
        3 => some(&["\u{b}", "\u{85}", "\u{a0}", "\u{2028}", "\u{3000}", "\u{200b}", "\0", "\u{1}", "\u{fffd}", "\u{feff}"]),
        3 => some(&["\u{301}", "\u{327}", " \u{301}", "\u{302e}", "\u{93f}", "´", "‗", "ﷺ", "\u{345}", "\u{1161}", "각", "=\u{338}", "<\u{338}."]),
        3 => some(&["中", "中文", "龥", "\u{9fb0}", "かな", "😀", "👩\u{200d}👧", "▁", "▁ ▁", "ｆｕｌｌ", "ﬁ"]),
        3 => some(&[",", "...", "-", "'", "’", "(a)", "[MASK]", "[mask]", "[E]", " [E] ", "[SEP]", "<mask>", " <mask>", "<s>", "bb"]),
        1 => (proptest::sample::select(&["a", "ab", "é", "x", "ж", "a\u{301}", "中", "1", "\u{1161}", "bb", ".", "[MASK]", "=\u{338}"][..]), 90_usize..230)
            .prop_map(|(part, count)| part.repeat(count)),
        1 => any::<char>().prop_map(String::from),
    ]
}

fn text(pieces: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(piece(), 0..pieces).prop_map(|pieces| pieces.concat())
}

/// Words that are longer than the part of a text that is searched at a time.
fn endless() -> impl Strategy<Value = String> {
    let run = (piece(), 1500_usize..6000).prop_map(|(piece, count)| piece.repeat(count / piece.len().max(1)));
    (text(5), run, text(5), proptest::option::of(piece()), text(5)).prop_map(|(before, run, between, next, after)| {
        format!("{before}{run}{between}{}{after}", next.unwrap_or_default().repeat(300))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_text_read_by_parts_has_the_first_tokens_of_the_whole(text in text(120), max_length in 5_usize..60) {
        for peers in &*EVERY {
            prop_assert_eq!(
                peers.by_parts(&text, None, max_length), peers.whole(&text, None, max_length), "{}", peers.name
            );
        }
    }

    #[test]
    fn pairs_read_by_parts_are_cut_like_whole_ones(
        first in text(120), second in text(120), swapped in any::<bool>(), max_length in 8_usize..60
    ) {
        let (first, second) = if swapped { (second, first) } else { (first, second) };
        for peers in &*EVERY {
            let pair = Some(second.as_str());
            prop_assert_eq!(
                peers.by_parts(&first, pair, max_length), peers.whole(&first, pair, max_length), "{}", peers.name
            );
        }
    }

    #[test]
    fn endless_words_have_the_tokens_that_they_have_as_a_whole(text in endless(), max_length in 5_usize..60) {
        for peers in &*EVERY {
            prop_assert_eq!(
                peers.by_parts(&text, None, max_length), peers.whole(&text, None, max_length), "{}", peers.name
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn cut_tokens_go_on_where_the_kept_ones_end(
        first in text(120), second in text(120), max_length in 8_usize..60, most in 0_usize..200
    ) {
        for peers in &*EVERY {
            let keeping = peers.ours.clone().with_rest(most);
            let ids = |text: &str| peers.theirs.encode_fast(text, false).expect("right texts").get_ids().to_vec();
            let (first_ids, second_ids) = (ids(&first), ids(&second));
            let after = |ids: &[u32], first: usize| ids.iter().skip(first).take(most).copied().collect::<Vec<u32>>();

            let alone = keeping.encode(&first, None, max_length).unwrap();
            let tokens = tokens_of(&alone);
            prop_assert_eq!(tokens, peers.by_parts(&first, None, max_length), "{}", peers.name);
            // All tokenizers of this test put two special tokens around a text.
            prop_assert_eq!(&alone.rest.first, &after(&first_ids, max_length - 2), "{}", peers.name);
            prop_assert!(alone.rest.second.is_empty());

            let both = keeping.encode(&first, Some(&second), max_length).unwrap();
            let length = both.ids.len();
            let tokens = tokens_of(&both);
            prop_assert_eq!(tokens, peers.by_parts(&first, Some(&second), max_length), "{}", peers.name);
            let special = peers.theirs.encode_fast(("", ""), true).expect("right texts").len();
            let splits = (0..=length - special).filter(|kept_of_first| {
                both.rest.first == after(&first_ids, *kept_of_first)
                    && both.rest.second == after(&second_ids, length - special - kept_of_first)
            });
            prop_assert!(splits.count() > 0, "{}", peers.name);
        }
    }
}

#[test]
fn long_pairs_read_in_parts_are_truncated_like_whole_ones() {
    let peers = &EVERY[0];
    for (first, second) in [(3000, 3001), (3001, 3000), (3000, 3000), (9, 4000), (4000, 9)] {
        let (first, second) = ("cat ".repeat(first), "the ".repeat(second));
        for max_length in [16, 17, 18, 19] {
            let whole = peers.whole(&first, Some(&second), max_length);
            assert_eq!(peers.by_parts(&first, Some(&second), max_length), whole);
        }
    }
}

#[test]
fn real_texts_read_by_parts_have_the_tokens_of_the_whole() {
    let (Some(model), Some(data)) = (outside("DHT_MODELS", "minilm-l6"), outside("DHT_DATA", "imdb")) else { return };
    let peers = Peers::new("MiniLM", &model.join("tokenizer.json"));
    let texts =
        DatasetReader::new().read(DatasetReader::find(data, dht_transformer::data::Split::Test).unwrap()).unwrap();
    for pair in texts.take(400).examples.chunks(2) {
        let (first, second) = (&pair[0].text, Some(pair[1].text.as_str()));
        for max_length in [16, 129, 512] {
            assert_eq!(peers.by_parts(first, None, max_length), peers.whole(first, None, max_length));
            assert_eq!(peers.by_parts(first, second, max_length), peers.whole(first, second, max_length));
        }
    }
}

#[test]
fn a_text_over_the_byte_limit_is_rejected_with_sizes_and_row() {
    let tokenizer = EVERY[0].ours.clone().with_max_bytes(11);
    assert!(tokenizer.encode("the cat the", None, 8).is_ok());
    for (text, pair) in [("the cat the ", None), ("the", Some("the cat the "))] {
        let refused = tokenizer.encode(text, pair, 8);
        assert!(matches!(refused, Err(Error::TextTooLong { row: None, bytes: 12, most: 11 })), "{refused:?}");
    }
    let example = |text: &str| Example { text: text.into(), pair: None, label: 0, targets: Vec::new() };
    let examples = vec![example("cat"), example("the cat the ")];
    let data = Dataset::from_examples("two", vec!["one".into()], examples).unwrap();
    let message = tokenizer.encode_all(&data, 8).unwrap_err().to_string();
    assert_eq!(message, "a text in row 1 has 12 bytes, expected at most 11");
    // The default limit of bytes is the length of the longest text that a file may contain.
    let long = EVERY[0].ours.encode(&"cat ".repeat(1 << 20), None, 8).unwrap();
    assert!(long.truncated);
    assert!(EVERY[0].ours.encode(&"cat ".repeat((1 << 20) + 1), None, 8).is_err());
}
