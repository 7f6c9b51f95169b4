//! Events of dsjson that are not rows, or that represent several rows.

use dht_bandits::{
    ArmId,
    log::{DsjsonRows, LogError, LogProblem, LoggedDecision},
};

fn event(id: &str, cost: f64, more: &str) -> String {
    format!(
        r#"{{"_label_cost":{cost},"_label_probability":0.5,"_label_Action":1,"_labelIndex":0,"EventId":"{id}","a":[1,2],"p":[0.5,0.5],"c":{{"x":[1],"_multi":[{{"i":{{"id":"0"}}}},{{"i":{{"id":"1"}}}}]}}{more}}}"#
    )
}

fn rows(text: &str) -> DsjsonRows<&[u8]> {
    DsjsonRows::new(text.as_bytes(), "events.json").with_context(["/x"]).with_arm("/i/id")
}

#[test]
fn actions_that_were_never_shown_are_counted() {
    let lines = [
        event("a", -1.0, ""),
        event("b", -1.0, r#","_skipLearn":true"#),
        event("c", -1.0, r#","_skipLearn":false"#),
        event("d", -1.0, r#","_deferred":true"#),
        event("e", -1.0, r#","_deferred":null"#),
        // An event that was skipped may be shown later.
        event("b", 0.0, ""),
    ];
    let text = lines.join("\n") + "\n";
    let mut reader = rows(&text);
    let read: Vec<_> = reader.by_ref().map(Result::unwrap).collect();
    assert_eq!(read.iter().map(|row| row.reward).collect::<Vec<_>>(), [1.0, 1.0, 1.0, 0.0]);
    assert_eq!((reader.skipped(), reader.repeated()), (2, 0));
}

#[test]
fn an_event_that_comes_twice_counts_once() {
    let twice = [event("a", -1.0, ""), event("a", -1.0, ""), event("b", 0.0, ""), event("a", -1.0, "")].join("\n");
    // Events without an id all count as different.
    let bare = event("", -1.0, "");
    let absent = bare.replace(r#""EventId":"","#, "");
    let text = format!("{twice}\n{bare}\n{bare}\n{absent}\n{absent}\n");
    let mut reader = rows(&text);
    assert_eq!(reader.by_ref().map(Result::unwrap).count(), 6);
    assert_eq!(reader.repeated(), 2);
    // A refused line does not hide a valid line with the same id.
    let text = format!("{}\n{}\n", event("a", -1.0, "").replace("0.5,0.5", "0.5,0.1"), event("a", -1.0, ""));
    let mut reader = rows(&text);
    let read: Vec<_> = reader.by_ref().collect();
    assert!(read[0].is_err() && read[1].is_ok());
    assert_eq!(reader.repeated(), 0);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line() {
    let text = format!("\u{feff}{}\n{}\n", event("a", -1.0, ""), event("b", 0.0, ""));
    assert_eq!(rows(&text).map(Result::unwrap).count(), 2);
    let damaged = format!("\u{feff}\n{}\n\u{feff}{}\n", event("a", -1.0, ""), event("b", 0.0, ""));
    let read: Vec<_> = rows(&damaged).collect();
    assert!(read[0].is_ok() && matches!(read[1], Err(LogError::Line { line: 3, .. })), "{read:?}");
}

#[test]
fn rows_keep_the_probability_with_which_others_were_dropped() {
    let text = format!("{}\n{}\n", event("a", 0.0, r#","pdrop":0.9"#), event("b", -1.0, ""));
    let read: Vec<_> = rows(&text).map(Result::unwrap).collect();
    assert_eq!(read.iter().map(|row| row.drop_probability).collect::<Vec<_>>(), [0.9, 0.0]);
    assert!((read[0].row_weight() - 10.0).abs() < 1e-12 && read[1].row_weight() == 1.0);
    let mut again = Vec::new();
    read[0].write_dsjson(&mut again, "a").unwrap();
    assert_eq!(rows(std::str::from_utf8(&again).unwrap()).next().unwrap().unwrap(), read[0]);
    // CSV has no column for it.
    let refused = LoggedDecision::write_csv(Vec::new(), &read[..1]);
    assert!(matches!(refused, Err(LogError::Value { problem: LogProblem::Malformed(_) })));
    for bad in ["1", "1.5", "-0.1", "\"half\""] {
        let text = format!("{}\n", event("a", 0.0, &format!(r#","pdrop":{bad}"#)));
        let read = rows(&text).next().unwrap();
        assert!(matches!(read, Err(LogError::Line { problem: LogProblem::Malformed(_), .. })), "{bad}: {read:?}");
    }
}

#[test]
fn probabilities_of_many_actions_may_be_rounded() {
    let count = 500usize;
    let multi = vec!["{}"; count].join(",");
    let all = (1..=count).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let line = |probability: &str| {
        let p = vec![probability; count].join(",");
        format!(
            r#"{{"_label_cost":0,"_label_probability":{probability},"_label_Action":7,"a":[{all}],"p":[{p}],"c":{{"x":[1],"_multi":[{multi}]}}}}"#
        )
    };
    let read = |probability: &str| {
        DsjsonRows::new(line(probability).as_bytes(), "events.json").with_context(["/x"]).next().unwrap()
    };
    let row: LoggedDecision = read("0.0020005").unwrap();
    assert_eq!((row.arm, row.propensity), (ArmId::new(6), Some(0.0020005)));
    assert!(read("0.0021").is_err());
}

/// Events as users of Vowpal Wabbit reported them: probabilities in 32 bits, a key without quotes, several slots.
#[test]
fn events_of_reports_are_read_or_refused_by_line() {
    let single = event("a", -0.0, r#","_original_label_cost":-0.0,"VWState":{"m":"N/A"}"#)
        .replace("\"_label_probability\":0.5", "\"_label_probability\":0.20000000298023224")
        .replace("[0.5,0.5]", "[0.20000000298023224,0.800000011920929]");
    let slots = r#"{"Timestamp":"2020-11-28T00:04:25Z","Version":"1","c":{"x":[1],"_multi":[{"i":{"id":"0"}}],"_slots":[{"_id":"s"}]},"_outcomes":[{"_label_cost":-1,"_id":"s","_a":[0],"_p":[1.0]}]}"#;
    let unquoted = event("b", -1.0, ",pdrop:0.9");
    let observed = event("c", -1.0, r#","o":[{"v":1.0,"EventId":"c","ActionTaken":false}]"#);
    let number = event("d", -1.0, "").replace("\"EventId\":\"d\"", "\"EventId\":17");
    let text = [single, slots.to_owned(), unquoted, observed, number].join("\n") + "\n";
    let read: Vec<_> = rows(&text).collect();
    let refused: Vec<_> = read.iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, true, true, false, false], "{read:?}");
    assert_eq!(read[0].as_ref().unwrap().reward.to_bits(), 0.0f64.to_bits());
}
