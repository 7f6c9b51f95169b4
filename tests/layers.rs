//! Checks the layers of each crate: a module imports only modules of lower layers, and no files depend on each other in a circle.
//!
//! Two modules of one layer do not import each other; inside a folder, files may, where no circle comes of it. For circles, re-exports are
//! followed to the file that defines a name. Imports are the paths that begin with
//! `crate::`, in `use` and in code, including unit tests. A path through the crate's root, where the names for users are,
//! has no layer and is refused.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

/// A crate's source folder and its layers, the lowest first. A module is a folder or a file in it.
type Layers = (&'static str, &'static [&'static [&'static str]]);

const CRATES: [Layers; 8] = [
    (
        "crates/dht-bandits/src",
        &[
            &["arm"],
            &["error"],
            &["validate", "options"],
            &["clock", "decision"],
            &["arm_set", "log"],
            &["saved_state"],
            &["gaussian", "features"],
            &["posterior", "exploration"],
            &["policy"],
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
    ("crates/dht-toys/src", &[&["data", "outside"], &["models"], &["training"], &["planted", "reviews"]]),
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
        "crates/dht-dynamic/src",
        &[
            &["error"],
            &["route", "logistic", "log_probabilities"],
            &["full_model", "prediction", "saved_encoder"],
            &["exit"],
            &["router"],
            &["model"],
            &["evaluation", "training"],
            &["accelerate", "serving"],
            &["ladder"],
        ],
    ),
    (
        "crates/dht-search/src",
        &[
            &["error"],
            &["space"],
            &["cost"],
            &["reward"],
            &["settings"],
            &["features"],
            &["routing"],
            &["model"],
            &["training", "evaluation"],
            &["baselines"],
        ],
    ),
    (
        "crates/dht-cli/src",
        &[
            &["error", "applying"],
            &["progress", "texts"],
            &["device"],
            &["exit_code", "training", "acceleration"],
            &["results", "server", "partitions"],
            &["commands"],
        ],
    ),
    (
        "src",
        &[
            &["error"],
            &["record", "generated_texts"],
            &["fixture", "published"],
            &["figures"],
            &["tables"],
            &["marked"],
            &["report"],
            &["experiment"],
            &["compression", "reproduction"],
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

/// The leaves of the tree of a `use`: `a::{b, c::{d as e}}` has `a::b` and `a::c::d as e`.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else { return vec![tree.to_owned()] };
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[from..]);
    let prefix = &tree[..open];
    parts
        .into_iter()
        .filter(|part| !part.trim().is_empty())
        .flat_map(leaves)
        .map(|leaf| format!("{prefix}{leaf}"))
        .collect()
}

/// A path of a crate from its root, without `crate`.
type Name = Vec<String>;

/// The files of a crate as modules, with their code: no comments, no unit tests.
struct Modules(BTreeMap<Name, String>);

impl Modules {
    fn of(folder: &Path) -> Self {
        let mut modules = BTreeMap::new();
        for file in sources(folder) {
            let path = file.strip_prefix(folder).expect("a file of the folder").with_extension("");
            let mut name: Name = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if name.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
                name.pop();
            }
            if name.last().is_some_and(|last| last.ends_with("tests")) {
                continue;
            }
            let source = std::fs::read_to_string(&file).expect("a source");
            let code: String =
                source.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect();
            let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
            modules.insert(name, code);
        }
        Self(modules)
    }

    /// The trees of all `use` lines of a module that no test alone has, each with whether it re-exports.
    fn uses(&self, module: &Name) -> Vec<(bool, String)> {
        let mut found = Vec::new();
        let mut rest = self.0[module].as_str();
        while let Some(at) = rest.find("use ") {
            let before = &rest[..at];
            let line = before.rfind('\n').map_or(before, |line| &before[line + 1..]);
            let end = rest[at..].find(';').map_or(rest.len(), |end| at + end);
            let visible = line.trim_start();
            let of_tests = before.trim_end_matches(line).trim_end().ends_with("#[cfg(test)]");
            if (visible.is_empty() || visible.starts_with("pub")) && !of_tests {
                let tree = rest[at + 4..end].split_whitespace().collect::<Vec<_>>().join(" ");
                found.push((visible.starts_with("pub"), tree));
            }
            rest = &rest[(at + 4).min(rest.len())..];
        }
        found
    }

    /// A path as written in a module, from the crate's root; `None` for one of another crate.
    fn absolute(&self, module: &Name, path: &str) -> Option<Name> {
        let parts: Vec<String> = path.split("::").map(|part| part.trim().to_owned()).collect();
        let first = parts[0].as_str();
        if first == "crate" {
            return Some(parts[1..].to_vec());
        }
        let ups = parts.iter().take_while(|part| *part == "super").count();
        let rest = if first == "self" { 1 } else { ups };
        let mut child = module.clone();
        child.push(parts[0].clone());
        if rest == 0 && !self.0.contains_key(&child) {
            return None;
        }
        let base = &module[..module.len().checked_sub(ups)?];
        Some([base, &parts[rest..]].concat())
    }

    /// Re-exports of each module, by their names there.
    fn re_exports(&self) -> BTreeMap<(Name, String), Name> {
        let mut found = BTreeMap::new();
        for module in self.0.keys() {
            for (_, tree) in self.uses(module).into_iter().filter(|(public, _)| *public) {
                for leaf in leaves(&tree) {
                    let (path, alias) =
                        leaf.split_once(" as ").unwrap_or((&leaf, leaf.rsplit("::").next().unwrap_or_default()));
                    if let Some(target) = self.absolute(module, path) {
                        found.insert((module.clone(), alias.to_owned()), target);
                    }
                }
            }
        }
        found
    }

    /// The module that defines what a path names.
    fn defining(&self, mut path: Name, re_exports: &BTreeMap<(Name, String), Name>) -> Option<Name> {
        for _ in 0..16 {
            let depth = (0..=path.len()).rev().find(|depth| self.0.contains_key(&path[..*depth]))?;
            let module = path[..depth].to_vec();
            let Some(next) = path.get(depth) else { return Some(module) };
            match re_exports.get(&(module.clone(), next.clone())) {
                Some(target) => path = [target, &path[depth + 1..]].concat(),
                None => return Some(module),
            }
        }
        None
    }

    /// Which modules each module depends on. A `mod.rs` that only declares and re-exports depends on nothing.
    fn graph(&self) -> BTreeMap<Name, Vec<Name>> {
        let re_exports = self.re_exports();
        let mut graph = BTreeMap::new();
        for (module, code) in &self.0 {
            let mut paths: Vec<Name> = Vec::new();
            for (public, tree) in self.uses(module) {
                if !(public && only_declares(code)) {
                    paths.extend(
                        leaves(&tree)
                            .iter()
                            .filter_map(|leaf| self.absolute(module, leaf.split(" as ").next().unwrap_or_default())),
                    );
                }
            }
            for prefix in ["crate::", "super::"] {
                for (at, _) in code.match_indices(prefix) {
                    let before = code[..at].chars().next_back();
                    if !before.is_some_and(|c| c.is_alphanumeric() || "_:$".contains(c)) {
                        let end = code[at..].find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
                        let path = code[at..end.map_or(code.len(), |end| at + end)].trim_end_matches(':');
                        paths.extend(self.absolute(module, path));
                    }
                }
            }
            let mut used: Vec<Name> = paths.into_iter().filter_map(|path| self.defining(path, &re_exports)).collect();
            used.sort();
            used.dedup();
            used.retain(|other| other != module);
            graph.insert(module.clone(), used);
        }
        graph
    }
}

/// Returns whether a source has `mod` and `use` lines alone.
fn only_declares(code: &str) -> bool {
    let statements = code.split(';').map(str::trim).filter(|statement| !statement.is_empty());
    let mut statements = statements.map(|statement| {
        let mut statement = statement;
        while let Some(rest) = statement.strip_prefix("#[").or_else(|| statement.strip_prefix("#![")) {
            statement = rest.split_once(']').map_or("", |(_, rest)| rest).trim();
        }
        statement.split_whitespace().find(|word| !word.starts_with("pub")).unwrap_or_default().to_owned()
    });
    statements.all(|word| ["mod", "use", ""].contains(&word.as_str()))
}

/// The modules that depend on each other in a circle, re-exports followed.
fn circles(folder: &Path) -> Vec<String> {
    let mut graph = Modules::of(folder).graph();
    // Modules that depend on nothing more go one by one, and so do those that nothing depends on.
    loop {
        let before = graph.len();
        let left: Vec<Name> = graph.keys().cloned().collect();
        graph.retain(|_, used| used.iter().any(|other| left.contains(other)));
        let used: Vec<Name> = graph.values().flatten().cloned().collect();
        graph.retain(|module, _| used.contains(module));
        if graph.len() == before {
            return graph.keys().map(|module| module.join("/")).collect();
        }
    }
}

/// Files that still depend on each other in circles, by crate: a list to be shortened. Crates that are not in it have none.
const KNOWN: &[(&str, usize)] = &[];

/// Number of files of each crate that `find` returns, without the crates that have none.
fn counted<T: Debug>(find: impl Fn(&Path) -> Vec<T>) -> Vec<(&'static str, usize)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut counts = Vec::new();
    for (folder, _) in CRATES {
        let found = find(&root.join(folder));
        if !found.is_empty() {
            println!("{folder}: {found:?}");
            counts.push((folder, found.len()));
        }
    }
    counts
}

#[test]
fn no_files_depend_on_each_other_in_a_circle() {
    assert_eq!(counted(circles), KNOWN);
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, source: &str| std::fs::write(folder.path().join(name), source).expect("a file");
    std::fs::create_dir(folder.path().join("d")).expect("a folder");
    write("lib.rs", "mod a;\nmod b;\nmod d;\npub use a::A;");
    write("a.rs", "use crate::b::{B, X};\n// use crate::d::C;");
    write("b.rs", "use crate::d::{C as D};");
    write("d/mod.rs", "mod c;\n#[cfg(test)]\nmod tests;\n\npub use c::C;");
    write("d/c.rs", "pub struct C;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}");
    write("d/tests.rs", "use crate::a::A;");
    assert_eq!(circles(folder.path()), [""; 0]);
    // Through what `d` re-exports, and what the root does.
    write("d/c.rs", "use crate::A;\npub struct C;");
    assert_eq!(circles(folder.path()), ["a", "b", "d/c"]);
    write("d/c.rs", "pub struct C(crate::A);");
    assert_eq!(circles(folder.path()), ["a", "b", "d/c"]);
}

/// Folders whose `mod.rs` still has more than `mod` and `pub use`, by crate: a list to be shortened.
const FULL: &[(&str, usize)] = &[];

#[test]
fn a_folder_is_declared_in_one_file_and_defined_in_others() {
    let full = |file: &PathBuf| {
        let source = std::fs::read_to_string(file).expect("a source");
        let lines = source.lines().map(|line| line.split("//").next().unwrap_or_default());
        file.ends_with("mod.rs") && !only_declares(&lines.collect::<Vec<_>>().join("\n"))
    };
    assert_eq!(counted(|folder| sources(folder).into_iter().filter(full).collect()), FULL);
    assert!(only_declares("mod a;\n#[cfg(test)]\nmod tests;\npub(crate) use a::{A, B};\n"));
    assert!(!only_declares("mod a;\nfn f() {}\n") && !only_declares("mod a;\nstruct S;\n"));
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
fn imports_from_a_higher_or_the_same_layer_or_root_are_detected() {
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
