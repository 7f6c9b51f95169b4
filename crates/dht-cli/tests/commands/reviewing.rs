//! Tests of rows that a person should look at: in a table, and among answers.

use super::tables::{said, train, write};
use super::{csv, dht, json, printed, refused, reviews, trained};

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
    // Adds an equal text with the other label, an equal text with the same label, and a label written differently.
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
    let detected = doubted.iter().take(12).filter(|row| wrong.contains(&(**row - 1))).count();
    assert!(detected >= 10, "{detected} of 12 in {doubted:?}");
    // The same rows give the same table, also in a file.
    assert_eq!(printed(&review(&["--quiet"])), table);
    let told = said(&review(&["--out", "look.csv", "--most", "5"]));
    assert!(told.contains("12 rows with a doubtful label") && told.contains(" repeated texts"), "{told}");
    let saved = std::fs::read_to_string(at.join("look.csv")).expect("a file");
    assert_eq!(saved.lines().collect::<Vec<_>>(), lines[..6]);
}

#[test]
fn answers_below_a_probability_are_left_to_a_person() {
    let place = trained();
    let at = place.path();
    // Texts of both kinds are halves.
    let rows: Vec<(String, String)> = reviews(40, 9000)
        .into_iter()
        .enumerate()
        .map(|(row, (label, text))| {
            (label, if row < 20 { text } else { "the soup was fresh and the waiter was rude".into() })
        })
        .collect();
    write(at, "asked.csv", &csv(&rows));
    let probabilities: Vec<f32> = {
        let answers = printed(&dht(at, &["predict", "model", "asked.csv", "--output-format", "jsonl"]));
        let most = |line: &str| {
            let answer = json(line)["predicted"]["probabilities"].clone();
            answer.as_object().into_iter().flatten().filter_map(|(_, p)| p.as_f64()).fold(0.0, f64::max) as f32
        };
        answers.lines().map(most).collect()
    };
    let mut sorted = probabilities.clone();
    sorted.sort_by(f32::total_cmp);
    let least = ((sorted[10] + sorted[30]) / 2.0).to_string();
    let below = probabilities.iter().filter(|p| **p < least.parse().expect("a number")).count();
    assert!((1..40).contains(&below), "{sorted:?}");
    let predict =
        |more: &[&str]| dht(at, &[&["predict", "model", "asked.csv", "--min-probability", &least], more].concat());
    let told = said(&predict(&[]));
    assert!(told.contains(&format!("{below} of 40 texts have no answer of that probability")), "{told}");
    let empty = printed(&predict(&[])).lines().filter(|line| line.contains("\",,0.") || line.contains(",,0.")).count();
    assert_eq!(empty, below);
    let lines = printed(&predict(&["--output-format", "jsonl"]));
    let abstained =
        |line: &&str| json(line)["predicted"]["abstained"] == true && json(line)["predicted"]["label"].is_null();
    assert_eq!(lines.lines().filter(abstained).count(), below);
    let scored =
        json(&printed(&dht(at, &["evaluate", "model", "--data", "asked.csv", "--min-probability", &least, "--json"])));
    assert_eq!((&scored["sure"]["rows"], &scored["sure"]["answered"]), (&40.into(), &(40 - below).into()), "{scored}");
    let shown = printed(&dht(at, &["evaluate", "model", "--data", "asked.csv", "--min-probability", &least]));
    assert!(shown.contains(&format!("{} of 40 rows are answered", 40 - below)), "{shown}");
    for bad in ["1.5", "NaN", "-0.1"] {
        let bad = format!("--min-probability={bad}");
        let told = refused(&dht(at, &["predict", "model", "asked.csv", &bad]), 2);
        assert!(told.contains("expected a number from 0 to 1"), "{told}");
        assert!(refused(&dht(at, &["evaluate", "model", "--data", "asked.csv", &bad]), 2).contains("from 0 to 1"));
    }
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
    assert!(few.contains("few: expected at least 20 rows, got 12"), "{few}");
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
    (0..30).step_by(2).for_each(|row| spelled[row].0 = "prai-sed".into());
    write(at, "spelled.csv", &csv(&spelled));
    printed(&train(at, "data", &[]));
    let shallow = refused(&review("spelled.csv", "m", &[]), 2);
    assert!(shallow.contains("--model is m, expected an encoder of at least 2 layers"), "{shallow}");
    printed(&dht(at, &["export", "model", "--out", "plain"]));
    let told = said(&review("spelled.csv", "plain", &["--quiet"]));
    assert!(told.contains("one label in 2 spellings? \"prai-sed\", \"praised\""), "{told}");
}
