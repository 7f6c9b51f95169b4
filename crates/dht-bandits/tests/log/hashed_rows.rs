//! Logs of other programs with hashed features: Vowpal Wabbit's text format, dsjson, JSON lines and CSV.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use dht_bandits::evaluation::{Evaluation, EvaluationSettings, Target};
use dht_bandits::exploration::{EpsilonGreedy, SquareCb};
use dht_bandits::features::{FeatureHasher, SparseContext};
use dht_bandits::log::{
    CsvRows, DecisionLog, DsjsonRows, JsonRows, LogError, LogProblem, LogSettings, LogSummary, LoggedDecision,
    VowpalRows,
};
use dht_bandits::policy::{AdaGrad, Checkpoint, SparsePolicy};
use dht_bandits::posterior::DiagonalLaplace;
use dht_bandits::{ArmId, Error, Policy, Request};

use crate::support::rng;

fn hasher() -> FeatureHasher {
    FeatureHasher::new(18).unwrap().with_names()
}

fn single(text: &str) -> Vec<Result<LoggedDecision, LogError>> {
    VowpalRows::new(text.as_bytes(), "log.vw", hasher()).collect()
}

fn problem(text: &str) -> String {
    let rows = single(text);
    rows.into_iter().find_map(Result::err).unwrap().to_string()
}

/// Names of the features of a context.
fn names(hasher: &FeatureHasher, values: &[f64]) -> Vec<String> {
    let context = SparseContext::from_values(values).unwrap();
    let mut names: Vec<_> =
        context.pairs().map(|(index, value)| format!("{}:{}", hasher.names(index)[0], value.abs())).collect();
    names.sort();
    names
}

#[test]
fn a_line_has_the_features_that_the_hasher_would_add() {
    let text = "1 2:-0.5:0.25 3 'tag|user country=DE age:0.4 |text:2 red shoes\n";
    let mut rows = VowpalRows::new(text.as_bytes(), "log.vw", hasher());
    let row = rows.next().unwrap().unwrap();
    assert_eq!((row.arm, row.reward, row.propensity), (ArmId::new(1), 0.5, Some(0.25)));
    assert_eq!(row.available, Some([0, 1, 2].map(ArmId::new).to_vec()));
    let expected = ["constant:1", "text^red:2", "text^shoes:2", "user^age:0.4", "user^country=DE:1"];
    assert_eq!(names(rows.hasher(), &row.context), expected);
    let mut own = hasher();
    own.number("text", "red", 2.0).unwrap();
    own.number("text", "shoes", 2.0).unwrap();
    own.number("user", "age", 0.4).unwrap();
    own.number("user", "country=DE", 1.0).unwrap();
    assert_eq!(own.context().unwrap().values(), row.context);
}

#[test]
fn an_event_has_shared_features_and_interactions() {
    let text = "shared |user old\n|ad shoes\n0:-1:0.75 |ad coats\n\n|ad hats\n|ad caps\n\n0:0:0.5 |ad bags\n";
    let with_products = hasher().with_interactions([("user", "ad")]).unwrap();
    let mut rows = VowpalRows::new(text.as_bytes(), "log.vw", with_products).with_actions();
    let row = rows.next().unwrap().unwrap();
    assert_eq!((row.arm, row.reward, row.propensity), (ArmId::new(1), 1.0, Some(0.75)));
    let expected = ["ad^coats:1", "constant:1", "user^old × ad^coats:1", "user^old:1"];
    assert_eq!(names(rows.hasher(), row.features_of(row.arm).unwrap()), expected);
    let last = rows.next().unwrap().unwrap();
    assert_eq!((last.arm, last.available), (ArmId::new(0), Some(vec![ArmId::new(0)])));
    assert!(rows.next().is_none());
    assert_eq!(rows.unlabelled(), 1);
}

#[test]
fn labels_that_are_unknown_are_refused_by_line() {
    for (line, expected) in [
        ("none |a x", "malformed: the label \"none\", expected action:cost:probability"),
        ("1:0:0.5:2 |a x", "malformed: the label \"1:0:0.5:2\", expected action:cost:probability"),
        ("1:x:0.5 |a x", "malformed: the label \"1:x:0.5\", expected action:cost:probability"),
        ("-1:0:0.5 |a x", "malformed: the label \"-1:0:0.5\", expected action:cost:probability"),
        ("1:0:0.5 2:0:0.5 |a x", "malformed: the label \"2:0:0.5\", expected the cost of one action"),
        ("0:0:0.5 |a x", "unknown action 0: actions and classes are counted from 1"),
        ("1:0:0 |a x", "propensity 0 is outside (0, 1]"),
        ("1:0:nan |a x", "propensity NaN is outside (0, 1]"),
        ("1:1e200:0.5 |a x", "cost is 1e200, expected a number within ±1e100"),
        ("1:0:0.5 |a x:", "malformed: the feature \"x:\", expected name:number"),
        ("1:0:0.5 |a x:1:2", "malformed: the feature \"x:1:2\", expected name:number"),
        ("1:0:0.5 |a x:inf", "feature is inf, expected a number within ±1e100"),
        ("1:0:0.5 a x", "there is no bar | before the features"),
        ("shared |a x", "malformed: a shared line: `VowpalRows::with_actions` reads events of several lines"),
    ] {
        assert_eq!(problem(&format!("1:0:0.5 |a x\n{line}\n")), format!("log.vw, line 2: {expected}"));
    }
}

#[test]
fn an_event_with_a_bad_line_does_not_spoil_the_next() {
    let good = "|a x\n0:-1:0.5 |a y\n";
    for bad in [
        "|a x\n1:-1:0.5 |a y\n",
        "0:0:0.5 |a x\n0:0:0.5 |a y\n",
        "|a x\nshared |a y\n",
        "|a x\n0:0:2 |a y\n|a z\n",
        "shared |a x\n",
    ] {
        let text = format!("{bad}\n{good}\n{bad}\n{good}");
        let rows: Vec<_> = VowpalRows::new(text.as_bytes(), "log.vw", hasher()).with_actions().collect();
        assert!(rows.len() == 4 && rows[0].is_err() && rows[2].is_err(), "{bad}: {rows:?}");
        assert_eq!(rows[1].as_ref().unwrap(), rows[3].as_ref().unwrap());
    }
}

/// Class labels with trailing letters, several classes in one line, and class 0.
#[test]
fn a_line_that_is_too_long_costs_one_line_or_event() {
    let long = "x".repeat(1 << 26);
    let text = format!("1:0:1 |a {long}\n2:-1:0.5 |a b\n");
    let rows = single(&text);
    let refused = rows[0].as_ref().unwrap_err().to_string();
    assert_eq!(refused, "log.vw, line 1: malformed: longer than 64 MiB");
    assert_eq!((rows.len(), rows[1].as_ref().unwrap().arm), (2, ArmId::new(1)));
    for event in [format!("shared |a {long}\n0:-1:1 |b c\n"), format!("shared |a b\n0:-1:1 |b {long}\n|b c\n")] {
        let text = format!("{event}\n|b d\n0:-1:0.5 |b e\n");
        let rows: Vec<_> = VowpalRows::new(text.as_bytes(), "log.vw", hasher()).with_actions().collect();
        assert!(rows[0].as_ref().unwrap_err().to_string().ends_with("longer than 64 MiB"));
        assert_eq!((rows.len(), rows[1].as_ref().unwrap().arm), (2, ArmId::new(1)));
    }
}

#[test]
fn class_labels_are_whole_numbers_from_one() {
    let read = |text: &'static str| VowpalRows::new(text.as_bytes(), "log.vw", hasher()).with_classes().next().unwrap();
    let row = read("3 2.5 tag|a x\n").unwrap();
    assert_eq!((row.arm, row.reward, row.propensity), (ArmId::new(2), 1.0, None));
    for text in ["1abc |a x\n", "1 2 3 |a x\n", "0 |a x\n", "1.5 |a x\n", "1 -2 |a x\n", "1:2 |a x\n"] {
        assert!(matches!(read(text), Err(LogError::Line { line: 1, .. })), "{text}");
    }
}

/// After a bar and a space, features belong to the namespace without a name, as in Vowpal Wabbit.
#[test]
fn a_space_after_the_bar_is_no_namespace() {
    let mut rows = VowpalRows::new(&b"1:0:1 | text red | text\n"[..], "log.vw", hasher());
    let row = rows.next().unwrap().unwrap();
    assert_eq!(names(rows.hasher(), &row.context), ["^red:1", "^text:2", "constant:1"]);
}

/// A text with a line break leaves a line without a bar. That line is refused by its number, and the next one is read.
#[test]
fn a_line_break_inside_text_costs_one_line() {
    let rows = single("1:0:1 |a red\nshoes and coats\n2:0:1 |a x");
    assert!(rows[0].is_ok() && rows[2].is_ok());
    assert!(rows[1].as_ref().unwrap_err().to_string().starts_with("log.vw, line 2: there is no bar"));
}

/// Files from Windows: with a byte-order mark, with tabs, and without a newline at the end.
#[test]
fn line_ends_and_marks_are_no_features() {
    let mut rows = VowpalRows::new("\u{feff}1:0:1 |a red\tx:2\r\n\r\n1:0:1 |a red\tx:2".as_bytes(), "log.vw", hasher());
    let (one, two) = (rows.next().unwrap().unwrap(), rows.next().unwrap().unwrap());
    assert_eq!(one, two);
    assert_eq!(names(rows.hasher(), &one.context), ["a^red:1", "a^x:2", "constant:1"]);
    // Bytes that are not UTF-8 are features too.
    assert!(VowpalRows::new(&b"1:0:1 |a \xff\xfe\n"[..], "log.vw", hasher()).next().unwrap().is_ok());
}

/// If two features of opposite sign have one index, they cancel to 0, which is an ordinary value.
#[test]
fn features_that_cancel_leave_a_valid_context() {
    let mut hasher = FeatureHasher::new(1).unwrap().without_constant();
    let mut policy = SparsePolicy::new(hasher.space(), 2, AdaGrad::default(), SquareCb::new(1.0)).unwrap();
    let mut cancelled = 0;
    for word in 0..200 {
        hasher.clear();
        hasher.text("a", &format!("u{word} v{word} w{word}"));
        let context = hasher.context().unwrap();
        assert!(context.pairs().len() <= 2 && SparseContext::from_values(context.values()).is_ok());
        cancelled += context.pairs().filter(|(_, value)| *value == 0.0).count();
        policy.update(ArmId::new(0), context.values(), 1.0, 1.0).unwrap();
    }
    assert!(cancelled > 20, "{cancelled}");
}

/// Products of features that share an index stay different: they are hashed before the index is taken.
#[test]
fn products_do_not_inherit_collisions() {
    let index_of = |word: &str, bits: u32| {
        let mut hasher = FeatureHasher::new(bits).unwrap().without_constant();
        hasher.text("b", word);
        hasher.context().unwrap().pairs().next().unwrap().0
    };
    let words: Vec<String> = (0..3000).map(|word| format!("b{word}")).collect();
    let first = index_of(&words[0], 8);
    let same: Vec<_> = words.iter().filter(|word| index_of(word, 8) == first).take(8).collect();
    let mut hasher = FeatureHasher::new(8).unwrap().with_interactions([("a", "b")]).unwrap().without_constant();
    let mut products = std::collections::BTreeSet::new();
    for word in &same {
        hasher.clear();
        hasher.text("a", "x");
        hasher.text("b", word);
        products.extend(hasher.context().unwrap().pairs().map(|(index, _)| index));
    }
    assert!(products.len() > same.len(), "{products:?}");
}

/// The sign of a feature does not depend on other features.
#[test]
fn the_sign_of_a_feature_is_its_own() {
    let mut signs = std::collections::BTreeMap::new();
    for round in 0..300u32 {
        let mut hasher = hasher().with_seed(3);
        hasher.text("a", &format!("w{} w{}", round % 17, round % 13));
        let context = hasher.context().unwrap();
        for (index, value) in context.pairs() {
            if let [name] = hasher.names(index) {
                assert_eq!(*signs.entry(name.clone()).or_insert(value.signum()), value.signum(), "{name}");
            }
        }
    }
    assert!(signs.len() > 15);
}

#[test]
fn slots_are_named_as_not_supported() {
    let event = |more: &str| format!(r#"{{"_label_cost":0,"_label_probability":0.5,"_label_Action":1,{more}}}"#);
    let slots = event(r#""c":{"_multi":[{"a":1}],"_slots":[{"s":1}]}"#);
    let outcomes = event(r#""_outcomes":[{"_label_cost":0,"_a":[1],"_p":[1]}],"c":{"_multi":[{"a":1}]}"#);
    for line in [slots, outcomes] {
        let mut rows = DsjsonRows::new(line.as_bytes(), "log.json");
        let error = rows.next().unwrap().unwrap_err();
        assert!(matches!(&error, LogError::Line { problem: LogProblem::Unsupported(_), .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "log.json, line 1: events of several slots (`_slots`, `_outcomes`) are not supported"
        );
    }
}

#[test]
fn dsjson_is_hashed_without_columns() {
    let line = r#"{"_label_cost":-1,"_label_probability":0.8,"_label_Action":2,"_labelIndex":1,"EventId":"e","a":[2,1],"p":[0.8,0.2],"c":{"User":{"country":"DE","age":0.4,"vip":true,"gone":null},"_id":"x","Tags":["new","mobile"],"_multi":[{"Ad":{"id":"shoes","place":{"row":2}}},{"Ad":{"_text":"Rain coats"}}]}}"#;
    let with_products = hasher().with_interactions([("User", "Ad")]).unwrap();
    let mut rows = DsjsonRows::new(line.as_bytes(), "log.json").with_hasher(with_products);
    let row = rows.next().unwrap().unwrap();
    assert_eq!((row.arm, row.reward, row.propensity), (ArmId::new(1), 1.0, Some(0.8)));
    assert!(row.context.is_empty());
    let hashed = rows.hasher().unwrap();
    let of_user = ["User^age:0.4", "User^country=DE:1", "User^vip=true:1"];
    let shoes = names(hashed, row.features_of(ArmId::new(0)).unwrap());
    assert_eq!(
        shoes.iter().filter(|name| !name.contains('×')).collect::<Vec<_>>(),
        [
            "Ad^id=shoes:1",
            "Ad^place.row:2",
            "Tags^Tags=mobile:1",
            "Tags^Tags=new:1",
            of_user[0],
            of_user[1],
            of_user[2],
            "constant:1"
        ]
    );
    let coats = names(hashed, row.features_of(ArmId::new(1)).unwrap());
    assert_eq!(coats.iter().filter(|name| name.contains("× Ad^coats")).count(), 3);
    let deep = format!(
        r#"{{"_label_cost":0,"_label_probability":1,"_label_Action":1,"c":{{"a":{}1{},"_multi":[{{"b":1}}]}}}}"#,
        "[".repeat(60),
        "]".repeat(60)
    );
    let refused = DsjsonRows::new(deep.as_bytes(), "log.json").with_hasher(hasher()).next().unwrap();
    assert!(refused.unwrap_err().to_string().contains("nested deeper"));
}

#[test]
fn csv_and_json_lines_read_categories_alike() {
    let csv = "arm,propensity,reward,country,postcode,age\ncoats,0.5,1,DE,10115,0.4\nshoes,0.5,0,,75001,\nhats,0.5,0,FR,75001,1\n";
    let json = r#"{"arm":"coats","propensity":0.5,"reward":1,"country":"DE","postcode":"10115","age":0.4}
{"arm":"shoes","propensity":0.5,"reward":0,"country":null,"postcode":"75001"}
{"arm":"hats","propensity":0.5,"reward":0,"country":"FR","postcode":"75001","age":1}
"#;
    let arms = ["shoes", "coats"];
    let from_csv = CsvRows::new(csv.as_bytes(), "log").unwrap().with_arm_names(arms);
    let from_csv = from_csv.with_hasher(hasher(), ["postcode"]).unwrap();
    let (rows, summary) = LogSummary::read(from_csv);
    let (same, json_summary) = LogSummary::read(JsonRows::new(json.as_bytes(), "log", hasher()).with_arm_names(arms));
    assert_eq!(rows, same);
    assert_eq!((rows.len(), rows[0].arm, rows[1].arm), (2, ArmId::new(1), ArmId::new(0)));
    assert_eq!((summary.refused(), json_summary.refused()), (1, 1));
    assert_eq!(SparseContext::from_values(&rows[1].context).unwrap().pairs().len(), 2);
    let refused = CsvRows::new(csv.as_bytes(), "log").unwrap().with_hasher(hasher(), ["city"]).unwrap_err();
    assert_eq!(refused.to_string(), "log, line 1: there is no column city");
    for line in [
        "[1]",
        "{\"arm\":0}",
        "{\"reward\":1}",
        "{\"arm\":0,\"reward\":\"x\"}",
        "{\"arm\":0,\"reward\":1,\"x\":1e200}",
        "{\"arm\":-1,\"reward\":1}",
        "{\"arm\":0,\"reward\":1,\"propensity\":2}",
    ] {
        assert!(JsonRows::new(format!("{line}\n").as_bytes(), "log", hasher()).next().unwrap().is_err(), "{line}");
    }
}

#[test]
fn sparse_decisions_are_logged_judged_and_caught_up() {
    let folder = tempfile::tempdir().unwrap();
    let (folder_of_log, file) = (folder.path().join("log"), folder.path().join("policy.json"));
    let mut hasher = FeatureHasher::new(12).unwrap();
    let rule = EpsilonGreedy::new(0.3);
    let mut policy = SparsePolicy::new(hasher.space(), 3, DiagonalLaplace::default(), rule).unwrap();
    let untrained = policy.clone();
    let mut log = DecisionLog::open(&folder_of_log, LogSettings::default()).unwrap();
    let (mut draws, mut rows) = (rng(4), Vec::new());
    for round in 0..300u64 {
        if round == 100 {
            Checkpoint::new(&policy, &log).save(&file).unwrap();
        }
        hasher.clear();
        hasher.text("text", &format!("topic{} w{}", round % 3, round % 50));
        let context = hasher.context().unwrap();
        let request = Request::from(&context);
        let decision = policy.decide(&request, &mut draws).unwrap();
        let reward = f64::from(u8::from(decision.arm().number() == round % 3));
        let id = log.append_request(&request, &decision, None, round as f64).unwrap();
        log.reward(id, reward, round as f64).unwrap();
        policy.learn(&decision, reward).unwrap();
        rows.push(LoggedDecision::new(decision.context, decision.choice.arm, decision.choice.propensity, reward));
    }
    // Rows that could not be read back are refused.
    let csv = LoggedDecision::write_csv(Vec::new(), &rows[..1]).unwrap_err();
    assert!(csv.to_string().contains("sparse contexts in csv"), "{csv}");
    let dsjson = rows[0].write_dsjson(&mut Vec::new(), "e").unwrap_err();
    assert!(dsjson.to_string().contains("sparse contexts in dsjson"), "{dsjson}");
    let mut restored = Checkpoint::<SparsePolicy<DiagonalLaplace, EpsilonGreedy>>::load(&file).unwrap();
    assert_eq!(restored.catch_up(&folder_of_log, LogSettings::default()).unwrap().learned, 200);
    assert_eq!(restored.policy.state(), policy.state());
    let mut fitted = untrained.clone();
    fitted.fit(&rows).unwrap();
    assert_eq!(fitted.state(), policy.state());
    let settings = EvaluationSettings::default().with_model(None);
    let targets = [Target::cross_fitted("learned", &untrained, 2).unwrap()];
    let evaluation = Evaluation::run(&rows, &targets, &settings, &mut draws).unwrap();
    let learned = evaluation.rows.iter().find(|row| row.policy == "learned" && row.estimator == "SNIPS").unwrap();
    assert!(learned.estimate.value > 0.6, "{}", learned.estimate.value);
    let refused = Evaluation::run(&rows, &targets, &EvaluationSettings::default(), &mut draws).unwrap_err();
    assert!(refused.to_string().contains("with_model"), "{refused}");
}

/// Rows whose class is not an arm of the policy are refused when they are learned, and nothing changes.
#[test]
fn an_arm_that_the_policy_lacks_is_named() {
    let text = "1:0:1 |a x\n4:0:1 |a y\n";
    let (rows, _) = LogSummary::read(VowpalRows::new(text.as_bytes(), "log.vw", hasher()));
    let mut policy = SparsePolicy::new(hasher().space(), 3, DiagonalLaplace::default(), SquareCb::new(1.0)).unwrap();
    let before = policy.state();
    let error = policy.fit(&rows).unwrap_err();
    assert!(
        matches!(&error, Error::InRound { round: 1, source } if **source == Error::UnknownArm { arm: ArmId::new(3) })
    );
    assert_eq!(policy.state(), before);
}
