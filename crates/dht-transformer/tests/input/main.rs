//! Everything that comes from files: texts, vocabularies, configurations, weights.

mod batch;
mod config;
mod dataset;
mod files;
mod long_texts;
mod tokenizer;
mod weights;

#[path = "../outside/mod.rs"]
mod outside;

#[test]
fn what_no_variable_names_is_looked_for_nowhere() {
    assert_eq!(outside::outside("DHT_NO_SUCH_VARIABLE", "Cargo.toml"), None);
    assert!(outside::outside("CARGO_MANIFEST_DIR", "Cargo.toml").is_some());
    assert_eq!(outside::outside("CARGO_MANIFEST_DIR", "no such file"), None);
}
