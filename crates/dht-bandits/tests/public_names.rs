//! The number of names that users can meet: a new one has to be worth a line of everybody's catalogue.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names through public modules. Lower it with every name that goes; whoever raises it says why in the commit.
const LIMIT: usize = 88;

/// The names that a module's source exports by `pub use` and by items of its own, without hidden ones.
fn exported(source: &str) -> BTreeSet<String> {
    let code: Vec<&str> = source.lines().map(|line| line.split("//").next().unwrap_or_default().trim_end()).collect();
    let (mut names, mut hidden) = (BTreeSet::new(), false);
    let mut statements = code.iter();
    while let Some(line) = statements.next() {
        let mut statement = (*line).to_owned();
        if statement.starts_with("pub use ") {
            while !statement.contains(';') {
                statement.push_str(statements.next().unwrap());
            }
            let path = statement.trim_start_matches("pub use ").trim_end_matches(';');
            let list = path.split_once('{').map_or(path, |(_, list)| list.trim_end_matches('}'));
            let last = |item: &str| item.rsplit("::").next().unwrap_or_default().trim().to_owned();
            names.extend(list.split(',').map(last).filter(|name| !name.is_empty() && !hidden));
        }
        for item in ["fn", "struct", "enum", "trait", "const", "type", "mod"] {
            if let Some(rest) = line.strip_prefix(&format!("pub {item} ")) {
                names.insert(rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect());
            }
        }
        hidden = line.starts_with("#[doc(hidden)]");
    }
    names
}

/// The names of a module and of the public modules inside it.
fn names_below(folder: &Path, module: &str) -> BTreeSet<String> {
    let file = [folder.join(module).join("mod.rs"), folder.join(format!("{module}.rs"))];
    let source = fs::read_to_string(file.iter().find(|path| path.is_file()).unwrap()).unwrap();
    let mut names = exported(&source);
    for line in source.lines() {
        if let Some(inner) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            names.extend(names_below(&folder.join(module), inner));
        }
    }
    names
}

#[test]
fn public_names_are_within_their_limit() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let root = fs::read_to_string(folder.join("lib.rs")).unwrap();
    let modules = root.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let names: BTreeSet<String> = modules.flat_map(|module| names_below(&folder, module)).collect();
    assert!(names.contains("Disjoint") && names.contains("ResetOnChange") && !names.contains("StateHeader"));
    assert_eq!(names.len(), LIMIT, "{names:?}");
}
