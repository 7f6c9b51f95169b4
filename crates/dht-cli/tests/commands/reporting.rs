//! Tests of the reports of `dht evaluate`.

use std::path::Path;

use super::tables::{train, write};
use super::{csv, dht, json, printed, refused, reviews, trained};

fn page(at: &Path, model: &str, data: &str) -> String {
    printed(&dht(at, &["evaluate", model, "--data", data, "--report", "page.html"]));
    std::fs::read_to_string(at.join("page.html")).expect("a page")
}

/// Asserts that a page is complete, loads nothing, and contains no markup from a text.
fn assert_whole(page: &str) {
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for name in ["<script", "<img", "<link rel=\"style", "url(", "@import", "NaN", "{{", "{%"] {
        assert!(!page.contains(name), "{name}");
    }
    let links = page.matches("href=\"").count();
    assert_eq!(links, page.matches("href=\"#").count() + page.matches("href=\"data:,\"").count());
    for tag in ["section", "table", "svg", "tr", "figure"] {
        assert_eq!(page.matches(&format!("<{tag}")).count(), page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    assert_eq!(page.matches("<svg").count(), page.matches("<svg role=\"img\" aria-label=\"").count());
}

#[test]
fn a_report_has_the_numbers_of_the_json() {
    let place = trained();
    let at = place.path();
    // The rows include a text with markup, one with 10⁶ letters, and a class without rows; some labels are wrong on
    // purpose.
    let mut rows = reviews(40, 2000);
    rows.retain(|(label, _)| label == "praised");
    let markup = "<script>alert(1)</script> & \u{202e}<img src=x onerror=alert(2)> the soup was rude and stale";
    rows.push(("praised".into(), markup.into()));
    rows.push(("praised".into(), format!("the waiter was rude and cold {}", "x".repeat(1_000_000))));
    write(at, "odd<b>.csv", &csv(&rows));
    let evaluation = json(&printed(&dht(at, &["evaluate", "model", "--data", "odd<b>.csv", "--json"])));
    let text = page(at, "model", "odd<b>.csv");
    assert_whole(&text);
    assert!(text.len() < 200_000, "{} bytes", text.len());
    assert!(text.contains("&#60;script&#62;") && text.contains("odd&#60;b&#62;"), "markup is escaped");
    assert!(text.contains("1000029 characters") && text.contains("no rows") && text.contains("no scored row has"));
    let analysis = &evaluation["analysis"];
    let number = |pointer: &str| analysis.pointer(pointer).and_then(|value| value.as_f64()).expect("a number");
    assert_eq!(
        number("/accuracy/value"),
        evaluation["results"][2]["accuracy"].as_f64().expect("a number"),
        "{evaluation}"
    );
    assert!((number("/macro_f1/value") - evaluation["results"][2]["score"].as_f64().expect("a number")).abs() < 1e-12);
    for pointer in ["/accuracy/low", "/calibration/error", "/macro_f1/high", "/classes/1/recall/value"] {
        assert!(text.contains(&format!("{:.4}", number(pointer))), "{pointer}");
    }
    let sum = |list: &str, of: &str| {
        let list = analysis[list].as_array().expect("a list");
        list.iter().filter_map(|own| own[of].as_u64()).sum::<u64>()
    };
    for list in ["classes", "confusion", "by_depth", "by_length", "by_class_size"] {
        assert_eq!(sum(list, "rows"), rows.len() as u64, "{list}");
    }
    assert!(analysis["surest_errors"][0]["probability"].as_f64() > Some(0.5), "{analysis}");
}

#[test]
fn labels_and_numbers_have_reports() {
    let place = trained();
    let at = place.path();
    let several: Vec<(String, String)> =
        reviews(90, 0).into_iter().map(|(label, text)| (format!("{label};said"), text)).collect();
    write(at, "several.csv", &csv(&several));
    printed(&train(at, "several.csv", &["--task", "labels", "--label-separator", ";"]));
    let text = page(at, "m", "several.csv");
    assert_whole(&text);
    assert!(text.contains("micro F1") && text.contains("rows with the label"), "{text}");
    let evaluation = json(&printed(&dht(at, &["evaluate", "m", "--data", "several.csv", "--json"])));
    let analysis = &evaluation["analysis"];
    assert_eq!(analysis["macro_f1"]["value"].as_f64(), evaluation["results"][0]["score"].as_f64(), "{evaluation}");
    let numbers: Vec<(String, String)> = reviews(90, 0)
        .into_iter()
        .map(|(label, text)| (if label == "praised" { "4.5" } else { "1" }.to_owned(), text))
        .collect();
    write(at, "numbers.csv", &csv(&numbers));
    printed(&train(at, "numbers.csv", &["--task", "number", "--replace"]));
    let text = page(at, "m", "numbers.csv");
    assert_whole(&text);
    assert!(text.contains("mean absolute error") && text.contains("mean true number"), "{text}");
    let evaluation = json(&printed(&dht(at, &["evaluate", "m", "--data", "numbers.csv", "--json"])));
    let rmse = evaluation["results"][0]["metrics"][0]["value"].as_f64().expect("a number");
    let own = evaluation["analysis"]["root_mean_squared_error"]["value"].as_f64().expect("a number");
    assert!((rmse - own).abs() < 1e-9, "{evaluation}");
}

#[test]
fn a_report_that_cannot_be_written_is_refused_first() {
    let place = trained();
    let at = place.path();
    let evaluate = |report: &str| {
        let said = refused(&dht(at, &["evaluate", "model", "--data", "data/test.csv", "--report", report]), 2);
        assert!(!said.contains("no test file"), "{said}");
        said
    };
    assert!(evaluate("no/such/page.html").contains("--report"), "{}", evaluate("no/such/page.html"));
    assert!(evaluate("data").contains("--report"), "a folder");
    assert!(evaluate("data/test.csv").contains("--report is data/test.csv, expected another file than the texts"));
}

#[test]
fn a_learning_curve_says_what_more_rows_would_give() {
    let place = trained();
    let at = place.path();
    printed(&dht(at, &["export", "model", "--out", "plain"]));
    let mut rows = reviews(400, 4000);
    // A fifth of the labels is wrong, so that accuracy stays below 1.
    for row in (0..rows.len()).step_by(5) {
        rows[row].0 = if row % 2 == 0 { "praised" } else { "panned" }.into();
    }
    write(at, "rows.csv", &csv(&rows));
    let learn = |more: &[&'static str]| {
        let common = ["train", "--data", "rows.csv", "--model", "plain", "--rungs", "1", "--max-length", "24"];
        dht(at, &[&common[..], more].concat())
    };
    let run = learn(&["--learning-curve", "--out", "with", "--json"]);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(said.contains("learning curve of rung 1") && said.contains("this is rung 1 alone"), "{said}");
    let curve = json(&printed(&run))["learning_curve"].clone();
    let points = curve["points"].as_array().expect("points");
    let sizes: Vec<u64> = points.iter().filter_map(|point| point["rows"].as_u64()).collect();
    assert!(sizes.len() == 5 && sizes[4] == 360 && (sizes[0] as f64 - 45.0).abs() < 3.0, "{curve}");
    let number = |pointer: &str| curve.pointer(pointer).and_then(|value| value.as_f64()).expect("a number");
    assert!(number("/predictions/0/interval/0") <= number("/predictions/0/accuracy") + 0.02, "{curve}");
    assert!(number("/predictions/1/gain_interval/0") <= number("/predictions/1/gain_interval/1"), "{curve}");
    // The model is the same as without the learning curve.
    printed(&learn(&["--out", "without"]));
    let weights = |name: &str| std::fs::read(at.join(name).join("model/dynamic.checkpoint")).expect("a file");
    assert!(weights("with") == weights("without"));
    let few = dht(at, &[&super::TRAIN[..11], &["--out", "x", "--learning-curve"]].concat());
    assert!(refused(&few, 2).contains("--learning-curve is set, expected this flag left out"), "{few:?}");
}
