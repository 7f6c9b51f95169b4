//! Checks the module maps of the crates and the layers that they state. A module imports only modules of lower layers,
//! and files have no circular dependencies.
//!
//! The map is the section [`HEADING`] of `ARCHITECTURE.md`. Each module is listed there, each module listed exists, and
//! each public module is in the tour of its crate's `lib.rs`. Two modules of one layer do not import each other. Files
//! inside of a folder may, if there is no circle. For circles, re-exports are followed to the file that defines a name.
//! Imports are the paths that begin with `crate::`, in `use` and in code, including unit tests. A path through the
//! crate's root, which exports names for users, has no layer and is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::{Path, PathBuf};

/// Modules of a crate by layer, the lowest first. A module is a folder or a file in the crate's source folder.
type Layers = Vec<Vec<String>>;

/// Heading of the section of `ARCHITECTURE.md` that has a table of modules for each crate.
const HEADING: &str = "## Modules, by layer";

/// Root of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Text of a file of the workspace.
fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).expect("a page")
}

/// Parts of a text between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// First cells of the rows of a Markdown table's lines, without its heading.
fn first_cells<'a>(lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    lines.filter_map(|line| line.strip_prefix("| ")?.split('|').next()).filter(|cell| cell.contains('`'))
}

/// Layers of each crate, as the page lists them, by the crate's name.
fn maps(page: &str) -> BTreeMap<String, Layers> {
    let section = page.split(HEADING).nth(1).expect("the section of modules");
    let section = section.split("\n## ").next().unwrap_or_default();
    let crates = section.split("\n### ").skip(1).map(|part| {
        let (name, rows) = part.split_once('\n').unwrap_or((part, ""));
        let layers = first_cells(rows.lines()).map(|cell| quoted(cell).map(str::to_owned).collect()).collect();
        (name.trim().trim_matches('`').to_owned(), layers)
    });
    crates.collect()
}

/// Source folder of each crate, by the crate's name. The root package is the lab.
fn folders() -> BTreeMap<String, PathBuf> {
    let crates = std::fs::read_dir(root().join("crates")).expect("the crates").map(|entry| entry.expect("an entry"));
    let mut folders: BTreeMap<String, PathBuf> =
        crates.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path().join("src"))).collect();
    folders.insert("dht-lab".to_owned(), root().join("src"));
    folders
}

/// Source folder and layers of each crate.
fn crates() -> Vec<(String, PathBuf, Layers)> {
    let mut maps = maps(&page("ARCHITECTURE.md"));
    let crates = folders().into_iter().map(|(name, folder)| {
        let layers = maps.remove(&name).unwrap_or_default();
        (name, folder, layers)
    });
    let crates = crates.collect();
    assert!(maps.is_empty(), "ARCHITECTURE.md lists crates that do not exist: {:?}", maps.keys());
    crates
}

/// Modules in a source folder.
fn modules(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("an entry").path());
    let stems = entries.filter(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "rs"));
    let names = stems.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    names.filter(|name| name != "lib" && name != "main").collect()
}

/// Differences between the modules in a folder and those that a map lists, as sentences.
fn stale(folder: &Path, layers: &Layers) -> Vec<String> {
    let present = modules(folder);
    let mut listed = BTreeSet::new();
    let mut wrong = Vec::new();
    for module in layers.iter().flatten() {
        if !listed.insert(module.clone()) {
            wrong.push(format!("{module} is listed twice"));
        }
    }
    wrong.extend(present.difference(&listed).map(|module| format!("{module} is not listed")));
    wrong.extend(listed.difference(&present).map(|module| format!("{module} is listed, and does not exist")));
    wrong
}

/// Differences between the tour at the start of a `lib.rs` and the modules of its folder, as sentences.
///
/// The tour names each public module in backticks. Where it has a table with the heading "module", the table lists all
/// public modules or, if it lists a private one, all modules.
fn lost_on_tour(source: &str, folder: &Path) -> Vec<String> {
    let tour: Vec<&str> = source.lines().filter_map(|line| line.strip_prefix("//!").map(str::trim_start)).collect();
    let public: BTreeSet<String> = source
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ").map(|rest| rest.trim_end_matches(';').to_owned()))
        .collect();
    let text = tour.join(" ");
    let names = |module: &String| quoted(&text).any(|path| path.split("::").next() == Some(module));
    let mut wrong: Vec<String> =
        public.iter().filter(|module| !names(module)).map(|module| format!("{module} is not in the tour")).collect();
    let table = tour.iter().skip_while(|line| !line.starts_with("| module |")).take_while(|line| line.starts_with('|'));
    let listed: BTreeSet<String> = first_cells(table.copied()).flat_map(quoted).map(str::to_owned).collect();
    let expected = if listed.is_subset(&public) { public } else { modules(folder) };
    if !listed.is_empty() {
        let missing = expected.difference(&listed).map(|module| format!("{module} is not in the tour's table"));
        let gone = listed.difference(&expected).map(|module| format!("{module} is in the tour, and does not exist"));
        wrong.extend(missing.chain(gone));
    }
    wrong
}

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

/// First names of the paths in a source that begin with `prefix`, `crate::` or `super::`. Comments are ignored.
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

/// Imports that the layers do not allow, as sentences.
fn violations(folder: &Path, layers: &Layers) -> Vec<String> {
    let layer: BTreeMap<&str, usize> = layers
        .iter()
        .enumerate()
        .flat_map(|(layer, modules)| modules.iter().map(move |module| (module.as_str(), layer)))
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

/// Leaves of a `use` tree: `a::{b, c::{d as e}}` has `a::b` and `a::c::d as e`.
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

/// Path in a crate from its root, without `crate`.
type Name = Vec<String>;

/// Files of a crate as modules, with their code, but without comments and unit tests.
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

    /// Trees of a module's `use` lines outside of tests. The flag says whether the line re-exports.
    fn uses(&self, module: &Name) -> Vec<(bool, String)> {
        let mut uses = Vec::new();
        let mut rest = self.0[module].as_str();
        while let Some(at) = rest.find("use ") {
            let before = &rest[..at];
            let line = before.rfind('\n').map_or(before, |line| &before[line + 1..]);
            let end = rest[at..].find(';').map_or(rest.len(), |end| at + end);
            let visible = line.trim_start();
            let of_tests = before.trim_end_matches(line).trim_end().ends_with("#[cfg(test)]");
            if (visible.is_empty() || visible.starts_with("pub")) && !of_tests {
                let tree = rest[at + 4..end].split_whitespace().collect::<Vec<_>>().join(" ");
                uses.push((visible.starts_with("pub"), tree));
            }
            rest = &rest[(at + 4).min(rest.len())..];
        }
        uses
    }

    /// Resolves a path in a module to a path from the crate's root; `None` for a path of another crate.
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
        let mut targets = BTreeMap::new();
        for module in self.0.keys() {
            for (_, tree) in self.uses(module).into_iter().filter(|(public, _)| *public) {
                for leaf in leaves(&tree) {
                    let (path, alias) =
                        leaf.split_once(" as ").unwrap_or((&leaf, leaf.rsplit("::").next().unwrap_or_default()));
                    if let Some(target) = self.absolute(module, path) {
                        targets.insert((module.clone(), alias.to_owned()), target);
                    }
                }
            }
        }
        targets
    }

    /// Module that defines the item of a path.
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

    /// Modules that each module depends on. A `mod.rs` that only declares and re-exports depends on nothing.
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

/// Returns whether a source has only `mod` and `use` lines.
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

/// Modules that depend on each other in a circle. Re-exports are followed.
fn circles(folder: &Path) -> Vec<String> {
    let mut graph = Modules::of(folder).graph();
    // Modules without dependencies, and modules that nothing depends on, are removed one by one.
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

/// Number of files of each crate that `find` returns, without the crates that have none.
fn counted<T: Debug>(find: impl Fn(&Path) -> Vec<T>) -> Vec<(String, usize)> {
    let mut counts = Vec::new();
    for (name, folder) in folders() {
        let files = find(&folder);
        if !files.is_empty() {
            println!("{name}: {files:?}");
            counts.push((name, files.len()));
        }
    }
    counts
}

/// Temporary folder of planted sources, removed when it is dropped.
struct Planted(PathBuf);

impl Planted {
    /// Creates an empty folder, named after its test.
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("layers-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn write(&self, name: &str, source: &str) {
        let file = self.0.join(name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        std::fs::write(file, source).expect("a file");
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("a folder");
    }
}

/// Creates layers from module names.
fn layers(names: &[&[&str]]) -> Layers {
    names.iter().map(|layer| layer.iter().map(|name| (*name).to_owned()).collect()).collect()
}

#[test]
fn maps_and_tours_list_the_modules_that_exist() {
    let mut wrong = Vec::new();
    for (name, folder, layers) in crates() {
        wrong.extend(stale(&folder, &layers).into_iter().map(|line| format!("ARCHITECTURE.md, {name}: {line}")));
        let source = std::fs::read_to_string(folder.join("lib.rs")).expect("a source");
        wrong.extend(lost_on_tour(&source, &folder).into_iter().map(|line| format!("lib.rs of {name}: {line}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_stale_map_is_detected() {
    let planted = Planted::new("map");
    let table = "| modules | contents |\n|---|---|\n| `low`, `beside` | `text` |\n| `gone` | |\n| `low` | |\n";
    let maps = maps(&format!(
        "# Page\n\n| `a` | b |\n\n{HEADING}\n\n### `one`\n\n{table}\n### `two`\n\n## End\n\n| `c` | d |\n"
    ));
    let one = layers(&[&["low", "beside"], &["gone"], &["low"]]);
    assert_eq!(maps, BTreeMap::from([("one".to_owned(), one.clone()), ("two".to_owned(), layers(&[]))]));
    for file in ["lib.rs", "main.rs", "low.rs", "low/part.rs", "beside/mod.rs", "new.rs"] {
        planted.write(file, "");
    }
    let expected = ["low is listed twice", "new is not listed", "gone is listed, and does not exist"];
    assert_eq!(stale(&planted.0, &one), expected);
    assert_eq!(stale(&planted.0, &layers(&[&["low", "beside"], &["new"]])), [""; 0]);
}

#[test]
fn a_stale_tour_is_detected() {
    let planted = Planted::new("tour");
    for file in ["lib.rs", "low.rs", "beside.rs", "hidden.rs"] {
        planted.write(file, "");
    }
    let lost = |tour: &str| lost_on_tour(&format!("{tour}\npub mod low;\npub mod beside;\nmod hidden;"), &planted.0);
    assert_eq!(lost("//! [`low`] and [`beside::Thing`](x)."), [""; 0]);
    assert_eq!(lost("//! [`low`] and beside, `crate::beside` and `besides`."), ["beside is not in the tour"]);
    let table =
        |rows: &str| lost(&format!("//! `low`, `beside`\n//!\n//! | module | content |\n//! |---|---|\n{rows}"));
    assert_eq!(table("//! | [`low`] | `hidden` |\n//! | [`beside`] | |"), [""; 0]);
    assert_eq!(table("//! | [`low`] | |"), ["beside is not in the tour's table"]);
    assert_eq!(table("//! | `low`, `hidden` | |"), ["beside is not in the tour's table"]);
    assert_eq!(
        table("//! | `low`, `beside`, `hidden`, `gone` | |\n//!\n//! | [`other`] | |"),
        ["gone is in the tour, and does not exist"]
    );
}

/// Files and folders of the workspace, by their paths from the root.
fn paths(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let name = entry.file_name();
        if ![".git", "target", "shared"].iter().any(|left_out| name == *left_out) {
            let path = entry.path();
            if path.is_dir() {
                files.extend(paths(&path));
            }
            files.push(path);
        }
    }
    files
}

/// Paths in backticks of a page that do not exist in the workspace, even as the end of a path. A path contains a slash
/// or ends with `.rs`. Names with capital letters, such as `NAME.rs`, and patterns are placeholders and are ignored.
fn dead_paths(page: &str, paths: &[PathBuf]) -> Vec<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-./".contains(c);
    let prose: Vec<&str> = page.split("```").step_by(2).collect();
    let dead = prose.iter().flat_map(|part| quoted(part)).filter(|path| {
        path.chars().all(plain)
            && (path.trim_end_matches('/').contains('/') || path.ends_with(".rs"))
            && !paths.iter().any(|other| other.ends_with(path.trim_end_matches('/')))
    });
    dead.map(str::to_owned).collect()
}

#[test]
fn every_script_is_on_a_page() {
    let pages = page("CONTRIBUTING.md") + &page("scripts/README.md");
    let scripts = std::fs::read_dir(root().join("scripts")).expect("the scripts").map(|entry| entry.expect("an entry"));
    let names =
        scripts.filter(|entry| entry.path().is_file()).map(|entry| entry.file_name().to_string_lossy().into_owned());
    // Names with a dot are parts of a script, or reference data.
    let unlisted = names.filter(|name| !name.contains('.') && !pages.contains(&format!("`scripts/{name}")));
    assert_eq!(unlisted.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn the_paths_that_pages_name_exist() {
    let paths = paths(root());
    for name in ["ARCHITECTURE.md", "CONTRIBUTING.md", "scripts/README.md"] {
        assert_eq!(dead_paths(&page(name), &paths), [""; 0], "{name}");
    }
    let planted = "`tests/layers.rs`, `layers.rs`, `src/` and `crates/dht-cli/src/`; `tests/gone.rs`, `gone/folder/`, \
        `ayers.rs`, `gone.rs`, `NAME/one.rs`, `gone`, `a/b c`\n```sh\n`gone/in/code`\n```\n`last/gone.rs`";
    let dead = ["tests/gone.rs", "gone/folder/", "ayers.rs", "gone.rs", "last/gone.rs"];
    assert_eq!(dead_paths(planted, &paths), dead);
}

#[test]
fn no_files_depend_on_each_other_in_a_circle() {
    assert_eq!(counted(circles), []);
    let planted = Planted::new("circles");
    let write = |name: &str, source: &str| planted.write(name, source);
    write("lib.rs", "mod a;\nmod b;\nmod d;\npub use a::A;");
    write("a.rs", "use crate::b::{B, X};\n// use crate::d::C;");
    write("b.rs", "use crate::d::{C as D};");
    write("d/mod.rs", "mod c;\n#[cfg(test)]\nmod tests;\n\npub use c::C;");
    write("d/c.rs", "pub struct C;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}");
    write("d/tests.rs", "use crate::a::A;");
    assert_eq!(circles(&planted.0), [""; 0]);
    // The imports go through re-exports of `d`, and of the root.
    write("d/c.rs", "use crate::A;\npub struct C;");
    assert_eq!(circles(&planted.0), ["a", "b", "d/c"]);
    write("d/c.rs", "pub struct C(crate::A);");
    assert_eq!(circles(&planted.0), ["a", "b", "d/c"]);
}

#[test]
fn a_folder_is_declared_in_one_file_and_defined_in_others() {
    let full = |file: &PathBuf| {
        let source = std::fs::read_to_string(file).expect("a source");
        let lines = source.lines().map(|line| line.split("//").next().unwrap_or_default());
        file.ends_with("mod.rs") && !only_declares(&lines.collect::<Vec<_>>().join("\n"))
    };
    assert_eq!(counted(|folder| sources(folder).into_iter().filter(full).collect()), []);
    assert!(only_declares("mod a;\n#[cfg(test)]\nmod tests;\npub(crate) use a::{A, B};\n"));
    assert!(!only_declares("mod a;\nfn f() {}\n") && !only_declares("mod a;\nstruct S;\n"));
}

#[test]
fn every_module_imports_only_lower_layers() {
    let wrong: Vec<String> = crates()
        .iter()
        .flat_map(|(name, folder, layers)| {
            violations(folder, layers).into_iter().map(move |line| format!("{name}: {line}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_from_a_higher_or_the_same_layer_or_root_are_detected() {
    let planted = Planted::new("imports");
    let write = |name: &str, source: &str| planted.write(name, source);
    write("lib.rs", "pub use low::Thing;");
    write("low.rs", "use crate::{Thing, high::{A, B}};\n// crate::beside is only in a comment\n");
    write("beside.rs", "fn f() { crate::low::g(); }");
    write("high/mod.rs", "use crate::{\n    beside::X,\n    low::Y,\n};\n");
    write("other.rs", "use crate::beside::X;");
    write("strange.rs", "");
    let layers = layers(&[&["low"], &["beside", "other"], &["high"]]);
    let expected = [
        "low.rs imports Thing from the crate's root",
        "low.rs imports high, which is not in a lower layer",
        "other.rs imports beside, which is not in a lower layer",
        "strange.rs is in no layer",
    ];
    assert_eq!(violations(&planted.0, &layers), expected);
}
