//! Models by their names on the hub, from a server of our own.

use dht_transformer::{Error, TextTokenizer, pretrained::read_hugging_face, storage::model_directory};

#[test]
fn a_directory_that_exists_is_itself_and_a_path_that_does_not_is_told_as_a_path() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(model_directory(folder.path()).unwrap(), folder.path());
    let missing = folder.path().join("missing");
    assert!(matches!(read_hugging_face(&missing), Err(Error::Io { path, .. }) if path.starts_with(&missing)));
}

#[cfg(not(feature = "hub"))]
#[test]
fn without_the_feature_a_name_is_refused_with_a_word_about_it() {
    for result in [read_hugging_face("some/model").map(|_| ()), TextTokenizer::from_dir("some/model").map(|_| ())] {
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::NoHub { name } if name == "some/model"));
        assert!(error.to_string().contains("feature `hub`"), "{error}");
    }
}

#[cfg(feature = "hub")]
mod server {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What the server has: a model of the golden ones, with a tokenizer in one of two repositories.
    fn content(path: &str) -> Option<Vec<u8>> {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/families/bert-classifier");
        let (repository, file) = path.split_once("/resolve/main/")?;
        match (repository, file) {
            ("/tiny/bert" | "/tiny/half", "config.json") | ("/tiny/bert", "model.safetensors") => {
                std::fs::read(golden.join(file)).ok()
            }
            ("/tiny/bert", "vocab.txt") => Some(b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n".to_vec()),
            _ => None,
        }
    }

    /// Answers one request as the hub would, with a part of the file where a part is asked for.
    fn answer(mut stream: TcpStream, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
        let (mut path, mut range) = (String::new(), None);
        for (number, line) in BufReader::new(stream.try_clone()?).lines().enumerate() {
            let line = line?.to_lowercase();
            if number == 0 {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            if let Some(bytes) = line.strip_prefix("range: bytes=") {
                range = bytes.split_once('-').map(|(a, b)| (a.parse().unwrap_or(0), b.parse::<usize>().ok()));
            }
            if line.is_empty() {
                break;
            }
        }
        asked.lock().expect("no thread panicked").push(path.clone());
        let Some(all) = content(&path) else {
            return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        };
        let (status, part, place) = match range {
            None => ("200 OK", &all[..], String::new()),
            Some((first, last)) => {
                let last = last.unwrap_or(all.len() - 1).min(all.len() - 1);
                let place = format!("content-range: bytes {first}-{last}/{}\r\n", all.len());
                ("206 Partial Content", &all[first..=last], place)
            }
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{place}accept-ranges: bytes\r\nx-repo-commit: c0ffee\r\n\
             etag: \"{}-{}\"\r\nconnection: close\r\n\r\n",
            part.len(),
            path.len(),
            all.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(part)
    }

    /// Runs the hidden test below with these variables; what the server was asked for meanwhile.
    fn child(name: &str, cache: &Path, port: u16) -> (bool, String) {
        let output = Command::new(std::env::current_exe().expect("a path"))
            .args(["--ignored", "--exact", "--nocapture", "server::a_child_loads_a_model"])
            .env("HF_ENDPOINT", format!("http://127.0.0.1:{port}"))
            .env("HF_HOME", cache)
            .env("DHT_TEST_MODEL", name)
            .env_remove("HTTP_PROXY")
            .env_remove("http_proxy")
            .output()
            .expect("a process");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    #[test]
    fn a_name_is_fetched_once_and_what_is_not_there_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that hangs up is its own affair.
                let _ = answer(stream.unwrap(), &heard);
            }
        });
        let cache = tempfile::tempdir().unwrap();
        let (success, output) = child("tiny/bert", cache.path(), port);
        assert!(success && output.contains("loaded 2 layers, 7 tokens"), "{output}");
        assert!(asked.lock().unwrap().contains(&"/tiny/bert/resolve/main/model.safetensors".to_owned()));

        // A second time the files are there; only what the repository lacks is asked for again.
        asked.lock().unwrap().clear();
        let (success, output) = child("tiny/bert", cache.path(), port);
        assert!(success, "{output}");
        assert!(!asked.lock().unwrap().iter().any(|path| path.contains("model.safetensors")), "{asked:?}");

        let (_, output) = child("tiny/half", cache.path(), port);
        assert!(output.contains("refused: tiny/half is no directory, and its model.safetensors could"), "{output}");
        let (_, output) = child("tiny/none", cache.path(), port);
        assert!(output.contains("refused: tiny/none is no directory, and its config.json could not"), "{output}");
    }

    #[test]
    #[ignore = "runs in a process of its own, with variables that say where the hub is"]
    fn a_child_loads_a_model() {
        let Some(name) = std::env::var_os("DHT_TEST_MODEL").map(PathBuf::from) else { return };
        match read_hugging_face(&name) {
            Ok(weights) => {
                let tokens = TextTokenizer::from_dir(&name).unwrap().vocabulary_size();
                println!("loaded {} layers, {tokens} tokens", weights.config.num_hidden_layers);
            }
            Err(error) => println!("refused: {error}"),
        }
    }
}
