//! Tests of the length at which `dht train` cuts long texts.

use serde_json::Value;

use super::stopping::weights;
use super::tables::{said, write};
use super::{dht, json, place, printed, reviews};

/// Creates rows of long reviews, whose judgement comes after 150 other words.
fn long(count: usize, from: usize) -> String {
    let before = "and the soup said guest ".repeat(30);
    let rows = reviews(count, from).into_iter().map(|(label, text)| format!("{label},\"{before}{text}\"\n"));
    format!("label,text\n{}", rows.collect::<String>())
}

#[test]
fn long_texts_have_trials_of_lengths() {
    let place = place();
    let plain = ["train", "--data", "data", "--model", "2x2x16", "--epochs", "1", "--kind", "full", "--out", "m"];
    printed(&dht(place.path(), &plain));
    write(place.path(), "long/train.csv", &long(160, 0));
    write(place.path(), "long/test.csv", &long(30, 900));
    let train = |out, more: &[&str]| {
        let words = ["train", "--data", "long", "--model", "m/model", "--out", out];
        dht(place.path(), &[&words[..], more].concat())
    };
    let length = |out| json(&printed(&dht(place.path(), &["inspect", out, "--json"])))["max_length"].clone();

    let chosen = said(&train("chosen", &["--rungs", "1"]));
    assert!(chosen.contains("trying lengths on 144 training texts"), "{chosen}");
    let tokens = length("chosen");
    assert!(chosen.contains(&format!("texts are cut at {tokens} tokens: ")), "{chosen}");
    assert!(
        chosen.contains("length of 128 tokens: accuracy ") && chosen.contains("length of 256 tokens: "),
        "{chosen}"
    );
    assert!(!chosen.contains("length of 512 tokens"), "no text has more than 256: {chosen}");
    let report = std::fs::read_to_string(place.path().join("chosen/training.json")).expect("a report");
    let report: Value = json(&report);
    assert_eq!(report["length"]["max_length"], tokens);
    assert!(report["length"]["trials"][1]["flops"].as_u64() > report["length"]["trials"][0]["flops"].as_u64());

    let explicit = said(&train("given", &["--rungs", "1", "--max-length", &tokens.to_string()]));
    assert!(!explicit.contains("trying lengths"), "{explicit}");
    assert_eq!(weights(place.path(), "given"), weights(place.path(), "chosen"));
    let short = said(&train("short", &["--rungs", "1", "--training-budget", "0.15"]));
    assert!(
        short.contains("no trials of lengths: they would cost more than a quarter") && length("short") == 128,
        "{short}"
    );
    let ngrams = said(&train("ngrams", &["--rungs", "0"]));
    assert!(!ngrams.contains("length of"), "{ngrams}");
    write(
        place.path(),
        "brief/train.csv",
        &std::fs::read_to_string(place.path().join("data/train.csv")).expect("rows"),
    );
    let words = ["train", "--data", "brief", "--model", "m/model", "--rungs", "1", "--out", "brief-model"];
    assert!(!said(&dht(place.path(), &words)).contains("trying lengths"), "texts are short");
    assert_eq!(length("brief-model"), 128);
}
