//! Tests that follow the advice of a refused data set: the command then succeeds, or the next refusal gives other
//! advice.

use super::{dht, printed, refused};

const TEXTS: [(&str, &str); 4] =
    [("fine work here", "good"), ("no work at all", "bad"), ("it was fine", "good"), ("it was bad", "bad")];

/// A file of twenty rows under a header.
fn rows(header: &str, row: impl Fn(usize, &str, &str) -> String) -> String {
    let row = |number: usize| row(number, TEXTS[number % 4].0, TEXTS[number % 4].1) + "\n";
    format!("{header}\n{}", (0..20).map(row).collect::<String>())
}

/// Refused file, with its advice and the changes that follow the advice.
struct Case {
    name: &'static str,
    file: String,
    flags: &'static [&'static str],
    /// End of the error message.
    advice: &'static str,
    /// Changed content of the file, if the advice is to change it.
    edited: Option<String>,
    followed: &'static [&'static str],
}

fn flag(
    name: &'static str,
    file: String,
    flags: &'static [&'static str],
    advice: &'static str,
    followed: &'static [&'static str],
) -> Case {
    Case { name, file, flags, advice, edited: None, followed }
}

fn edit(
    name: &'static str,
    file: String,
    flags: &'static [&'static str],
    advice: &'static str,
    (edited, followed): (String, &'static [&'static str]),
) -> Case {
    Case { name, file, flags, advice, edited: Some(edited), followed }
}

fn cases() -> Vec<Case> {
    let opinions = || rows("opinion,verdict", |_, text, label| format!("{text},{label}"));
    let pairs = || rows("first,second,label", |_, text, label| format!("{text},{text} again,{label}"));
    let stars = || rows("text,stars", |row, text, _| format!("{text} {row},{row}"));
    let two = || rows("text,mood,kind", |row, text, label| format!("{text} {row},{label},{label}x"));
    let gaps = || rows("text,mood", |row, text, label| format!("{text} {row},{}", if row == 0 { "" } else { label }));
    let spelled = || {
        let cased = |row, label: &str| if row % 3 == 0 { label.to_uppercase() } else { label.into() };
        rows("text,label", |row, text, label| format!("{text} {row},{}", cased(row, label)))
    };
    let halves = || rows("text,label", |row, text, _| format!("{text} {row},{}.5", row % 3));
    let several = |sign: &'static str| move |row, text: &str, label: &str| format!("{text} {row},\"{label}{sign}x\"");
    let numbered = || rows("n,label", |row, _, label| format!("{row},{label}"));
    let json = |value: fn(&str) -> String| {
        let row = |row, text: &str, label: &str| format!("{{\"text\": \"{text} {row}\", \"label\": {}}}", value(label));
        rows("", row).trim_start().to_owned()
    };
    let labels: &[&str] = &["--task", "labels"];
    vec![
        flag("first.csv", opinions(), &[], "(`--header` or `--no-header`)", &["--header", "--label-column", "verdict"]),
        flag("pair.csv", pairs(), &[], "(`--text-column`, for sentence pairs also `--pair`)", &["--pair"]),
        flag(
            "one.csv",
            pairs(),
            &[],
            "(`--text-column`, for sentence pairs also `--pair`)",
            &["--text-column", "first"],
        ),
        flag("none.csv", numbered(), &[], "(`--text-column`)", &["--text-column", "n"]),
        flag("stars.csv", stars(), &[], "(`--label-column`)", &["--label-column", "stars"]),
        flag(
            "unique.csv",
            stars(),
            &["--label-column", "stars"],
            "(`--label-column`, for numbers `--task number`)",
            &["--label-column", "stars", "--task", "number"],
        ),
        flag("two.csv", two(), &[], "(`--label-column`)", &["--label-column", "mood"]),
        flag("gaps.csv", gaps(), &[], "(`--label-column \"mood\"`)", &["--label-column", "mood"]),
        flag(
            "spelled.csv",
            spelled(),
            &[],
            "(`--label-map LABEL=CLASS`)",
            &["--label-map", "GOOD=good", "--label-map", "BAD=bad"],
        ),
        flag("halves.csv", halves(), &[], "(`--task class` or `--task number`)", &["--task", "class"]),
        flag("numbers.csv", halves(), &[], "(`--task class` or `--task number`)", &["--task", "number"]),
        flag(
            "separated.csv",
            rows("text,label", several(";")),
            labels,
            "(`--label-separator`)",
            &["--task", "labels", "--label-separator", ";"],
        ),
        flag(
            "list.csv",
            rows("text,label", |row, text, label| format!("{text} {row},\"['{label}', 'x']\"")),
            &["--task", "class"],
            "(for several labels `--task labels`)",
            labels,
        ),
        edit(
            "vector.csv",
            rows("text,label", |row, text, _| format!("{text} {row},\"[{}, 1, {}]\"", row % 2, row % 3 % 2)),
            labels,
            "write the names of the labels that apply, with the separator ','",
            (rows("text,label", several(",")), labels),
        ),
        edit(
            "hot.csv",
            rows("text,label", |row, text, _| format!("{text} {row},\"{},1,{}\"", row % 2, row % 3 % 2)),
            labels,
            "write the names of the labels that apply, with the separator ','",
            (rows("text,label", several(",")), labels),
        ),
        flag(
            "nested.jsonl",
            json(|label| format!("[\"{label}\", \"x\"]")),
            &["--task", "class"],
            "(for several labels `--task labels`)",
            labels,
        ),
        edit(
            "again.csv",
            rows(
                "text,label",
                |row, text, label| if row == 7 { "text,label".into() } else { format!("{text},{label}") },
            ),
            &[],
            "remove this line",
            (rows("text,label", |_, text, label| format!("{text},{label}")), &[]),
        ),
    ]
}

#[test]
fn advice_that_is_followed_leads_on() {
    let place = tempfile::tempdir().expect("a folder");
    for Case { name, file, flags, advice, edited, followed } in cases() {
        std::fs::write(place.path().join(name), file).expect("a file");
        let inspect = |flags: &[&str]| dht(place.path(), &[&["inspect-data", name], flags].concat());
        let said = refused(&inspect(flags), 1);
        assert!(said.trim_end().ends_with(advice), "{name}: {said}");
        if let Some(edited) = edited {
            std::fs::write(place.path().join(name), edited).expect("a file");
        }
        let next = inspect(followed);
        let said = String::from_utf8_lossy(&next.stderr);
        // One refusal may follow another, but not the same advice.
        assert!(next.status.success() || !said.trim_end().ends_with(advice), "{name}: {said}");
    }
}

#[test]
fn advice_on_columns_and_classes_of_a_training_leads_on() {
    let place = super::trained();
    let at = place.path();
    let write = |name: &str, text: &str| std::fs::write(at.join(name), text).expect("a file");
    write("reviews.csv", "review\nthe soup was cold\n");
    let said = refused(&dht(at, &["predict", "model", "reviews.csv"]), 1);
    assert!(said.contains("name this file's column with --text-column"), "{said}");
    printed(&dht(at, &["predict", "model", "reviews.csv", "--text-column", "review"]));
    let other = super::csv(&super::reviews(60, 0)).replace("praised", "up").replace("panned", "down");
    write("other.csv", &other);
    let evaluate = ["evaluate", "model", "--data", "other.csv"];
    let said = refused(&dht(at, &evaluate), 1);
    assert!(said.trim_end().ends_with("(`--label-map LABEL=CLASS`)"), "{said}");
    let map = ["--label-map", "up=praised", "--label-map", "down=panned"];
    printed(&dht(at, &[&evaluate[..], &map].concat()));
}
