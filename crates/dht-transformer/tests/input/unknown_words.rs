//! Ids of words that are unknown tokens: a word has the same id at every position.

use dht_transformer::data::UnknownWord;
use dht_transformer::{Dataset, Encoding, Example, TextTokenizer};
use proptest::prelude::*;

fn tokenizer() -> TextTokenizer {
    TextTokenizer::from_vocabulary(&["good", "film"].map(String::from)).expect("whole words")
}

fn encode(text: &str) -> Encoding {
    tokenizer().encode(text, None, 64).expect("room for a text")
}

/// Positions of the unknown tokens, and the ids of their words.
fn words(encoding: &Encoding) -> (Vec<u32>, Vec<u32>) {
    encoding.rest.words.iter().map(|UnknownWord { token, id }| (*token, *id)).unzip()
}

/// Id of the unknown word in a text of one word.
fn id(word: &str) -> u32 {
    let (tokens, ids) = words(&encode(word));
    assert!(tokens == [1] && ids.len() == 1, "{word}: {tokens:?} {ids:?}");
    ids[0]
}

#[test]
fn unknown_words_have_ids_and_the_encoder_sees_unknown_tokens() {
    let encoding = encode("Good 😀 film😡!");
    assert_eq!(encoding.ids, [2, 5, 1, 1, 1, 3]);
    let (tokens, ids) = words(&encoding);
    assert_eq!((&*tokens, ids[0], ids[2], ids[3]), (&[2, 3, 3, 4][..], id("😀"), id("😡"), id("!")));
    assert!(id("😀") != id("😡") && id("😀") >= 1 << 31);
    assert_eq!(id("PLOT"), id("plot"), "as the tokenizer normalises it");
    assert!(encode("good film").rest.is_empty() && encode("").rest.is_empty());
}

#[test]
fn texts_of_unknown_words_alone_have_one_id_for_each_word() {
    let georgian = encode("კარგი ფილმი კარგი");
    let (tokens, ids) = words(&georgian);
    assert_eq!((&*georgian.ids, &*tokens), (&[2, 1, 1, 1, 3][..], &[1, 2, 3][..]));
    assert!(ids[0] == ids[2] && ids[0] != ids[1]);
    assert_eq!(words(&encode("[UNK]")).0, [1], "an unknown token that is spelled out");
}

#[test]
fn digests_distinguish_unknown_words_and_nothing_else_changes() {
    let [happy, angry] = ["good 😀", "good 😡"].map(encode);
    assert_eq!((&happy.ids, happy.ids.len()), (&angry.ids, 4));
    assert_ne!(happy.digest(), angry.digest());
    let data = |texts: &[&str]| {
        let examples = texts.iter().map(|text| Example::new(*text, 0)).collect();
        let data = Dataset::from_examples("texts", vec!["a".into()], examples).unwrap();
        tokenizer().encode_all(&data, 8).unwrap()
    };
    assert_ne!(data(&["good 😀"]).sha256(), data(&["good 😡"]).sha256());
    // The expected digest is from Python's hashlib: SHA-256 of the ids 2, 5, 6, 3, of four types 0 and of two empty
    // lists, each after its length.
    assert_eq!(encode("good film").digest(), 0xae96993116ed30c0);
}

#[test]
fn words_of_a_cut_pair_stand_at_their_tokens() {
    let encoding = tokenizer().with_rest(9).encode("good 😀 film 😀", Some("😡 good good 😡"), 7).unwrap();
    assert_eq!(encoding.ids, [2, 5, 1, 3, 1, 5, 3]);
    assert_eq!((&*encoding.rest.first, &*encoding.rest.second), (&[6, 1][..], &[5, 1][..]));
    let (happy, angry) = (id("😀"), id("😡"));
    assert_eq!(words(&encoding), (vec![2, 4, 8, 10], vec![happy, angry, happy, angry]));
}

#[test]
fn an_endless_word_is_known_by_its_beginning() {
    let long = "w".repeat(5000);
    let (_, alone) = words(&encode(&long));
    let (_, among) = words(&encode(&format!("good {long} film")));
    let (_, short) = words(&encode(&"w".repeat(60)));
    assert_eq!((alone.len(), &alone, &alone), (1, &among, &short));
    let emoji = words(&encode(&"😀".repeat(3000)));
    assert!(emoji.1.len() <= 101 && emoji.1.iter().all(|word| *word == id("😀")), "{}", emoji.1.len());
}

#[test]
fn the_share_of_unknown_tokens_leaves_out_tokens_around_a_text() {
    let tokenizer = tokenizer().with_rest(4);
    let share = |texts: &[&str]| {
        let encoded = tokenizer.encode_texts(texts, 4).unwrap();
        tokenizer.unknown_share(&encoded).unwrap()
    };
    assert_eq!(share(&["good film"]), 0.0);
    assert_eq!(share(&["good 😀 good film", "film"]), 0.2);
    assert_eq!(share(&["😀"]), 1.0);
    assert_eq!(share(&[""]), 0.0);
}

proptest! {
    #[test]
    fn a_cut_text_has_the_words_of_the_whole_one(
        parts in proptest::collection::vec(proptest::sample::select(
            vec!["good", "film", "plot", "😀", "😡", "film😀", "კარგი", "é", "?!", "中文", "\u{2764}\u{fe0f}"]), 0..300),
        max_length in 3_usize..40,
    ) {
        let text = parts.join(" ");
        let whole = tokenizer().encode(&text, None, 5000).unwrap();
        let cut = tokenizer().with_rest(5000).encode(&text, None, max_length).unwrap();
        let last = cut.ids.len() as u32 - 1;
        // The truncated ids follow [SEP].
        let shifted = |word: &UnknownWord| UnknownWord { token: word.token + u32::from(word.token >= last), id: word.id };
        let expected: Vec<_> = whole.rest.words.iter().map(shifted).collect();
        prop_assert_eq!(cut.rest.words, expected);
        for word in &whole.rest.words {
            prop_assert_eq!(whole.ids[word.token as usize], 1);
        }
        let unknown = whole.ids.iter().filter(|id| **id == 1).count();
        let tokens: std::collections::BTreeSet<u32> = whole.rest.words.iter().map(|word| word.token).collect();
        prop_assert_eq!(tokens.len(), unknown);
    }
}
