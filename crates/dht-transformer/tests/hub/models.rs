//! Models by their names on the hub.

use dht_transformer::Error;
use dht_transformer::pretrained::PretrainedWeights;

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
    use dht_transformer::TextTokenizer;
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
