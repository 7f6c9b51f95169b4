use dht_transformer::{Error, storage::write_atomically};

/// Permission bits of a file, without the bits for its type.
#[cfg(unix)]
fn mode(path: &std::path::Path) -> u32 {
    std::os::unix::fs::MetadataExt::mode(&path.metadata().expect("it was written")) & 0o777
}

#[cfg(unix)]
#[test]
fn written_files_have_the_permissions_of_ordinary_files() {
    use dht_transformer::{TextTokenizer, pretrained::PretrainedWeights, train::checkpoint::Checkpoint};

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("ordinary"), "").unwrap();
    std::fs::create_dir(at("folder")).unwrap();

    let tokenizer = TextTokenizer::from_vocabulary(&["word".to_owned()]).unwrap();
    let config = dht_toys::config([1, 1, 4, tokenizer.vocabulary_size()], None);
    let encoder = dht_toys::encoder(&config, &mut dht_toys::rng(0));
    PretrainedWeights::write(at("model"), &config, &encoder.to_tensors().unwrap(), Some(&tokenizer)).unwrap();
    write_atomically(at("text"), |file| file.write_all(b"text")).unwrap();
    Checkpoint::default().save(at("checkpoint")).unwrap();

    assert_eq!(mode(&at("model")), mode(&at("folder")));
    let mut written = vec![at("text"), at("checkpoint")];
    written.extend(std::fs::read_dir(at("model")).unwrap().map(|entry| entry.unwrap().path()));
    assert_eq!(written.len(), 6);
    for path in written {
        assert_eq!(mode(&path), mode(&at("ordinary")), "{}", path.display());
    }
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    write_atomically(&path, |file| file.write_all(b"old")).unwrap();
    let error = write_atomically(&path, |file| {
        file.write_all(b"half")?;
        Err(std::io::Error::other("the source is gone"))
    });
    assert!(matches!(error, Err(Error::Io { path: at, .. }) if at == path));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    write_atomically(&path, |file| file.write_all(b"new")).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
}

#[test]
fn a_file_in_no_directory_is_an_io_error_with_its_path() {
    let error = write_atomically("no/such/folder/a.json", |file| file.write_all(b"x")).unwrap_err();
    assert!(error.to_string().starts_with("no/such/folder/a.json: "));
}
