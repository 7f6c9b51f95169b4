use dht_transformer::{Error, write_atomically};

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
