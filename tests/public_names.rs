//! Limits the number of public names in each crate, so that the catalogue stays short.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Number of public names of each crate. Lower it when a name is removed; explain in the commit why it is raised.
const LIMITS: [(&str, usize); 6] =
    [("bandits", 114), ("transformer", 136), ("dynamic", 119), ("search", 74), ("nas", 35), ("cli", 14)];

/// Names that a module's source exports by `pub use` and by its own items, and its public modules.
fn exported(source: &str) -> (BTreeSet<String>, Vec<String>) {
    let code: Vec<&str> = source.lines().map(|line| line.split("//").next().unwrap_or_default().trim_end()).collect();
    let (mut names, mut modules, mut hidden) = (BTreeSet::new(), Vec::new(), false);
    let mut statements = code.iter();
    while let Some(line) = statements.next() {
        let mut statement = (*line).to_owned();
        if statement.starts_with("pub use ") {
            while !statement.contains(';') {
                statement.push_str(statements.next().unwrap());
            }
            let path = statement.trim_start_matches("pub use ").trim_end_matches(';');
            let list = path.split_once('{').map_or(path, |(_, list)| list.trim_end_matches('}'));
            let last =
                |item: &str| item.rsplit("::").next().unwrap_or_default().trim_matches([' ', '{', '}']).to_owned();
            // A crate that is re-exported whole adds no names of this crate.
            names
                .extend(list.split(',').map(last).filter(|name| !name.is_empty() && !hidden && !name.contains(" as ")));
        }
        for item in ["fn", "struct", "enum", "trait", "const", "type"] {
            if let Some(rest) = line.strip_prefix(&format!("pub {item} ")).filter(|_| !hidden) {
                names.insert(rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect());
            }
        }
        modules.extend(line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')).map(str::to_owned));
        hidden = line.starts_with("#[doc(hidden)]");
    }
    (names, modules)
}

/// Public names of a source and of the modules below it, each with the modules that export it.
fn names_of(folder: &Path, file: &Path, module: &str) -> BTreeMap<String, Vec<String>> {
    let (names, modules) = exported(&fs::read_to_string(file).unwrap());
    let mut exports: BTreeMap<String, Vec<String>> =
        names.into_iter().map(|name| (name, vec![module.to_owned()])).collect();
    for inner in modules {
        let files = [folder.join(&inner).join("mod.rs"), folder.join(format!("{inner}.rs"))];
        let file = files.iter().find(|path| path.is_file()).unwrap();
        for (name, modules) in names_of(&folder.join(&inner), file, &format!("{module}::{inner}")) {
            exports.entry(name).or_default().extend(modules);
        }
    }
    exports
}

fn names_of_crate(name: &str) -> BTreeMap<String, Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("crates/dht-{name}/src"));
    names_of(&folder, &folder.join("lib.rs"), "crate")
}

#[test]
fn public_names_are_within_their_limits() {
    for (name, limit) in LIMITS {
        let names = names_of_crate(name);
        assert_eq!(names.len(), limit, "dht-{name}: {:?}", names.keys());
    }
}

#[test]
fn a_public_name_has_one_path() {
    for (name, _) in LIMITS {
        let twice: Vec<_> = names_of_crate(name).into_iter().filter(|(_, modules)| modules.len() > 1).collect();
        assert!(twice.is_empty(), "dht-{name}: {twice:?}");
    }
}

#[test]
fn names_of_a_source_are_read() {
    let source = "pub mod inner;\nmod own;\npub use own::{A, inner::{b, e}};\n#[doc(hidden)]\npub use own::C;\npub use other as it;\npub fn d() {}\n";
    let (names, modules) = exported(source);
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["A", "b", "d", "e"]);
    assert_eq!(modules, ["inner"]);
}
