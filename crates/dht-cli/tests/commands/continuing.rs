//! Tests of a model of `dht` that is trained further, replaced, accelerated again, or used with other columns.

use std::path::Path;

use tempfile::TempDir;

use super::{csv, dht, json, printed, refused, reviews, trained};

/// Creates a folder with `plain`, a classifier of two classes as a Hugging Face directory.
fn exported() -> TempDir {
    let place = trained();
    printed(&dht(place.path(), &["export", "model", "--out", "plain"]));
    place
}

fn write(place: &Path, name: &str, text: &str) {
    std::fs::write(place.join(name), text).expect("a file");
}

/// Creates rows of a third class.
fn shipped(count: usize) -> String {
    (0..count).map(|row| format!("shipped,\"the parcel {row} came with truck {}\"\n", row % 7)).collect()
}

/// Trains a model in rungs 0 and 1.
fn rungs(place: &Path, arguments: &[&str]) -> std::process::Output {
    dht(place, &[&["train", "--rungs", "1", "--max-length", "24"], arguments].concat())
}

#[test]
fn a_model_is_trained_on_with_new_rows_and_a_new_class() {
    let place = exported();
    let at = place.path();
    printed(&rungs(at, &["--data", "data/train.csv", "--model", "plain", "--out", "first"]));
    write(at, "more.csv", &format!("{}{}", csv(&reviews(100, 400)), shipped(60)));
    let next = dht(at, &["train", "--rungs", "1", "--data", "more.csv", "--model", "first", "--out", "next"]);
    let said = String::from_utf8_lossy(&next.stderr).into_owned();
    printed(&next);
    assert!(said.contains("the model keeps its 2 classes and gets 1: shipped"), "{said}");
    assert!(said.contains("validation rows of the classes that the model had"), "{said}");
    let facts = json(&printed(&dht(at, &["inspect", "next", "--json"])));
    assert_eq!(facts["labels"], serde_json::json!(["panned", "praised", "shipped"]));
    assert_eq!(facts["max_length"], 24, "the length of the model");
    write(at, "asked.csv", "text\nthe parcel 900 came with truck 3\nthe soup was fresh\n");
    let answers = printed(&dht(at, &["predict", "next", "asked.csv"]));
    let labels: Vec<&str> = answers.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
    assert_eq!(labels, ["shipped", "praised"], "{answers}");
    // Exits are fitted anew.
    let again = ["accelerate", "next", "--data", "more.csv", "--out", "again"];
    printed(&dht(at, &again));
    assert_eq!(json(&printed(&dht(at, &["inspect", "again", "--json"])))["labels"], facts["labels"]);
}

#[test]
fn each_class_of_a_model_needs_rows_of_one_spelling() {
    let place = exported();
    let at = place.path();
    printed(&rungs(at, &["--data", "data/train.csv", "--model", "plain", "--out", "first"]));
    let next = |data: &str, more: &[&str]| {
        let arguments = ["train", "--rungs", "1", "--data", data, "--model", "first", "--out", "next"];
        dht(at, &[&arguments[..], more].concat())
    };
    let good: Vec<_> = reviews(100, 400).into_iter().filter(|(label, _)| label == "praised").collect();
    write(at, "half.csv", &format!("{}{}", csv(&good), shipped(20)));
    let said = refused(&next("half.csv", &[]), 1);
    assert!(said.contains("half.csv has no row of the class \"panned\"") && said.contains("--also"), "{said}");
    let both = next("half.csv", &["--also", "data/train.csv"]);
    assert!(printed(&both).contains("written to next"));
    for (name, file, expected) in [
        (
            "other.csv",
            csv(&reviews(60, 0)).replace("praised", "up").replace("panned", "down"),
            "no row of the class \"panned\"",
        ),
        ("columns.csv", csv(&reviews(60, 0)).replace("label,text", "label,opinion"), "no column \"text\""),
    ] {
        write(at, name, &file);
        let said = refused(&next(name, &[]), 1);
        assert!(said.contains(expected), "{name}: {said}");
    }
    // Case and outer spaces do not distinguish classes.
    write(at, "spelled.csv", &csv(&reviews(60, 0)).replace("praised", " PRAISED "));
    printed(&next("spelled.csv", &["--replace"]));
    assert_eq!(json(&printed(&dht(at, &["inspect", "next", "--json"])))["labels"].as_array().map(Vec::len), Some(2));
    let said = refused(&next("half.csv", &["--task", "labels"]), 2);
    assert!(said.contains("--task is labels, expected class, which the model was trained for"), "{said}");
    assert!(!at.join("next.training").exists());
}

#[test]
fn a_model_of_other_classes_is_replaced_by_request_alone() {
    let place = trained();
    let at = place.path();
    let before = std::fs::read(at.join("model/dht.json")).expect("a file");
    write(at, "other.csv", &csv(&reviews(60, 0)).replace("praised", "up"));
    let train = ["train", "--data", "other.csv", "--model", "2x2x16", "--epochs", "1", "--out", "model"];
    let said = refused(&dht(at, &train), 1);
    assert!(
        said.contains("only the saved model has \"praised\", only the new one \"up\"") && said.contains("--replace"),
        "{said}"
    );
    assert_eq!(std::fs::read(at.join("model/dht.json")).expect("a file"), before);
    assert!(!at.join("model.training").exists());
    let numbers: String = (0..60).map(|row| format!("{}.5,the soup {row}\n", row % 7)).collect();
    write(at, "numbers.csv", &format!("label,text\n{numbers}"));
    let numbers = ["train", "--data", "numbers.csv", "--task", "number", "--kind", "full", "--model", "2x2x16"];
    let said = refused(&dht(at, &[&numbers[..], &["--out", "model"]].concat()), 1);
    assert!(said.contains("one class for each text in the saved model, numbers in the new one"), "{said}");
    let output = printed(&dht(at, &[&train[..], &["--replace"]].concat()));
    assert!(output.contains("written to model, in place of a model of 360 rows of data/train"), "{output}");
}

#[test]
fn rows_of_the_training_are_named_where_they_are_scored() {
    let place = trained();
    let said = |data: &str| {
        let output = dht(place.path(), &["evaluate", "model", "--data", data, "--quiet"]);
        printed(&output);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said("data/train.csv").contains("scored rows are rows of the training"), "{}", said("data/train.csv"));
    assert!(!said("data/test.csv").contains("rows of the training"), "{}", said("data/test.csv"));
}

#[test]
fn a_text_is_answered_without_a_file() {
    let place = trained();
    let answer = printed(&dht(place.path(), &["predict", "model", "the soup was fresh"]));
    assert_eq!((answer.lines().count(), json(&answer)["text"].as_str()), (1, Some("the soup was fresh")));
    let said = refused(&dht(place.path(), &["predict", "model", "no such file.csv"]), 1);
    assert!(said.contains("no such file.csv"), "{said}");
}

#[test]
fn a_model_is_accelerated_as_its_training_read_the_texts() {
    let place = tempfile::tempdir().expect("a folder");
    let at = place.path();
    let row = |(label, text): &(String, String)| format!("{label},\"{text}\",the food\n");
    write(at, "two.csv", &format!("label,title,body\n{}", reviews(200, 0).iter().map(row).collect::<String>()));
    let columns: [&str; 4] = ["--text-column", "title", "--text-column", "body"];
    for (name, more) in [("joined", &columns[..]), ("pairs", &["--pair"])] {
        let train =
            ["train", "--data", "two.csv", "--model", "2x2x16", "--epochs", "1", "--kind", "full", "--out", name];
        printed(&dht(at, &[&train[..], more].concat()));
        let again = format!("{name}-again");
        let output = dht(at, &["accelerate", name, "--data", "two.csv", "--out", &again]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        printed(&output);
        assert!(said.contains("\"title\", \"body\""), "{said}");
        let reading = |model: &str| {
            json(&std::fs::read_to_string(at.join(model).join("dht.json")).expect("a file"))["origin"].clone()
        };
        assert_eq!(reading(&again)["pair"], reading(name)["pair"]);
        assert_eq!(reading(&again)["columns"]["text"], reading(name)["columns"]["text"]);
    }
    write(at, "texts.txt", "the soup was fresh\n");
    let lines = ["accelerate", "pairs", "--data", "texts.txt", "--unlabelled", "--out", "lines"];
    assert!(refused(&dht(at, &lines), 2).contains("read line by line"));
    let title = |(label, text): (String, String)| format!("{label},\"{text}\"\n");
    write(at, "one.csv", &format!("label,title\n{}", reviews(60, 0).into_iter().map(title).collect::<String>()));
    let fewer = ["accelerate", "joined", "--data", "one.csv", "--out", "fewer"];
    assert!(!dht(at, &fewer).status.success());
}

#[test]
fn training_on_begins_with_the_last_layer_that_is_there() {
    let place = exported();
    let at = place.path();
    let full = ["train", "--data", "data", "--model", "3x2x16", "--epochs", "3", "--kind", "full", "--out", "full"];
    printed(&dht(at, &full));
    let next = |more: &[&str]| {
        let still = ["train", "--kind", "full", "--epochs", "1", "--lr", "1e-12", "--model", "full", "--out", "still"];
        let output = dht(at, &[&still[..], more].concat());
        printed(&output);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = next(&["--data", "data"]);
    let line = said.lines().find(|line| line.contains(" before, ")).expect("a comparison");
    let scores: Vec<&str> =
        line.split_whitespace().filter(|word| word.starts_with("0.") || word.starts_with("1.")).collect();
    assert_eq!(scores[0], scores[1], "{line}");
    // The data have rows of the existing classes and of a further class.
    write(at, "more.csv", &format!("{}{}", csv(&reviews(100, 400)), shipped(60)));
    assert!(next(&["--data", "more.csv", "--replace"]).contains("gets 1: shipped"));
}

#[test]
fn numbers_are_no_new_classes_of_a_model() {
    let place = exported();
    let at = place.path();
    printed(&rungs(at, &["--data", "data/train.csv", "--model", "plain", "--out", "first"]));
    let next = |data: &str, more: &[&str]| {
        let arguments = ["train", "--rungs", "0", "--data", data, "--model", "first", "--out", "next"];
        dht(at, &[&arguments[..], more].concat())
    };
    // Numbers stand for the classes in their order, with or without the rows of the training.
    write(at, "numbers.csv", &csv(&reviews(100, 400)).replace("praised", "1").replace("panned", "0"));
    for more in [&[][..], &["--also", "data/train.csv", "--replace"]] {
        let output = next("numbers.csv", more);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        printed(&output);
        assert!(said.contains("the model keeps its 2 classes\n"), "{said}");
    }
    write(
        at,
        "three.csv",
        &format!("{}{}", csv(&reviews(100, 400)).replace("praised", "1"), shipped(40).replace("shipped", "2")),
    );
    for more in [&[][..], &["--also", "data/train.csv"]] {
        let said = refused(&next("three.csv", more), 1);
        assert!(said.contains("do not match the classes") || said.contains("written in two ways"), "{said}");
    }
    // One number is mapped to a new class; the others stand for the classes in their order.
    let numbers = csv(&reviews(100, 400)).replace("praised", "1").replace("panned", "0");
    write(at, "numbered.csv", &format!("{numbers}{}", shipped(40).replace("shipped", "2")));
    let one = next("numbered.csv", &["--label-map", "2=shipped", "--replace"]);
    let said = String::from_utf8_lossy(&one.stderr).into_owned();
    printed(&one);
    assert!(said.contains("gets 1: shipped"), "{said}");
    // Follows the advice about label names and about missing rows.
    let good: Vec<_> = reviews(80, 400).into_iter().filter(|(label, _)| label == "praised").collect();
    write(at, "new.csv", &format!("{}{}", csv(&good).replace("praised", "7"), shipped(40).replace("shipped", "8")));
    let named = ["--label-map", "7=praised", "--label-map", "8=shipped"];
    let said = refused(&next("new.csv", &named), 1);
    assert!(said.contains("no row of the class \"panned\"") && said.contains("--also"), "{said}");
    let output = next("new.csv", &[&named[..], &["--also", "data/train.csv", "--replace"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    printed(&output);
    assert!(said.contains("gets 1: shipped"), "{said}");
}

/// Messages of a command that made a model.
fn reported(output: &std::process::Output) -> String {
    printed(output);
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn numbered_classes_and_several_labels_get_new_ones() {
    let place = tempfile::tempdir().expect("a folder");
    let at = place.path();
    let train = |arguments: &[&str]| dht(at, &[&["train", "--epochs", "1", "--max-length", "16"], arguments].concat());
    let rows = |label: &str| (0..60).map(|row| format!("{label},the soup number {row}\n")).collect::<String>();
    write(at, "two.csv", &format!("label,text\n{}{}", rows("1"), rows("2")));
    write(at, "third.csv", &format!("label,text\n{}", rows("3")));
    printed(&train(&["--data", "two.csv", "--model", "2x2x16", "--kind", "full", "--out", "numbered"]));
    let said = reported(&train(&["--data", "third.csv", "--also", "two.csv", "--model", "numbered", "--out", "three"]));
    assert!(said.contains("the model keeps its 2 classes and gets 1: 3\n"), "{said}");
    assert!(said.contains("rows of the classes that the model had"), "a full model is compared, too: {said}");
    let facts = json(&printed(&dht(at, &["inspect", "three", "--json"])));
    assert_eq!(facts["labels"], serde_json::json!(["1", "2", "3"]));
    assert_eq!(facts["kind"], "full", "the kind of the model that was trained on");

    write(at, "decimal.csv", &format!("label,text\n{}{}", rows("1.0"), rows("4")));
    let said =
        reported(&train(&["--data", "decimal.csv", "--also", "two.csv", "--model", "numbered", "--out", "four"]));
    assert!(said.contains("the model keeps its 2 classes and gets 1: 4\n"), "1.0 is 1: {said}");

    write(at, "several.csv", &format!("label,text\n{}{}", rows("a;b"), rows("b")));
    write(at, "more.csv", &format!("label,text\n{}{}", rows("a;c"), rows("b")));
    let labels = ["--task", "labels", "--label-separator", ";"];
    printed(&train(
        &[&["--data", "several.csv", "--model", "2x2x16", "--kind", "full", "--out", "several"], &labels[..]].concat(),
    ));
    let said = reported(&train(&["--data", "more.csv", "--model", "several", "--out", "more"]));
    assert!(said.contains("the model keeps its 2 labels and gets 1: c\n"), "{said}");
    assert!(said.contains("forgetting is not measured"), "{said}");
    write(at, "lost.csv", &format!("label,text\n{}", rows("b")));
    let said = refused(&train(&["--data", "lost.csv", "--model", "several", "--out", "lost"]), 1);
    assert!(said.contains("lost.csv has no row of the class \"a\"") && said.contains("--also"), "{said}");
    let said = reported(&train(&["--data", "several.csv", "--model", "several", "--out", "again"]));
    assert!(said.contains("macro F1") && said.contains(" now\n"), "{said}");
}

#[test]
fn a_model_of_numbers_is_trained_on_without_further_flags() {
    let place = tempfile::tempdir().expect("a folder");
    let at = place.path();
    let train = |arguments: &[&str]| dht(at, &[&["train", "--epochs", "1", "--max-length", "16"], arguments].concat());
    let rows: String = (0..80).map(|row| format!("{}.5,the soup number {row}\n", row % 7)).collect();
    write(at, "stars.csv", &format!("label,text\n{rows}"));
    printed(&train(&["--data", "stars.csv", "--task", "number", "--model", "2x2x16", "--out", "stars"]));
    let said = reported(&train(&["--data", "stars.csv", "--model", "stars", "--out", "next"]));
    assert!(said.contains("the model keeps the unit of its numbers, label\n"), "{said}");
    assert!(said.contains("whether the number is above 1, 2, 3, 4, 5, 6;"), "{said}");
    // The exits have learned from these rows.
    assert!(said.contains("no held-out row is unseen by the model"), "{said}");
    let said = refused(&train(&["--data", "stars.csv", "--task", "rating", "--model", "stars", "--out", "next"]), 1);
    assert!(said.contains("--task is rating, expected number, which the model was trained for"), "{said}");
    let commas: String = (0..80).map(|row| format!("\"{},5\",the soup number {row}\n", row % 7)).collect();
    write(at, "comma.csv", &format!("label,text\n{commas}"));
    let said = refused(&train(&["--data", "comma.csv", "--model", "stars", "--out", "next"]), 1);
    assert!(said.contains("expected a finite number with a decimal point"), "{said}");
}

#[test]
fn several_labels_keep_task_and_separator_of_the_training() {
    let place = tempfile::tempdir().expect("a folder");
    let at = place.path();
    let rows: String =
        (0..200).map(|row| format!("{},the soup number {}\n", ["a", "b", "a;b"][row % 3], row % 3)).collect();
    write(at, "several.csv", &format!("label,text\n{rows}"));
    let train = ["train", "--data", "several.csv", "--kind", "full", "--epochs", "1", "--max-length", "16"];
    let labels = ["--task", "labels", "--label-separator", ";", "--model", "2x2x16", "--out", "several"];
    printed(&dht(at, &[&train[..], &labels].concat()));
    for more in [&[][..], &["--task", "labels"]] {
        printed(&dht(at, &[&["evaluate", "several", "--data", "several.csv"], more].concat()));
        let next = ["--model", "several", "--out", "next"];
        printed(&dht(at, &[&train[..], &next, more].concat()));
        assert_eq!(json(&printed(&dht(at, &["inspect", "next", "--json"])))["labels"], serde_json::json!(["a", "b"]));
    }
    write(at, "other.csv", &format!("label,text\n{}", rows.replace('a', "c")));
    let other = ["train", "--data", "other.csv", "--kind", "full", "--model", "several", "--out", "other"];
    assert!(!dht(at, &other).status.success());
}

#[cfg(unix)]
#[test]
fn a_link_at_the_output_stays_a_link() {
    let place = trained();
    let at = place.path();
    std::fs::rename(at.join("model"), at.join("first")).expect("moved");
    std::os::unix::fs::symlink("first", at.join("current")).expect("a link");
    for out in ["current", "current/"] {
        let train = ["train", "--data", "data", "--model", "2x2x16", "--epochs", "1", "--seed", "5", "--out", out];
        printed(&dht(at, &train));
        assert!(at.join("current").symlink_metadata().expect("a link").is_symlink());
        let facts = json(&printed(&dht(at, &["inspect", "first", "--json"])));
        assert!(facts.to_string().contains("2"), "{facts}");
    }
    let layers = std::fs::read_to_string(at.join("first/model/encoder/config.json")).expect("a file");
    assert_eq!(json(&layers)["num_hidden_layers"], 2);
}

#[test]
fn texts_that_are_numbers_and_budgets_of_one_speed_are_named() {
    let place = trained();
    let at = place.path();
    let full = ["train", "--data", "data", "--model", "2x2x16", "--epochs", "1", "--kind", "full", "--out", "full"];
    printed(&dht(at, &full));
    let said = refused(&dht(at, &["predict", "full", "a text", "--budget", "1"]), 2);
    assert!(said.contains("expected this flag left out: the model runs all its layers"), "{said}");
    write(at, "asked.csv", "id,opinion\n17,the soup was fresh\n18,the soup was cold\n");
    let output = dht(at, &["predict", "model", "asked.csv", "--text-column", "id"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    printed(&output);
    assert!(said.contains("the first 2 texts are numbers or names of classes, such as \"17\""), "{said}");
}
