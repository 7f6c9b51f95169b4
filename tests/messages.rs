//! Lists every message of every error type in one file for each crate, `messages.txt`, so that changes of wording are
//! reviewed. `WRITE_MESSAGES=1 cargo test --test messages` writes the files.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 6] = ["bandits", "transformer", "dynamic", "search", "nas", "cli"];

/// Rust files of a folder, in the order of their paths.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// String literal at the beginning of an attribute's arguments. Lines that end in a backslash are joined.
fn literal(arguments: &str) -> Option<String> {
    let text = arguments.trim_start().strip_prefix('"')?;
    let (mut message, mut letters) = (String::new(), text.chars().peekable());
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Some(message),
            '\\' if letters.next_if_eq(&'\n').is_some() => {
                while letters.next_if(|next| next.is_whitespace()).is_some() {}
            }
            '\\' => message.extend(['\\', letters.next()?]),
            other => message.push(other),
        }
    }
    None
}

/// Lines of the messages in a source: type, variant and text.
fn messages(source: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (at, _) in source.match_indices("#[error(") {
        let Some(message) = literal(&source[at + "#[error(".len()..]) else { continue };
        let word = |text: &str| -> String {
            text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
        };
        let of = source[..at].rsplit_once("pub enum ").map_or_else(String::new, |(_, rest)| word(rest));
        let variant = source[at..].lines().map(str::trim).find(|line| line.starts_with(char::is_uppercase));
        let variant = word(variant.unwrap_or_default());
        lines.push(format!("{of}::{variant}: {message}"));
    }
    lines
}

#[test]
fn the_file_of_messages_is_that_of_the_sources() {
    for name in CRATES {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("crates/dht-{name}"));
        let files = sources(&folder.join("src"));
        let lines: Vec<String> = files.iter().flat_map(|file| messages(&fs::read_to_string(file).unwrap())).collect();
        assert!(lines.len() >= 5, "dht-{name} has {} messages", lines.len());
        let (path, text) = (folder.join("messages.txt"), lines.join("\n") + "\n");
        if std::env::var_os("WRITE_MESSAGES").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let stored = fs::read_to_string(&path).unwrap_or_default();
        let changed = lines.iter().find(|line| !stored.lines().any(|stored| stored == **line));
        assert!(stored == text, "dht-{name}/messages.txt differs, first in {changed:?}: WRITE_MESSAGES=1 writes it");
    }
}

#[test]
fn a_message_is_read_with_its_type_and_variant() {
    let source = "pub enum Fault {\n    /// Doc.\n    #[error(\n        \"{what} is \\\n         \\\"bad\\\"\", what = 1\n    )]\n    Bad { what: u8 },\n    #[error(transparent)]\n    Other(u8),\n    #[error(\"it broke\")]\n    Broken,\n}";
    assert_eq!(messages(source), [r#"Fault::Bad: {what} is \"bad\""#, "Fault::Broken: it broke"]);
}
