//! Checks the layers of each crate: a module imports only modules of lower layers.
//!
//! Two modules of one layer do not import each other; inside a folder, files may. Imports are the paths that begin with
//! `crate::`, in `use` and in code, including unit tests. A path through the crate's root, where the names for users are,
//! has no layer and is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A crate's source folder and its layers, the lowest first. A module is a folder or a file in it.
type Layers = (&'static str, &'static [&'static [&'static str]]);

const CRATES: [Layers; 6] = [
    (
        "crates/dht-bandits/src",
        &[
            &["arm"],
            &["error"],
            &["validate", "options"],
            &["clock"],
            &["arm_set"],
            &["saved_state"],
            &["gaussian", "features"],
            &["posterior", "exploration"],
            &["policy"],
            &["log"],
            &["evaluation", "simulation"],
        ],
    ),
    (
        "crates/dht-transformer/src",
        &[
            &["error"],
            &["storage"],
            &["account"],
            &["config"],
            &["tensors"],
            &["flops"],
            &["backend"],
            &["data"],
            &["pretrained"],
            &["model"],
            &["pruning"],
            &["train"],
            &["tasks"],
            &["candle"],
        ],
    ),
    (
        "crates/dht-nas/src",
        &[
            &["error"],
            &["space", "control", "latency", "loss"],
            &["relaxation", "cost"],
            &["choose"],
            &["architecture"],
            &["settings", "extract"],
            &["importance", "timed", "search"],
            &["training"],
            &["unrolled"],
        ],
    ),
    (
        "crates/dht-search/src",
        &[
            &["error"],
            &["space", "linear_model"],
            &["cost"],
            &["reward"],
            &["settings"],
            &["features"],
            &["routing"],
            &["model"],
            &["training", "evaluation"],
            &["accelerate", "baselines", "serving"],
        ],
    ),
    (
        "crates/dht-cli/src",
        &[
            &["error", "applying"],
            &["progress", "texts"],
            &["device"],
            &["exit_code", "training", "acceleration"],
            &["results", "server"],
            &["commands"],
        ],
    ),
    (
        "src",
        &[
            &["error"],
            &["record", "corpus"],
            &["fixture", "published"],
            &["figures"],
            &["tables"],
            &["readme", "output_dir"],
            &["report"],
            &["experiment"],
            &["compression", "recipe", "reproduction", "run_example"],
        ],
    ),
];

/// All `.rs` files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("an entry").path());
    let mut files = Vec::new();
    for path in entries {
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The first names of the paths in a source that begin with `prefix`, `crate::` or `super::`; without comments.
fn imported(source: &str, prefix: &str) -> Vec<String> {
    let code: String =
        source.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        // `dht_crate::` would be another name, `super::super::` is two folders up; `$crate::` is the path of a macro.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(list) => {
                let mut depth = 0;
                let mut fresh = true;
                for (at, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => fresh = true,
                        c if fresh && c.is_alphanumeric() => {
                            names.push(name(&list[at..]));
                            fresh = false;
                        }
                        _ => {}
                    }
                }
            }
            None => names.push(name(rest)),
        }
    }
    names
}

/// Every import that the layers do not allow, as a sentence.
fn violations(folder: &Path, layers: &[&[&str]]) -> Vec<String> {
    let layer: BTreeMap<&str, usize> = layers
        .iter()
        .enumerate()
        .flat_map(|(layer, modules)| modules.iter().map(move |module| (*module, layer)))
        .collect();
    let mut wrong = Vec::new();
    for file in sources(folder) {
        let path = file.strip_prefix(folder).expect("a file of the folder");
        let module = path.iter().next().expect("a name").to_string_lossy().trim_end_matches(".rs").to_owned();
        if module == "lib" || module == "main" {
            continue;
        }
        let Some(own) = layer.get(&*module) else {
            wrong.push(format!("{} is in no layer", path.display()));
            continue;
        };
        let source = std::fs::read_to_string(&file).expect("a source");
        for name in imported(&source, "crate::").into_iter().filter(|name| *name != module) {
            match layer.get(&*name) {
                None => wrong.push(format!("{} imports {name} from the crate's root", path.display())),
                Some(other) if other >= own => {
                    wrong.push(format!("{} imports {name}, which is not in a lower layer", path.display()));
                }
                _ => {}
            }
        }
    }
    wrong
}

/// Every folder below this one, itself included.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("an entry").path());
    let inner = entries.filter(|path| path.is_dir()).flat_map(|path| folders(&path));
    std::iter::once(folder.to_path_buf()).chain(inner).collect()
}

/// The files and folders of one folder that import each other in a circle, by the paths that begin with `super::`. What a
/// `mod.rs` re-exports is not followed.
fn circle(folder: &Path) -> Option<Vec<String>> {
    let mut edges: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() || ["mod", "lib", "main"].contains(&&*name) {
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("a source");
        edges.insert(name, imported(&source, "super::"));
    }
    // Files that import nothing more go one by one; those that stay are on a circle or above one.
    loop {
        let left: Vec<String> = edges.keys().cloned().collect();
        edges.retain(|_, imports| imports.iter().any(|import| left.contains(import)));
        if edges.len() == left.len() {
            return if left.is_empty() { None } else { Some(left) };
        }
    }
}

#[test]
fn no_files_of_a_folder_import_each_other_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (sources, _) in CRATES {
        for folder in folders(&root.join(sources)) {
            assert_eq!(circle(&folder), None, "{}", folder.display());
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, source: &str| std::fs::write(folder.path().join(name), source).expect("a file");
    write("mod.rs", "mod a;\nmod b;\nmod c;\npub use a::A;");
    write("a.rs", "use super::b::{B, X};\n// use super::c::C;");
    write("b.rs", "use super::{A, c::C};");
    write("c.rs", "use crate::a::A;");
    assert_eq!(circle(folder.path()), None);
    write("c.rs", "use super::a::A;");
    assert_eq!(circle(folder.path()), Some(["a", "b", "c"].map(String::from).into()));
}

#[test]
fn every_module_imports_only_lower_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wrong: Vec<String> = CRATES
        .iter()
        .flat_map(|(folder, layers)| {
            violations(&root.join(folder), layers).into_iter().map(move |line| format!("{folder}: {line}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_import_from_a_higher_or_the_same_layer_or_the_root_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, source: &str| std::fs::write(folder.path().join(name), source).expect("a file");
    std::fs::create_dir(folder.path().join("high")).expect("a folder");
    write("lib.rs", "pub use low::Thing;");
    write("low.rs", "use crate::{Thing, high::{A, B}};\n// crate::beside is only in a comment\n");
    write("beside.rs", "fn f() { crate::low::g(); }");
    write("high/mod.rs", "use crate::{\n    beside::X,\n    low::Y,\n};\n");
    write("other.rs", "use crate::beside::X;");
    write("strange.rs", "");
    let layers: &[&[&str]] = &[&["low"], &["beside", "other"], &["high"]];
    let expected = [
        "low.rs imports Thing from the crate's root",
        "low.rs imports high, which is not in a lower layer",
        "other.rs imports beside, which is not in a lower layer",
        "strange.rs is in no layer",
    ];
    assert_eq!(violations(folder.path(), layers), expected);
}
