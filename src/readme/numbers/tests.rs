use crate::error::Error;
use crate::fixture;
use crate::readme::numbers::*;

const README: &str = "# Title\n\n<!-- numbers -->\nold\n<!-- /numbers -->\n\nend\n";

#[test]
fn results_replace_the_part_between_the_markers_and_nothing_else() {
    let text = with_numbers(README, &fixture::record(), "cargo run").unwrap();
    assert!(text.starts_with("# Title\n\n<!-- numbers -->\n") && text.ends_with("<!-- /numbers -->\n\nend\n"));
    assert!(!text.contains("old"));
    for part in ["`cargo run`", "Made-up CPU, 2 cores", "0.928", "4000 training"] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn writing_the_same_results_again_changes_nothing() {
    let once = with_numbers(README, &fixture::record(), "cargo run").unwrap();
    assert_eq!(with_numbers(&once, &fixture::record(), "cargo run").unwrap(), once);
}

#[test]
fn a_text_without_both_markers_is_refused() {
    let (start, end) = (README_START, README_END);
    for text in [
        "no markers".to_owned(),
        format!("{start}\n"),
        format!("{end}\n{start}\n"),
        format!("{start}\n{end}\n{start}\n{end}\n"),
    ] {
        assert!(matches!(with_numbers(&text, &fixture::record(), ""), Err(Error::Markers { .. })), "{text}");
    }
}
