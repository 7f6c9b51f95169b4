use std::path::PathBuf;

use crate::fixture;
use crate::record::{ReproductionRecord, RowGroup, RowRecord, Summary};
use crate::report::{html::escaped, page::reproduction_report, write_reproduction};

fn page(record: &ReproductionRecord) -> String {
    reproduction_report(record).unwrap()
}

#[test]
fn texts_from_outside_are_shown_and_never_run() {
    assert_eq!(escaped("<a b=\"c\">&'"), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
    let html = page(&fixture::reproduction());
    for text in ["<script", "<ag_news>", "CPU <1>", "<hidden>", "<kept>"] {
        assert!(!html.contains(text), "{text}");
    }
    for text in
        ["&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;hidden&gt; &amp; &quot;small&quot;", "pinned &amp; &lt;kept&gt;"]
    {
        assert!(html.contains(text), "{text}");
    }
}

#[test]
fn every_row_is_in_both_tables_with_its_reason_where_it_failed() {
    let record = fixture::reproduction();
    let html = page(&record);
    for (index, row) in record.rows.iter().enumerate() {
        let lines: Vec<&str> =
            html.lines().filter(|line| line.starts_with(&format!("<tr data-row=\"{index}\""))).collect();
        assert_eq!(lines.len(), 2, "{index}");
        for line in lines {
            assert!(line.contains(&escaped(&row.method)) && line.contains(&escaped(&row.setting)), "{line}");
            assert!(row.failed.values().all(|reason| line.contains(&escaped(reason))), "{line}");
            assert_eq!(line.contains("class=\"failed\""), row.seeds.is_empty(), "{line}");
        }
    }
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    let html = page(&fixture::reproduction());
    for part in ["<script", "<iframe", "@import", "url(", " src=", "<object", "https:"] {
        assert!(!html.contains(part), "{part}");
    }
    let links = html.matches("href=").count();
    assert_eq!(links, html.matches("href=\"#").count() + html.matches("href=\"data:,\"").count());
    let addresses = html.matches("http:").count();
    assert_eq!(addresses, html.matches("xmlns=\"http://www.w3.org/2000/svg\"").count(), "names of formats only");
}

#[test]
fn every_figure_of_the_page_has_alternative_text() {
    let html = page(&fixture::reproduction());
    let images = html.matches("<svg ").count();
    assert_eq!(images, html.matches("<svg role=\"img\" aria-label=\"").count());
    assert_eq!(images, 22);
    assert_eq!(html.matches("<figure").count(), html.matches("<figcaption>").count());
    for number in 1..=7 {
        assert!(html.contains(&format!("<h3>Figure {number}. ")), "{number}");
    }
    assert_eq!(html.matches("<table").count(), html.matches("<caption>").count());
    assert!(html.contains("<html lang=\"en\">") && html.matches("<h1>").count() == 1);
}

#[test]
fn elements_are_closed_in_the_order_in_which_they_were_opened() {
    let html = page(&fixture::reproduction());
    let mut open: Vec<&str> = Vec::new();
    for tag in html.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !(tag.ends_with('/') || tag.starts_with('!') || ["meta", "link"].contains(&name)) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn every_link_has_its_target_and_ids_are_there_once() {
    let html = page(&fixture::reproduction());
    for part in html.split("href=\"#").skip(1) {
        let id = part.split('"').next().unwrap();
        assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
}

#[test]
fn the_page_says_what_has_to_be_known_of_the_paper() {
    let mut record = fixture::reproduction();
    for (name, note) in [
        ("ag_news", "those that it prints for AG News"),
        ("imdb", "those of Yelp P. stand beside"),
        ("sst2", "The paper has no figures for sst2"),
    ] {
        record.data.name = name.into();
        let html = page(&record);
        for text in ["withdrawn by an author in January 2024", "What its own tables do not bear out", note] {
            assert!(html.contains(text), "{name}: {text}");
        }
    }
}

#[test]
fn odd_records_have_a_page_without_numbers_that_are_none() {
    let mut single = fixture::reproduction();
    single.rows.truncate(1);
    single.rows[0].seeds = vec![7];
    let mut failed = fixture::reproduction();
    for row in &mut failed.rows {
        *row = RowRecord { failed: [(0, "killed".into())].into(), seeds: vec![], ..row.clone() };
    }
    let mut not_finite = fixture::reproduction();
    not_finite.rows[3].macro_f1 = Summary { mean: f64::NAN, sd: f64::NAN };
    not_finite.rows[4].inference_flops_ratio = f64::INFINITY;
    for record in [&mut single, &mut failed, &mut not_finite] {
        record.rows.iter_mut().for_each(|row| row.failed.retain(|_, reason| !reason.contains("NaN")));
    }
    for record in [single, failed, not_finite, ReproductionRecord::default()] {
        let html = page(&record);
        assert!(!html.contains("NaN") && !html.contains(">inf") && !html.contains(" inf "), "{}", record.rows.len());
        assert!(html.ends_with("</html>\n"));
    }
}

#[test]
fn rows_with_the_same_differences_stand_together() {
    let mut record = fixture::reproduction();
    for row in record.rows.iter_mut().filter(|row| row.group == RowGroup::AsPublished) {
        row.deviations = vec!["fewer epochs".into()];
    }
    let html = page(&record);
    assert_eq!(html.matches("<li>fewer epochs</li>").count(), 1);
    assert!(
        html.contains(
            "<h3>T-DHT (as published), S-DHT (as published), F-DHT (as published), P-DHT (as published)</h3>"
        )
    );
}

/// With `DHT_REPORT` set to a directory, the files are written there, and `scripts/check-report` opens the page.
#[test]
fn all_files_of_a_reproduction_are_written_and_load_again() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("DHT_REPORT").map_or_else(|| temporary.path().join("new"), PathBuf::from);
    let record = fixture::reproduction();
    let written = write_reproduction(&record, &folder).unwrap();
    assert!(written.iter().all(|path| path.is_file()));
    for name in ["record.json", "report.html", "tables.txt", "tables.md", "rows.csv", "figures/method.svg"] {
        assert!(written.contains(&folder.join(name)), "{name}");
    }
    assert_eq!(written.len(), 5 + 22);
    assert_eq!(ReproductionRecord::load(folder.join("record.json")).unwrap(), record);
}

#[test]
fn figures_of_the_earlier_record_go_and_files_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let earlier = write_reproduction(&fixture::reproduction(), folder.path()).unwrap();
    let own = folder.path().join("figures/own.svg");
    std::fs::write(&own, "").unwrap();
    let mut fewer = fixture::reproduction();
    fewer.rows.retain(|row| !matches!(row.group, RowGroup::AsPublished | RowGroup::Ours));
    let written = write_reproduction(&fewer, folder.path()).unwrap();
    let gone: Vec<_> = earlier.iter().filter(|path| !written.contains(path)).collect();
    assert!(!gone.is_empty() && gone.iter().all(|path| !path.exists()), "{gone:?}");
    assert!(own.exists() && written.iter().all(|path| path.exists()));
}
