//! Models by their names on the hub.

use dht_transformer::{Error, TextTokenizer, pretrained::PretrainedWeights};

#[test]
fn a_directory_is_used_as_is_and_a_missing_path_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(PretrainedWeights::fetch(folder.path()).unwrap(), folder.path());
    let missing = folder.path().join("missing");
    assert!(matches!(PretrainedWeights::read(&missing), Err(Error::Io { path, .. }) if path.starts_with(&missing)));
}

#[cfg(not(feature = "parquet"))]
#[test]
fn without_the_feature_a_parquet_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("train.parquet");
    std::fs::write(&file, "PAR1").unwrap();
    for result in [
        dht_transformer::DatasetReader::new().read(&file),
        dht_transformer::DatasetReader::new().read_from(&file, &b"PAR1"[..]),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(
            error.contains("train.parquet: is a parquet file, which is read with the feature `parquet`"),
            "{error}"
        );
    }
}

#[cfg(not(feature = "hub"))]
#[test]
fn without_the_feature_a_name_is_refused_with_a_word_about_it() {
    use dht_transformer::storage::HubDataset;

    for result in [
        PretrainedWeights::read("some/model").map(|_| ()),
        TextTokenizer::from_dir("some/model").map(|_| ()),
        PretrainedWeights::fetch_all("some/model").map(|_| ()),
        HubDataset::open("some/model").map(|_| ()),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::NoHub { name } if name == "some/model"));
        assert!(error.to_string().contains("feature `hub`"), "{error}");
    }
}

#[cfg(feature = "hub")]
mod from_a_server {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::*;
    use crate::server::Hub;

    /// Content of the server: a model of the golden ones, with a tokenizer in one of two repositories.
    fn fill(hub: &Hub) {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families/bert-classifier");
        let file = |name: &str| std::fs::read(golden.join(name)).expect("a golden file");
        hub.put("models/tiny/bert", "main", "config.json", file("config.json"));
        hub.put("models/tiny/bert", "main", "model.safetensors", file("model.safetensors"));
        hub.put("models/tiny/bert", "main", "vocab.txt", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n".to_vec());
        hub.put("models/tiny/half", "main", "config.json", file("config.json"));
    }

    /// Runs the hidden test below with these variables; what it prints.
    fn child(name: &str, cache: &Path, hub: &Hub) -> (bool, String) {
        let output = Command::new(std::env::current_exe().expect("a path"))
            .args(["--ignored", "--exact", "--nocapture", "models::from_a_server::a_child_loads_a_model"])
            .env("HF_ENDPOINT", &hub.address)
            .env("HF_HOME", cache)
            .env("DHT_TEST_MODEL", name)
            .env_remove("HF_HUB_CACHE")
            .env_remove("HTTP_PROXY")
            .env_remove("http_proxy")
            .output()
            .expect("a process");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[test]
    fn a_name_is_fetched_once_and_what_is_not_there_is_told() {
        let hub = Hub::start();
        fill(&hub);
        let cache = tempfile::tempdir().unwrap();
        let (success, output) = child("tiny/bert", cache.path(), &hub);
        assert!(success && output.contains("loaded 2 layers, 7 tokens"), "{output}");
        assert!(hub.asked().contains(&"/tiny/bert/resolve/main/model.safetensors".to_owned()));

        // A second time the files are there; only what the repository lacks is asked for again.
        let (success, output) = child("tiny/bert", cache.path(), &hub);
        assert!(success, "{output}");
        let asked = hub.asked();
        assert!(!asked.iter().any(|path| path.contains("model.safetensors")), "{asked:?}");

        let (_, output) = child("tiny/half", cache.path(), &hub);
        assert!(output.contains("refused: tiny/half is no directory, and its model.safetensors could"), "{output}");
        let (_, output) = child("tiny/none", cache.path(), &hub);
        assert!(output.contains("refused: tiny/none is no directory, and its config.json could not"), "{output}");
    }

    #[test]
    #[ignore = "runs in a process of its own, with variables that say where the hub is"]
    fn a_child_loads_a_model() {
        let Some(name) = std::env::var_os("DHT_TEST_MODEL").map(PathBuf::from) else { return };
        match PretrainedWeights::read(&name) {
            Ok(weights) => {
                let tokens = TextTokenizer::from_dir(&name).unwrap().vocabulary_size();
                println!("loaded {} layers, {tokens} tokens", weights.config.num_hidden_layers);
            }
            Err(error) => println!("refused: {error}"),
        }
    }
}
