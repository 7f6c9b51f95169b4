//! Parser of JSON lines. Values are returned as they are written in the file.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{self, Deserializer as _, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::error::DataProblem;

/// Words and signs that some programs write although JSON does not allow them, each with its JSON equivalent.
const FOREIGN: [(&str, &str); 8] = [
    ("'", "\""),
    ("NaN", "null"),
    ("-Infinity", "null"),
    ("Infinity", "null"),
    ("undefined", "null"),
    ("None", "null"),
    ("True", "true"),
    ("False", "false"),
];

/// Key and value of a JSON object; the value is stored as it is written in the file.
pub(crate) type Member = (String, Box<RawValue>);

/// Parses the members of a JSON object, in order. A lone surrogate (half of a UTF-16 pair) in a key becomes U+FFFD.
///
/// # Errors
/// [`DataProblem::ForeignJson`] if the line contains a word such as `NaN` that JSON does not allow as a value;
/// [`DataProblem::NotJson`] if the line is not a JSON object, or a key occurs twice.
pub(super) fn parse_object(line: &str) -> Result<Vec<Member>, DataProblem> {
    let first = match members(line) {
        Ok(members) => return Ok(members),
        Err(error) => error,
    };
    if let Cow::Owned(replaced) = replace_lone_surrogates(line)
        && let Ok(members) = members(&replaced)
    {
        return Ok(members);
    }
    let other_value = match line.trim_start() {
        line if line.starts_with('{') => None,
        line if line.starts_with('[') => Some("it is an array: write one object a line"),
        line if line.starts_with("\"") => Some("it is a string: write one object a line, such as {\"text\": \"…\"}"),
        _ => Some("it does not begin with {: write one object a line, or name the file after its format"),
    };
    Err(match (other_value, foreign_word(line)) {
        (Some(message), _) => DataProblem::NotJson { message: message.into() },
        (None, Some((column, (word, instead)))) => DataProblem::ForeignJson { word, column, instead },
        (None, None) => DataProblem::NotJson { message: broken(&first) },
    })
}

/// Error message for a line that begins like a JSON object but is not valid JSON.
fn broken(error: &serde_json::Error) -> String {
    // The parser reports line 1 for every line of the file, so the number is removed.
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
    let advice = match (error.classify(), message) {
        (Category::Eof, _) => "write each object on one line, or all of them in an array",
        (_, "trailing characters") => "write one object on each line, with nothing behind it",
        _ => return format!("{message} (column {})", error.column()),
    };
    format!("{message} (column {}): {advice}", error.column())
}

/// Decodes a JSON string. A lone surrogate (half of a UTF-16 pair) becomes U+FFFD.
pub(super) fn string(value: &RawValue) -> Result<String, DataProblem> {
    let parse = |text: &str| serde_json::from_str::<String>(text);
    parse(value.get())
        .or_else(|_| parse(&replace_lone_surrogates(value.get())))
        .map_err(|error| DataProblem::NotJson { message: error.to_string() })
}

fn members(line: &str) -> serde_json::Result<Vec<Member>> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<Member>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            let mut seen = BTreeSet::new();
            while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                if !seen.insert(key.clone()) {
                    return Err(de::Error::custom(format!("the key {key:?} comes twice")));
                }
                members.push((key, value));
            }
            Ok(members)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(line);
    let members = deserializer.deserialize_map(Members)?;
    deserializer.end()?;
    Ok(members)
}

/// Finds a word outside of strings that JSON does not allow, such as `NaN`. Returns its position in the line, counted
/// from 1, and the word with its JSON equivalent.
fn foreign_word(line: &str) -> Option<(usize, (&'static str, &'static str))> {
    let (mut inside, mut escaped) = (false, false);
    for (at, sign) in line.char_indices() {
        if inside {
            (inside, escaped) = (escaped || sign != '"', sign == '\\' && !escaped);
            continue;
        }
        if sign == '"' {
            inside = true;
        }
        let foreign = FOREIGN.into_iter().find(|(word, _)| line[at..].starts_with(word));
        if let Some(foreign) = foreign {
            return Some((at + 1, foreign));
        }
    }
    None
}

/// Replaces the escapes of lone surrogates by `\ufffd`. A lone surrogate is half of a UTF-16 pair. It occurs where a
/// program cut a text inside an emoji.
pub(super) fn replace_lone_surrogates(json: &str) -> Cow<'_, str> {
    const ESCAPE: usize = "\\ud83d".len();
    let surrogate = |at: usize, range: std::ops::Range<u32>| {
        let digits = json.get(at..at + ESCAPE).and_then(|escape| escape.strip_prefix("\\u"));
        digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).is_some_and(|unit| range.contains(&unit))
    };
    let (high, low) = (0xd800..0xdc00, 0xdc00..0xe000);
    let (mut replaced, mut done, mut at) = (String::new(), 0, 0);
    while let Some(next) = json[at..].find('\\') {
        at += next;
        if surrogate(at, high.clone()) && surrogate(at + ESCAPE, low.clone()) {
            at += 2 * ESCAPE;
        } else if surrogate(at, high.start..low.end) {
            replaced.push_str(&json[done..at]);
            replaced.push_str("\\ufffd");
            at += ESCAPE;
            done = at;
        } else {
            // The character after a backslash does not begin another escape, so it is skipped.
            at += 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8);
        }
    }
    if done == 0 {
        return json.into();
    }
    replaced.push_str(&json[done..]);
    replaced.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> String {
        string(&parse_object(json).expect("an object").remove(0).1).expect("a string")
    }

    #[test]
    fn half_of_a_surrogate_pair_is_a_replacement_character() {
        for (json, expected) in [
            (r#"{"a": "x \ud83d"}"#, "x \u{fffd}"),
            (r#"{"a": "\ude00 y"}"#, "\u{fffd} y"),
            (r#"{"a": "\ud83d\ude00"}"#, "😀"),
            (r#"{"a": "\ud83d\ud83d\ude00"}"#, "\u{fffd}😀"),
            (r#"{"a": "\\ud83d"}"#, "\\ud83d"),
            (r#"{"a\ud83d": "b"}"#, "b"),
            (r#"{"a": "\uD83Dx\u00e9"}"#, "\u{fffd}xé"),
        ] {
            assert_eq!(text(json), expected, "{json}");
        }
        let unfinished = parse_object(r#"{"a": "\ud8"#);
        assert!(matches!(unfinished, Err(DataProblem::NotJson { .. })), "{unfinished:?}");
    }

    #[test]
    fn words_that_are_not_json_are_named() {
        for (json, word) in [
            (r#"{"a": "NaN", "b": NaN}"#, "NaN"),
            (r#"{"b": -Infinity}"#, "-Infinity"),
            (r#"{"a": "\"", "b": None}"#, "None"),
            (r#"{"b": [True]}"#, "True"),
            (r#"{'b': 1}"#, "'"),
        ] {
            let refused = parse_object(json);
            assert!(
                matches!(&refused, Err(DataProblem::ForeignJson { word: reported, .. }) if *reported == word),
                "{refused:?}"
            );
        }
        assert!(parse_object(r#"{"NaN": "None"}"#).is_ok());
    }
}
