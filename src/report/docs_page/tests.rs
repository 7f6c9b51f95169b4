use super::*;
use crate::fixture;
use crate::record::ModelRecord;

fn records() -> [ReproductionRecord; 3] {
    let named = |name: &str| {
        let mut record = fixture::reproduction();
        record.data.name = name.into();
        record
    };
    [named("ag_news"), named("IMDB"), named("ag_news")]
}

#[test]
fn rewriting_a_page_keeps_its_prose_and_is_idempotent() {
    let page = format!("# Reproduction\n\nprose\n\n{REPRODUCTION_START}\nold\n{REPRODUCTION_END}\n\nmore prose\n");
    let once = with_reproduction(&page, &records()).unwrap();
    assert!(once.starts_with("# Reproduction\n\nprose\n\n") && once.ends_with("\n\nmore prose\n"));
    assert!(!once.contains("\nold\n"));
    assert_eq!(with_reproduction(&once, &records()).unwrap(), once);
    assert!(matches!(with_reproduction("no markers", &records()), Err(Error::Markers { .. })));
}

#[test]
fn the_page_has_all_rows_findings_and_notes_of_every_record() {
    let (page, folder) = (reproduction_page(&records()), tempfile::tempdir().unwrap());
    assert_eq!(page.matches("\n## ").count(), 4);
    let written = write_reproduction_pages(&records(), folder.path()).unwrap();
    let pages: Vec<String> = written.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for (path, name) in written.iter().zip(folders(&records())) {
        assert!(path.ends_with(format!("{name}.md")) && page.contains(&format!("](reproduction/{name}.md)")), "{name}");
    }
    for (index, record) in records().iter().enumerate() {
        for finding in findings(record) {
            assert!(page.contains(&markdown_text(&finding)), "{index}: {finding}");
        }
        for row in &record.rows {
            let cells = format!("| {} | {} |", markdown_text(&row.method), markdown_text(&row.setting));
            assert!(pages[index].matches(&cells).count() >= 2, "{cells}");
        }
    }
    for text in ["withdrawn by an author in January 2024", "Made-up CPU &lt;1&gt;, 2 threads", "backbone of 12 layers"]
    {
        assert!(page.contains(text) || pages.iter().all(|page| page.contains(text)), "{text}");
    }
    assert!(!page.contains("<script") && !pages.concat().contains("<script"));
}

#[test]
fn every_figure_that_the_page_names_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let written = write_reproduction_figures(&records(), folder.path()).unwrap();
    let pages = write_reproduction_pages(&records(), folder.path()).unwrap();
    let pages: String = pages.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let named: Vec<&str> =
        pages.split(&format!("](../{FIGURES}/")).skip(1).map(|part| part.split(')').next().unwrap()).collect();
    assert_eq!(named.len(), written.len());
    for name in named {
        assert!(written.contains(&folder.path().join(name)), "{name}");
    }
    assert_eq!(folders(&records()), ["ag_news", "imdb", "ag_news_2"]);
    let mut sized = records();
    sized[2].model = ModelRecord { layers: 12, heads: 12, hidden: 96, ..sized[2].model };
    assert_eq!(folders(&sized), ["ag_news", "imdb", "ag_news_12x12x96"]);
}

#[test]
fn a_second_record_of_a_data_set_is_named_by_its_new_methods() {
    let mut records = records();
    assert_eq!(titles(&records), ["ag_news", "IMDB", "ag_news"]);
    records[2].rows[1].method = "truncation, distilled".into();
    records[2].rows[2].method = "FastBERT, again".into();
    assert_eq!(titles(&records), ["ag_news", "IMDB", "ag_news: truncation, distilled; FastBERT, again"]);
    records[2].model = ModelRecord { layers: 12, heads: 12, hidden: 96, ..records[2].model };
    assert_eq!(titles(&records), ["ag_news", "IMDB", "ag_news, 12 layers of 12 heads, width 96"]);
}
