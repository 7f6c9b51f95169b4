//! Rows of a table that a person should look at.

use super::tables::{said, train, write};
use super::{csv, dht, printed, refused, reviews, trained};

#[test]
fn planted_wrong_labels_and_repeated_texts_are_listed_first() {
    let place = trained();
    let at = place.path();
    printed(&dht(at, &["export", "model", "--out", "plain"]));
    let mut rows = reviews(300, 5000);
    let wrong: Vec<usize> = (0..12).map(|at| 7 + 23 * at).collect();
    for row in &wrong {
        rows[*row].0 = if rows[*row].0 == "praised" { "panned" } else { "praised" }.into();
    }
    // An equal text with the other label, one with the same, and one label written differently.
    rows.push(("panned".into(), rows[0].1.to_uppercase()));
    rows.push((rows[2].0.clone(), format!("{}!", rows[2].1)));
    write(at, "topics.csv", &csv(&rows));
    let review = |more: &[&'static str]| {
        dht(at, &[&["review", "--data", "topics.csv", "--model", "plain", "--max-length", "32"], more].concat())
    };
    let table = printed(&review(&["--quiet"]));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "row,problem,label,suggested,p_label,p_suggested,other_row,text");
    assert!(lines[1].starts_with("301,two labels for one text,\"panned\",\"praised\",,,1,"), "{}", lines[1]);
    assert!(lines.last().is_some_and(|line| line.starts_with("302,repeated,")), "{table}");
    let row = |line: &&str| line.split(',').next().and_then(|row| row.parse::<usize>().ok()).unwrap_or_default();
    let doubted: Vec<usize> = lines.iter().filter(|line| line.contains(",label,")).map(row).collect();
    let found = doubted.iter().take(12).filter(|row| wrong.contains(&(**row - 1))).count();
    assert!(found >= 10, "{found} of 12 in {doubted:?}");
    // Same rows, same table; and in a file.
    assert_eq!(printed(&review(&["--quiet"])), table);
    let told = said(&review(&["--out", "look.csv", "--most", "5"]));
    assert!(told.contains("1 rows whose text has two labels") && told.contains("1 repeated texts"), "{told}");
    let kept = std::fs::read_to_string(at.join("look.csv")).expect("a file");
    assert_eq!(kept.lines().collect::<Vec<_>>(), lines[..6]);
}

#[test]
fn what_cannot_be_reviewed_is_refused() {
    let place = trained();
    let at = place.path();
    let review = |data: &str, model: &str, more: &[&str]| {
        dht(at, &[&["review", "--data", data, "--model", model], more].concat())
    };
    write(at, "few.csv", &csv(&reviews(12, 0)));
    let few = refused(&review("few.csv", "model", &[]), 1);
    assert!(few.contains("few.csv has 12 rows, expected at least 20"), "{few}");
    let scratch = refused(&review("data", "2x2x16", &[]), 2);
    assert!(scratch.contains("--model is 2x2x16, expected a pre-trained encoder"), "{scratch}");
    let long = refused(&review("data", "model", &["--max-length", "100000"]), 2);
    assert!(long.contains("--max-length is 100000, expected 3 to "), "{long}");
    let rows: Vec<(String, String)> =
        reviews(40, 0).into_iter().map(|(label, text)| (format!("{label};x"), text)).collect();
    write(at, "several.csv", &csv(&rows));
    let several = refused(&review("several.csv", "model", &["--task", "labels", "--label-separator", ";"]), 2);
    assert!(several.contains("expected one class for each text"), "{several}");
    let mut spelled = reviews(60, 0);
    (0..30).step_by(2).for_each(|row| spelled[row].0 = "Praised".into());
    write(at, "spelled.csv", &csv(&spelled));
    printed(&train(at, "data", &[]));
    let told = said(&review("spelled.csv", "m", &["--quiet"]));
    assert!(told.contains("one label in 2 spellings? \"Praised\", \"praised\""), "{told}");
}
