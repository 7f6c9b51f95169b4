//! CSV and dsjson, valid and damaged.

use std::io::BufRead;

use dht_bandits::{
    ArmId, Policy,
    log::{CsvRows, DsjsonRows, LogError, LogProblem, LoggedDecision},
};

fn rows() -> Vec<LoggedDecision> {
    let all: Vec<_> = [0.1, 0.2, 0.7].iter().zip(3..).map(|(share, arm)| (ArmId::new(arm), *share)).collect();
    (0..20)
        .map(|number| {
            let (arm, propensity) = all[number % 3];
            let context = vec![number as f64 / 3.0, -1e-17 * number as f64, 1e40];
            let (available, probabilities) = (Some(all.iter().map(|entry| entry.0).collect()), Some(all.clone()));
            LoggedDecision {
                available,
                probabilities,
                ..LoggedDecision::new(context, arm, propensity, (number as f64).sin())
            }
        })
        .collect()
}

fn line_of<T: std::fmt::Debug>(outcome: &Result<T, LogError>) -> (u64, LogProblem) {
    match outcome {
        Err(LogError::Line { line, problem, .. }) => (*line, problem.clone()),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn csv_keeps_every_bit() {
    let mut text = Vec::new();
    LoggedDecision::write_csv(&mut text, rows()).unwrap();
    let read: Vec<_> = CsvRows::new(&text[..], "log.csv").unwrap().map(Result::unwrap).collect();
    let expected: Vec<_> =
        rows().into_iter().map(|row| LoggedDecision { available: None, probabilities: None, ..row }).collect();
    assert_eq!(read, expected);
    let written = |rows: &[LoggedDecision]| LoggedDecision::write_csv(Vec::new(), rows);
    let shorter = LoggedDecision::new(vec![1.0, 2.0], ArmId::new(0), 0.5, 1.0);
    assert!(written(&[]).is_ok() && written(std::slice::from_ref(&shorter)).is_ok());
    assert!(written(&[shorter, rows().remove(0)]).is_err());
    let bad = LoggedDecision { propensity: Some(0.0), ..LoggedDecision::new(vec![1.0, 2.0], ArmId::new(0), 0.5, 1.0) };
    assert!(matches!(written(&[bad]), Err(LogError::Value { problem: LogProblem::Propensity(_) })));
}

#[test]
fn unusable_csv_rows_are_named_and_the_rest_is_read() {
    let text = "x,reward,arm,propensity,y\n\
                1,1,0,0.5,2\n\
                1,1,0,0,2\n\
                1,1,0,1.01,2\n\
                1,1,0,,2\n\
                1,1,0,NaN,2\n\
                1,1,7,0.5,2\n\
                1,inf,0,0.5,2\n\
                1,1,0,0.5\n\
                one,1,0,0.5,2\n\
                1,1,-1,0.5,2\n\
                1,1,,0.5,2\n\
                3,1,1,0.5,4\n";
    let known = [0, 1].map(ArmId::new);
    let read: Vec<_> = CsvRows::new(text.as_bytes(), "log.csv").unwrap().with_arms(known).collect();
    assert_eq!(read.len(), 12);
    assert_eq!(read[0].as_ref().unwrap().context, [1.0, 2.0]);
    assert_eq!(read[11].as_ref().unwrap(), &LoggedDecision::new(vec![3.0, 4.0], ArmId::new(1), 0.5, 1.0));
    let problems: Vec<_> = read[1..11].iter().map(line_of).collect();
    assert_eq!(problems.iter().map(|entry| entry.0).collect::<Vec<_>>(), (3..13).collect::<Vec<_>>());
    assert_eq!(problems[0].1, LogProblem::Propensity(0.0));
    assert_eq!(problems[1].1, LogProblem::Propensity(1.01));
    assert_eq!(problems[2].1, LogProblem::Missing("propensity".to_owned()));
    assert!(matches!(problems[3].1, LogProblem::Propensity(_)));
    assert_eq!(problems[4].1, LogProblem::UnknownAction("7".to_owned()));
    assert!(matches!(problems[5].1, LogProblem::NotFinite { .. }));
    assert!(matches!(problems[6].1, LogProblem::Malformed(_)));
    assert!(matches!(problems[7].1, LogProblem::Malformed(_)));
    assert_eq!(problems[8].1, LogProblem::UnknownAction("-1".to_owned()));
    assert_eq!(problems[9].1, LogProblem::Missing("arm".to_owned()));
    for header in ["arm,reward\n", "arm,arm,propensity,reward\n", ""] {
        assert!(CsvRows::new(header.as_bytes(), "log.csv").is_err(), "{header:?}");
    }
    let rows = CsvRows::new("arm,propensity,reward,age\n".as_bytes(), "log.csv").unwrap();
    assert_eq!(rows.features().collect::<Vec<_>>(), ["age"]);
}

#[test]
fn a_reused_row_keeps_nothing_of_the_row_before() {
    let text = "arm,propensity,reward,age\n2,0.5,1,0.3\n";
    let mut row = LoggedDecision {
        available: Some(vec![ArmId::new(7)]),
        probabilities: Some(vec![(ArmId::new(7), 1.0)]),
        features: Some(vec![1.0]),
        drop_probability: 0.9,
        propensity_error: 0.1,
        ..LoggedDecision::new(vec![5.0, 6.0], ArmId::new(7), 1.0, 3.0)
    };
    assert!(CsvRows::new(text.as_bytes(), "log.csv").unwrap().read(&mut row).unwrap());
    assert_eq!(row, LoggedDecision::new(vec![0.3], ArmId::new(2), 0.5, 1.0));
}

fn x_rows<R: BufRead>(reader: R, name: &str) -> DsjsonRows<R> {
    DsjsonRows::new(reader, name).with_context(["/x"]).with_arm("/i/id")
}

#[test]
fn dsjson_comes_back_as_it_was_written() {
    let mut text = Vec::new();
    for (number, row) in rows().iter().enumerate() {
        row.write_dsjson(&mut text, &number.to_string()).unwrap();
    }
    let read: Vec<_> = x_rows(&text[..], "log.dsjson").map(Result::unwrap).collect();
    for (read, row) in read.iter().zip(rows()) {
        assert_eq!((&read.context, read.arm, read.reward), (&row.context, row.arm, row.reward));
        assert_eq!((read.propensity, &read.available), (row.propensity, &row.available));
        let mut probabilities = read.probabilities.clone().unwrap();
        probabilities.sort_by_key(|entry| entry.0);
        assert_eq!(probabilities, row.probabilities.unwrap());
    }
    assert_eq!(read.len(), 20);
    let bare = LoggedDecision::new(vec![1.0], ArmId::new(0), 0.5, 1.0);
    assert!(bare.write_dsjson(&mut text, "1").is_err());
}

/// Event from the documentation of Vowpal Wabbit.
const EVENT: &str = r#"{"_label_cost":-1,"_label_probability":0.8,"_label_Action":2,"_labelIndex":1,"o":[{"v":1.0,"EventId":"13118d9b"}],"Timestamp":"2021-02-04T16:31:29.2460000Z","Version":"1","EventId":"13118d9b","a":[2,1,3],"c":{"User":{"age":30,"member":true,"country":"DE"},"_multi":[{"Article":{"topic":"a","id":"17"}},{"Article":{"topic":"b","id":"4"}},{"Article":{"topic":"c","id":5}}]},"p":[0.8,0.1,0.1],"VWState":{"m":"ff0744c1"}}"#;

fn user_rows<'a>(text: &'a str, name: &str) -> DsjsonRows<&'a [u8]> {
    let context = ["/User/age", "/User/member", "/User/country=DE", "/User/country=FR", "/User/income"];
    DsjsonRows::new(text.as_bytes(), name).with_context(context)
}

#[test]
fn an_event_of_wabbits_documentation_is_read() {
    let text = format!("{EVENT}\n");
    let row = user_rows(&text, "log").next().unwrap().unwrap();
    assert_eq!(row.context, [30.0, 1.0, 1.0, 0.0, 0.0]);
    assert_eq!((row.arm, row.propensity, row.reward), (ArmId::new(1), Some(0.8), 1.0));
    assert_eq!(row.probabilities.unwrap(), [(1, 0.8), (0, 0.1), (2, 0.1)].map(|(arm, p)| (ArmId::new(arm), p)));
    let row = user_rows(&text, "log").with_arm("/Article/id").next().unwrap().unwrap();
    assert_eq!((row.arm, row.available.unwrap()), (ArmId::new(4), [17, 4, 5].map(ArmId::new).to_vec()));
}

#[test]
fn unusable_dsjson_lines_are_named_and_the_rest_is_read() {
    let lines = [
        EVENT.to_owned(),
        EVENT[..EVENT.len() / 2].to_owned(),                                     // 2
        EVENT.replace("\"_label_probability\":0.8", "\"_label_probability\":0"), // 3
        EVENT.replace("\"_label_probability\":0.8", "\"_label_probability\":1.5"), // 4
        EVENT.replace("\"_label_probability\":0.8,", "").replace(",\"p\":[0.8,0.1,0.1]", ""), // 5
        EVENT.replace("\"_label_Action\":2", "\"_label_Action\":4"),             // 6
        EVENT.replace("\"a\":[2,1,3]", "\"a\":[2,1]"),                           // 7
        EVENT.replace("\"_label_cost\":-1,", ""),                                // 8
        EVENT.replace("\"age\":30", "\"age\":\"old\""),                          // 9
        EVENT.replace("[0.8,0.1,0.1]", "[0.8,0.3,0.1]"),                         // 10
        EVENT.replace("\"_multi\"", "\"multi\""),                                // 11
        EVENT.replace("\"_label_cost\":-1", "\"_label_cost\":1e200"),            // 12
        r#"{"RewardValue":1,"EventId":"13118d9b"}"#.to_owned(),                  // 13: no event
        "[]".to_owned(),                                                         // 14
        EVENT.replace("\"_label_Action\":2", "\"_label_Action\":0"),             // 15
        EVENT.replace("[0.8,0.1,0.1]", "[0.6,0.3,0.1]"),                         // 16: not the label's
        EVENT.to_owned(),
    ];
    // Events with the same id would count once.
    let own_id = |(number, line): (usize, &String)| {
        line.replace("\"EventId\":\"13118d9b\",\"a\"", &format!("\"EventId\":\"{number}\",\"a\""))
    };
    let text = lines.iter().enumerate().map(own_id).collect::<Vec<_>>().join("\n") + "\n" + &EVENT[..40];
    let mut rows = user_rows(&text, "log.dsjson");
    let read: Vec<_> = (&mut rows).collect();
    assert_eq!((rows.dangling_rewards(), rows.torn()), (1, 1));
    assert_eq!(read.len(), 16);
    assert!(read[0].is_ok() && read[15].is_ok());
    let problems: Vec<_> = read[1..15].iter().map(line_of).collect();
    assert_eq!(
        problems.iter().map(|entry| entry.0).collect::<Vec<_>>(),
        [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16]
    );
    assert!(matches!(problems[0].1, LogProblem::Malformed(_)));
    assert_eq!(problems[1].1, LogProblem::Propensity(0.0));
    assert_eq!(problems[2].1, LogProblem::Propensity(1.5));
    assert_eq!(problems[3].1, LogProblem::Missing("propensity".to_owned()));
    assert!(matches!(problems[4].1, LogProblem::UnknownAction(_)));
    assert_eq!(problems[6].1, LogProblem::Missing("_label_cost".to_owned()));
    assert!(matches!(problems[10].1, LogProblem::NotFinite { .. }));
    assert!(matches!(problems[12].1, LogProblem::UnknownAction(_)));
    assert!(matches!(&problems[13].1, LogProblem::Malformed(problem) if problem.contains("its propensity is 0.8")));
    // A list of another length than before does not fit the same policy.
    let lists = r#"{"_label_cost":0,"_label_probability":1,"_label_Action":1,"a":[1],"p":[1],"c":{"x":[1,2],"_multi":[{"i":{"id":"0"}}]}}"#;
    let text = format!("{lists}\n{}\n{lists}\n", lists.replace("[1,2]", "[1,2,3]"));
    let read: Vec<_> = x_rows(text.as_bytes(), "log").collect();
    assert!(read[0].is_ok() && read[2].is_ok());
    assert!(matches!(line_of(&read[1]), (2, LogProblem::Malformed(_))));
}

#[test]
fn features_of_actions_are_read_and_written() {
    let event = EVENT.replace("\"topic\":\"b\"", "\"topic\":\"b\",\"age\":2.5");
    let topics = ["/Article/topic=a", "/Article/topic=b", "/Article/age"];
    let mut articles = user_rows(&event, "log").with_arm("/Article/id").with_actions(topics);
    let row = articles.next().unwrap().unwrap();
    assert_eq!(row.features.as_deref().unwrap(), [1.0, 0.0, 0.0, 0.0, 1.0, 2.5, 0.0, 0.0, 0.0]);
    assert_eq!(row.context, [30.0, 1.0, 1.0, 0.0, 0.0]);
    row.check(0).unwrap();
    let mut text = Vec::new();
    row.write_dsjson(&mut text, "1").unwrap();
    assert_eq!(x_rows(&text[..], "log").with_actions(["/f"]).next().unwrap().unwrap(), row);
    // Without columns, features are left out, as before.
    assert_eq!(x_rows(&text[..], "log").next().unwrap().unwrap().features, None);
}

#[test]
fn unusable_action_features_are_named_with_their_line() {
    let with = |first: &str, second: &str| {
        format!(
            r#"{{"_label_cost":0,"_label_probability":0.5,"_label_Action":1,"a":[1,2],"p":[0.5,0.5],"c":{{"x":[1],"_multi":[{{"i":{{"id":"0"}},"f":{first}}},{{"i":{{"id":"1"}},"f":{second}}}]}}}}"#
        )
    };
    let lines = [
        with("[1,2]", "[3,4]"),
        with("[1,2]", "[3]"),          // 2: another length in the same event
        with("[1,2,3]", "[3,4,5]"),    // 3: than in those before
        with("[1,2]", "[3,\"four\"]"), // 4
        with("[1,2]", "[3,1e200]"),    // 5
        with("[]", "[]"),              // 6
        with("[1,2]", "[5,6]"),
        with("[1,2]", "[7,8]")[..90].to_owned(), // 8
    ];
    let text = lines.join("\n") + "\n";
    let read: Vec<_> = x_rows(text.as_bytes(), "log.dsjson").with_actions(["/f"]).collect();
    assert_eq!(read.len(), 8);
    assert_eq!(read[0].as_ref().unwrap().features.as_deref().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(read[6].as_ref().unwrap().features.as_deref().unwrap(), [1.0, 2.0, 5.0, 6.0]);
    let problems: Vec<_> = [1, 2, 3, 4, 5, 7].map(|index| line_of(&read[index])).into();
    assert_eq!(problems.iter().map(|entry| entry.0).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 8]);
    for index in [0, 1, 2, 4, 5] {
        assert!(matches!(problems[index].1, LogProblem::Malformed(_)), "{problems:?}");
    }
    assert!(matches!(problems[3].1, LogProblem::NotFinite { .. }), "{problems:?}");
}

#[test]
fn rows_with_features_are_evaluated_and_replayed() {
    use dht_bandits::evaluation::{Evaluation, EvaluationSettings, Replay, Target};
    use dht_bandits::{Error, Ridge, Thompson, policy::TopK};
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    // Each round has three arms with new ids, and their first feature determines the reward.
    let log: Vec<_> = (0..600)
        .map(|round| {
            let arms: Vec<_> = (0..3).map(|arm| ArmId::new(3 * round + arm)).collect();
            let features: Vec<f64> = (0..6).map(|_| rng.random_range(-1.0..1.0)).collect();
            let chosen = rng.random_range(0..3);
            let mut row = LoggedDecision::new(Vec::new(), arms[chosen], 1.0 / 3.0, features[2 * chosen]);
            row.probabilities = Some(arms.iter().map(|&arm| (arm, 1.0 / 3.0)).collect());
            (row.available, row.features) = (Some(arms), Some(features));
            row
        })
        .collect();
    let (train, judge) = log.split_at(300);
    let mut policy = TopK::shared(2, Ridge::default(), Thompson { alpha: 0.1 }).unwrap();
    let curve = Replay::run(&mut policy, train, None, &mut rng).unwrap();
    assert!((0.2..0.5).contains(&curve.acceptance) && policy.version() == curve.rewards.len() as u64);
    let settings = EvaluationSettings::default().with_model(None);
    let targets = [Target::from_policy("shared", &policy)];
    let table = Evaluation::run(&judge[..50], &targets, &settings, &mut rng).unwrap();
    let (own, value) = (table.row("(the log)", "mean").unwrap(), table.row("shared", "SNIPS").unwrap());
    // The largest of three numbers from −1 to 1 is ½ on average.
    assert!(value.estimate.value > own.estimate.value + 0.25, "{value:?}");
    let mut broken = judge[0].clone();
    broken.features.as_mut().unwrap().pop();
    assert!(matches!(broken.check(4), Err(Error::InRound { round: 4, .. })));
    broken.available = None;
    assert!(broken.request().is_err() && broken.check(0).is_err());
}

#[test]
fn a_file_that_cannot_be_read_ends_the_rows() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("gone"))
        }
    }
    let rows = x_rows(std::io::BufReader::new(Broken), "events.json");
    let outcomes: Vec<_> = rows.take(10).collect();
    assert!(matches!(outcomes[..], [Err(LogError::Io { .. })]), "{outcomes:?}");
}

#[test]
fn columns_that_are_nowhere_are_named() {
    let mut text = Vec::new();
    rows().iter().enumerate().for_each(|(id, row)| row.write_dsjson(&mut text, &id.to_string()).unwrap());
    // The last line has no newline, and is complete.
    text.pop();
    let mut reader = x_rows(&text[..], "events.json").with_context(["/x", "/y", "/z=3"]);
    let read: Vec<_> = reader.by_ref().map(Result::unwrap).collect();
    assert_eq!((read.len(), reader.torn()), (rows().len(), 0));
    assert_eq!(reader.never_met().collect::<Vec<_>>(), ["/y", "/z=3"]);
    // A pointer without a leading slash points nowhere.
    let (line, problem) = line_of(&x_rows(&text[..], "events.json").with_context(["User/age"]).next().unwrap());
    assert!(line == 1 && problem.to_string().contains("User/age"), "{problem}");
    // A number is compared as it is written.
    let event = r#"{"_label_cost":-1.0,"_label_probability":0.5,"_label_Action":1,"_labelIndex":0,"a":[1,2],"p":[0.5,0.5],"c":{"age":3,"_multi":[{},{}]}}"#;
    for (column, expected) in [("/age=3", 1.0), ("/age=4", 0.0), ("/age", 3.0)] {
        let row = DsjsonRows::new(event.as_bytes(), "events.json").with_context([column]).next().unwrap().unwrap();
        assert_eq!(row.context, [expected], "{column}");
    }
}

#[test]
fn csv_rows_are_named_by_line_under_any_line_ending() {
    let bad = |text: &str| -> Vec<u64> {
        let rows = CsvRows::new(text.as_bytes(), "log.csv").unwrap();
        rows.filter(Result::is_err).map(|row| line_of(&row).0).collect()
    };
    let plain = "arm,propensity,reward\n1,0.5,1\n1,0.5,x\n2,0.5\n1,0.5,1\n1,0.5,\n";
    assert_eq!(bad(plain), [3, 4, 6]);
    assert_eq!(bad(&plain.replace('\n', "\r\n")), [3, 4, 6]);
    assert_eq!(bad(plain.trim_end()), [3, 4, 6]);
    assert_eq!(bad(plain.replace('\n', "\r\n").trim_end()), [3, 4, 6]);
    assert_eq!(bad(&plain.replace('\n', "\n\n\n")), [7, 10, 16]);
    assert_eq!(bad(&plain.replace('\n', "\r\n\r\n")), [5, 7, 11]);
    assert_eq!(bad(&format!("\u{feff}{}", plain.replace('\n', "\r\n"))), [3, 4, 6]);
    // A field of several lines, and a quote that is never closed.
    assert_eq!(bad("arm,propensity,reward\r\n1,0.5,\"a\r\nb\"\r\n\r\n1,0.5,x\r\n"), [2, 5]);
    assert_eq!(bad("arm,propensity,reward\n1,0.5,1\n1,0.5,\"a\nb\n"), [3]);
    // The file is larger than any buffer, with rows of 17 bytes.
    for end in ["\n", "\r\n", "\n\n"] {
        let rows: String =
            (0..30_000).map(|row| format!("1,0.5,{}{end}", if row % 999 == 7 { "x" } else { "1" })).collect();
        let expected: Vec<_> = (0..30_000).filter(|row| row % 999 == 7).map(|row| 2 + row).collect();
        let lines_each = if end == "\n\n" { 2 } else { 1 };
        let expected: Vec<u64> = expected.into_iter().map(|line| (line - 1) * lines_each + 1).collect();
        assert_eq!(bad(&format!("arm,propensity,reward{end}{rows}")), expected, "{end:?}");
    }
    let told = |text: &[u8]| CsvRows::new(text, "l.csv").unwrap().find_map(Result::err).unwrap().to_string();
    assert_eq!(told(b"arm,propensity,reward\r\n1,0.5\r\n"), "l.csv, line 2: malformed: there are 2 fields, expected 3");
    assert_eq!(told(b"arm,propensity,reward\n\n1,0.5,\xff\n"), "l.csv, line 3: malformed: reward is no UTF-8");
    let header = CsvRows::new("\n\narm,propensity\n".as_bytes(), "l.csv").unwrap_err().to_string();
    assert_eq!(header, "l.csv, line 3: there is no column reward");
}

#[test]
fn csv_without_propensities_is_read_where_asked_for() {
    let text = "arm,reward,x\n0,1,2\n1,0,-2\n1,0\n0,1,";
    let refused = CsvRows::new(text.as_bytes(), "l.csv").unwrap_err().to_string();
    assert_eq!(
        refused,
        "l.csv, line 1: there is no column propensity: `CsvRows::without_propensities` reads a log without them"
    );
    let mut reader = CsvRows::without_propensities(text.as_bytes(), "l.csv").unwrap();
    assert_eq!(reader.features().collect::<Vec<_>>(), ["x"]);
    // The row held values of another log.
    let mut row = LoggedDecision::new(vec![], ArmId::new(7), 0.5, 0.0);
    assert!(reader.read(&mut row).unwrap());
    assert_eq!((row.propensity, row.reward, &row.context[..]), (None, 1.0, &[2.0][..]));
    // A log that ends inside a line, and a log that ends one line earlier.
    let rest: Vec<_> = reader.map(|row| row.map(|row| row.arm.number()).map_err(|error| error.to_string())).collect();
    assert_eq!(rest[0], Ok(1));
    assert!(rest[1].as_ref().unwrap_err().contains("line 4"), "{rest:?}");
    assert!(rest[2].as_ref().unwrap_err().contains("line 5: there is no x"), "{rest:?}");
    let known = CsvRows::without_propensities("arm,propensity,reward\n".as_bytes(), "l.csv").unwrap_err();
    assert!(known.to_string().contains("`CsvRows::new` reads it"), "{known}");
}

#[test]
fn arms_that_the_probabilities_leave_out_are_written_with_0() {
    let [first, second, third] = [3, 4, 5].map(ArmId::new);
    let row = LoggedDecision {
        available: Some(vec![first, second, third]),
        probabilities: Some(vec![(third, 0.25), (second, 0.75)]),
        ..LoggedDecision::new(vec![1.0], second, 0.75, 1.0)
    };
    let read = |row: &LoggedDecision| {
        let mut text = Vec::new();
        row.write_dsjson(&mut text, "1").map(|()| x_rows(&text[..], "log").next())
    };
    let back = read(&row).unwrap().unwrap().unwrap();
    assert_eq!(back.probabilities.unwrap(), [(second, 0.75), (third, 0.25), (first, 0.0)]);
    // Without any there are none, as before.
    assert_eq!(
        read(&LoggedDecision { probabilities: None, ..row.clone() }).unwrap().unwrap().unwrap().probabilities,
        None
    );
    // Rows that could not be read back are refused: an arm that is listed twice, and a single arm that was chosen half
    // of the time.
    let twice = LoggedDecision { available: Some(vec![first, second, second, third]), ..row.clone() };
    let alone = LoggedDecision { available: Some(vec![second]), probabilities: None, ..row };
    for bad in [twice, alone] {
        assert!(matches!(read(&bad), Err(LogError::Value { problem: LogProblem::Malformed(_) })), "{bad:?}");
    }
}

#[test]
fn labels_of_dsjson_that_contradict_each_other_are_refused() {
    let with = |labels: &str| {
        let line = EVENT.replace("\"_label_Action\":2,\"_labelIndex\":1,", labels);
        assert_ne!(line, EVENT);
        user_rows(&format!("\n{line}\n"), "log").next().unwrap()
    };
    for (labels, arm) in [("\"_label_Action\":2,", 1), ("\"_labelIndex\":1,", 1), ("", 1)] {
        assert_eq!(with(labels).unwrap().arm, ArmId::new(arm), "{labels}");
    }
    for labels in ["\"_label_Action\":2,\"_labelIndex\":0,", "\"_label_Action\":2,\"_labelIndex\":2,"] {
        let refused = with(labels);
        let (line, problem) = line_of(&refused);
        assert_eq!(line, 2);
        assert!(problem.to_string().contains("_label_Action is 2, _labelIndex "), "{problem}");
        assert!(problem.to_string().ends_with("expected 1"), "{problem}");
    }
    let beyond = with("\"_labelIndex\":18446744073709551615,");
    assert!(matches!(line_of(&beyond).1, LogProblem::UnknownAction(_)), "{beyond:?}");
}
