//! Tests of `dht compare`: two models on the same texts.

use super::tables::{train, write};
use super::{csv, dht, json, printed, refused, reviews, trained};

#[test]
fn two_models_are_compared_by_the_same_rows() {
    let place = trained();
    let at = place.path();
    let compare =
        |a: &str, b: &str, more: &[&str]| dht(at, &[&["compare", a, b, "--data", "data/test.csv"][..], more].concat());
    let same = json(&printed(&compare("model", "model", &["--json"])));
    assert_eq!((&same["changed"], &same["difference"]["mean"]), (&0.into(), &0.0.into()), "{same}");
    assert!(same["difference"]["low"].as_f64().expect("a number") < 0.0, "{same}");

    // This model has learned the opposite of the true labels.
    let turned = |rows: Vec<(String, String)>| -> Vec<(String, String)> {
        let other = |label: String| if label == "praised" { "panned" } else { "praised" }.to_owned();
        rows.into_iter().map(|(label, text)| (other(label), text)).collect()
    };
    write(at, "turned/train.csv", &csv(&turned(reviews(400, 0))));
    write(at, "turned/test.csv", &csv(&turned(reviews(60, 1000))));
    let wrong = ["--model", "2x2x16", "--epochs", "12", "--batch", "8", "--lr", "3e-3"];
    printed(&dht(at, &[&["train", "--data", "turned", "--kind", "full", "--out", "m"], &wrong[..]].concat()));
    let table = printed(&compare("model", "m", &["--changed", "changed.csv"]));
    assert!(table.contains("B − A: -") && table.contains("MFLOP a text") && table.contains("A right"), "{table}");
    let comparison = json(&printed(&compare("model", "m", &["--json"])));
    let high = comparison["difference"]["high"].as_f64().expect("a number");
    assert!(high < -0.5 && comparison["changed"].as_u64() > Some(40), "{comparison}");
    let classes = comparison["classes"].as_array().expect("classes");
    let sum = |name: &str| classes.iter().filter_map(|class| class[name].as_u64()).sum::<u64>();
    assert_eq!(
        (sum("rows"), sum("a") as f64 / 60.0),
        (60, comparison["a"]["score"].as_f64().expect("a number")),
        "{comparison}"
    );
    let changed = std::fs::read_to_string(at.join("changed.csv")).expect("a file");
    let first = changed.lines().nth(1).expect("a row");
    assert!(
        changed.starts_with("row,label,a,b,text\n") && first.contains("\"praised\",\"praised\",\"panned\"")
            || first.contains("\"panned\",\"panned\",\"praised\""),
        "{changed}"
    );
    assert_eq!(changed.lines().count() as u64, 1 + comparison["changed"].as_u64().expect("a number"));

    let failed = refused(&compare("model", "m", &["--fail-below", "0.5"]), 3);
    assert!(failed.contains("the lower end of B − A is -") && failed.contains("at most 0.5 may be lost"), "{failed}");
    assert!(compare("m", "model", &["--fail-below", "0.5"]).status.success());
    let negative = refused(&compare("model", "m", &["--fail-below=-1"]), 2);
    assert!(negative.contains("--fail-below is -1, expected a number of points, at least 0"), "{negative}");
}

#[test]
fn models_of_other_labels_or_tasks_are_not_compared() {
    let place = trained();
    let at = place.path();
    let compare = |b: &str| dht(at, &["compare", "model", b, "--data", "data/test.csv"]);
    let mut rows = reviews(90, 0);
    (0..30).for_each(|row| rows[row].0 = "neutral".into());
    write(at, "three.csv", &csv(&rows));
    printed(&train(at, "three.csv", &[]));
    let told = refused(&compare("m"), 2);
    assert!(
        told.contains(
            "model has no label of its own, m alone has \"neutral\": only models with the same labels can be compared"
        ),
        "{told}"
    );
    let several = rows.iter().map(|(label, text)| (format!("{label};said"), text.clone())).collect::<Vec<_>>();
    write(at, "several.csv", &csv(&several));
    printed(&train(at, "several.csv", &["--task", "labels", "--label-separator", ";", "--replace"]));
    let told = refused(&compare("m"), 2);
    assert!(told.contains("model gives one class for each text, m gives several labels for each text"), "{told}");
    let own = dht(at, &["compare", "m", "m", "--data", "several.csv"]);
    assert!(printed(&own).contains("F1 of a text's labels") && printed(&own).contains("0 rows changed"), "{own:?}");
}
