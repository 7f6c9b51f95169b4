//! Checks that `docs/papers.md` lists the deviations of `deviations()`, and names existing tests and settings.

use std::collections::BTreeSet;
use std::path::Path;

use dht_search::settings::{Experiment, PublishedDataset};
use dht_search::{Preset, SearchSettings, SearchSpace};
use dht_search::{SpaceConfig, space::SevenLayerHeads};

const START: &str = "<!-- deviations -->\n";
const END: &str = "<!-- /deviations -->\n";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/papers.md")).expect("the page")
}

/// Deviations of the four configurations as published, each once.
fn published() -> Vec<String> {
    let experiment = Experiment::published(PublishedDataset::AgNews);
    let mut lines = Vec::new();
    for preset in Preset::ALL {
        let config: SpaceConfig = preset.config(12, 12, SevenLayerHeads::AsPublished).expect("a preset");
        let space = SearchSpace::new(config).expect("a space");
        for line in SearchSettings::paper().deviations(&space, &experiment) {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    lines
}

/// Writes the list to the page if `DHT_WRITE_PAGES` is set.
#[test]
fn the_page_lists_the_deviations() {
    let page = page();
    let (before, rest) = page.split_once(START).expect("the start of the list");
    let (list, after) = rest.split_once(END).expect("the end of the list");
    let expected: String = published().iter().map(|line| format!("- {line}\n")).collect();
    if std::env::var_os("DHT_WRITE_PAGES").is_some() {
        std::fs::write(root().join("docs/papers.md"), format!("{before}{START}{expected}{END}{after}"))
            .expect("to write");
    } else {
        assert_eq!(list, expected, "run this test with DHT_WRITE_PAGES=1");
    }
}

/// Names in backticks of the last column.
fn named_tests(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| section"));
    let last = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let names = last.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned);
    names.collect()
}

fn functions(folder: &Path, all: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            functions(&entry, all);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&entry).expect("a source file");
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            all.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn every_test_that_the_page_names_exists() {
    let mut known = BTreeSet::new();
    for folder in ["crates", "src", "tests"] {
        functions(&root().join(folder), &mut known);
    }
    let named = named_tests(&page());
    assert!(named.len() > 20, "{named:?}");
    let missing: Vec<&String> = named.difference(&known).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_setting_that_differs_from_the_papers_is_named() {
    let [ours, papers] = [SearchSettings::default(), SearchSettings::paper()]
        .map(|settings| serde_json::to_value(settings).expect("settings are JSON"));
    let page = page();
    let (ours, papers) = (ours.as_object().expect("fields"), papers.as_object().expect("fields"));
    let names: BTreeSet<&String> = ours.keys().chain(papers.keys()).collect();
    let missing: Vec<&&String> = names
        .iter()
        .filter(|name| ours.get(**name) != papers.get(**name) && !page.contains(&format!("`{name}")))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
