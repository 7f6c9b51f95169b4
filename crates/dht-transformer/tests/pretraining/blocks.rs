//! Division of plain text files into blocks.

use std::io::Write;
use std::path::Path;

use dht_transformer::{EncodedDataset, Error, Result, TextTokenizer, error::DataProblem};
use flate2::Compression;
use flate2::write::GzEncoder;

fn tokenizer() -> TextTokenizer {
    let words: Vec<String> = (b'a'..=b'z').map(|letter| char::from(letter).to_string()).collect();
    TextTokenizer::from_vocabulary(&words).expect("right input")
}

fn read(name: &str, bytes: &[u8], max_length: usize) -> Result<EncodedDataset> {
    let folder = tempfile::tempdir().expect("right input");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("right input");
    EncodedDataset::from_text(path, &tokenizer(), max_length)
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("right input");
    encoder.finish().expect("right input")
}

/// Tokens of each block, including special tokens.
fn words(blocks: &EncodedDataset) -> Vec<String> {
    let tokenizer = tokenizer();
    let word = |id: &u32| tokenizer.token(*id).expect("right input");
    blocks.samples.iter().map(|sample| sample.encoding.ids.iter().map(word).collect::<Vec<_>>().join(" ")).collect()
}

const TEXT: &str = "a b c d\ne f g h i\n\n   \nj k l m n o p q r s t u\n\nv w\n";

#[test]
fn paragraphs_run_on_documents_do_not_and_scraps_are_dropped() {
    let blocks = read("text.txt", TEXT.as_bytes(), 9).expect("right input");
    assert_eq!(words(&blocks), ["[CLS] a b c d e f g [SEP]", "[CLS] j k l m n o p [SEP]"]);
    let blocks = read("text.txt", TEXT.as_bytes(), 14).expect("right input");
    assert_eq!(words(&blocks), ["[CLS] a b c d e f g h i [SEP]", "[CLS] j k l m n o p q r s t u [SEP]"]);
    let ids: Vec<u64> = blocks.samples.iter().map(|sample| sample.id).collect();
    assert_eq!(ids, [0, 1]);
    assert!(blocks.samples.iter().all(|sample| sample.encoding.types().all(|kind| kind == 0)));
}

#[test]
fn a_compressed_file_gives_the_same_blocks() {
    let plain = read("text.txt", TEXT.as_bytes(), 12).expect("right input");
    assert_eq!(read("text.txt.gz", &compressed(TEXT.as_bytes()), 12).expect("right input"), plain);
}

#[test]
fn what_is_no_text_is_refused_with_its_line() {
    let problem = |name: &str, bytes: &[u8]| match read(name, bytes, 12).unwrap_err() {
        Error::Data { line, problem, .. } => (line, problem),
        error => panic!("{error}"),
    };
    assert_eq!(problem("empty.txt", b""), (None, DataProblem::Empty));
    assert_eq!(problem("empty.txt.gz", b""), (None, DataProblem::Empty));
    assert_eq!(problem("short.txt", b"a b c\n\n\n"), (None, DataProblem::NoText));
    assert_eq!(problem("zero.txt", b"a b\nc \0 d\n"), (Some(2), DataProblem::Binary));
    assert_eq!(problem("bytes.txt", b"a b\n\nc \xff d\n"), (Some(3), DataProblem::NotUtf8 { byte: 2 }));
    let whole = compressed(TEXT.repeat(50).as_bytes());
    assert!(matches!(problem("cut.txt.gz", &whole[..whole.len() / 2]), (Some(_), DataProblem::CutOff { .. })));
    assert!(matches!(problem("plain.txt.gz", TEXT.as_bytes()), (Some(1), DataProblem::NotCompressed { .. })));
    assert!(matches!(read("text.txt", TEXT.as_bytes(), 7), Err(Error::Argument { name: "max_length", .. })));
    let nowhere = EncodedDataset::from_text("nowhere/text.txt", &tokenizer(), 12);
    assert!(matches!(nowhere, Err(Error::Io { path, .. }) if path == Path::new("nowhere/text.txt")));
}

#[test]
fn word_pieces_are_learnt_from_a_file_as_from_its_paragraphs() {
    let folder = tempfile::tempdir().expect("right input");
    let [plain, packed, damaged] = ["text.txt", "text.txt.gz", "damaged.txt"].map(|name| folder.path().join(name));
    let text = "the low lower lowest\nnew newer newest\n\nlow new wide wider widest\n";
    std::fs::write(&plain, text).expect("right input");
    std::fs::write(&packed, compressed(text.as_bytes())).expect("right input");
    std::fs::write(&damaged, b"the low\nlo\xff wer\n").expect("right input");
    let pieces = |tokenizer: TextTokenizer| -> Vec<Option<String>> {
        (0..tokenizer.vocabulary_size() as u32).map(|id| tokenizer.token(id)).collect()
    };
    let expected = pieces(TextTokenizer::train(text.lines(), 60).expect("right input"));
    assert!(expected.contains(&Some("low".into())));
    for path in [plain, packed] {
        assert_eq!(pieces(TextTokenizer::train_from_text(path, 60).expect("right input")), expected);
    }
    let refused = TextTokenizer::train_from_text(damaged, 60);
    assert!(matches!(refused, Err(Error::Data { line: Some(2), problem: DataProblem::NotUtf8 { byte: 2 }, .. })));
}
