//! How files are damaged: byte by byte, and in the tree of their values.

use proptest::prelude::*;
use serde_json::Value;

/// What a file can hold in a place where a number or a word belongs.
const WILD: [&str; 16] = [
    "0",
    "-1",
    "1e308",
    "-1e308",
    "1e-308",
    "1e999",
    "NaN",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "99999999",
    "9223372036854775808",
    "18446744073709551615",
    "1e18",
];

#[derive(Debug, Clone, Copy)]
pub enum Edit {
    Byte(usize, u8),
    Cut(usize),
    Drop(usize, usize),
    Repeat(usize, usize),
    Wild(usize, usize),
    Splice(usize, usize, usize),
    Tree(usize, Change),
}

/// What happens to a value that stays well-formed around it.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    Replace(usize),
    Remove,
    Repeat,
    Swap,
}

pub fn edit() -> impl Strategy<Value = Edit> {
    let place = any::<usize>;
    prop_oneof![
        6 => (place(), change()).prop_map(|(place, change)| Edit::Tree(place, change)),
        1 => (place(), any::<u8>()).prop_map(|(place, byte)| Edit::Byte(place, byte)),
        1 => place().prop_map(Edit::Cut),
        1 => (place(), 1usize..40).prop_map(|(place, length)| Edit::Drop(place, length)),
        1 => (place(), 1usize..40).prop_map(|(place, length)| Edit::Repeat(place, length)),
        1 => (place(), 0..WILD.len()).prop_map(|(place, word)| Edit::Wild(place, word)),
        1 => (place(), place(), place()).prop_map(|(place, other, from)| Edit::Splice(place, other, from)),
    ]
}

pub fn damage(text: &mut Vec<u8>, edit: Edit, corpus: &[String]) {
    let length = text.len().max(1);
    let span = |place: usize, size: usize| place % length..(place % length + size).min(length);
    if text.is_empty() {
        return;
    }
    match edit {
        Edit::Byte(place, byte) => text[place % length] = byte,
        // Whole files, cut rarely: what is left of one seldom reads.
        Edit::Cut(place) => text.truncate(place % (8 * length)),
        Edit::Drop(place, size) => drop(text.drain(span(place, size))),
        Edit::Repeat(place, size) => {
            let piece = text[span(place, size)].to_vec();
            text.splice(place % length..place % length, piece);
        }
        Edit::Wild(place, word) => {
            // A whole number gives way, where one is near.
            let number = |byte: &u8| byte.is_ascii_digit() || b".-+e".contains(byte);
            let start = place % length + text[place % length..].iter().position(u8::is_ascii_digit).unwrap_or(0);
            let end = start + text[start..].iter().position(|byte| !number(byte)).unwrap_or(0);
            text.splice(start..end, WILD[word].bytes());
        }
        Edit::Splice(place, other, from) => {
            let other = corpus[other % corpus.len()].as_bytes();
            let from = from % other.len();
            text.splice(span(place, 20), other[from..(from + 20).min(other.len())].iter().copied());
        }
        Edit::Tree(place, change) => {
            if let Ok(mut tree) = serde_json::from_slice::<Value>(text) {
                let size = count(&tree);
                alter(&mut tree, &mut (place % size), change);
                *text = tree.to_string().into_bytes();
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (0..WILD.len()).prop_map(Change::Replace),
        1 => Just(Change::Remove),
        1 => Just(Change::Repeat),
        1 => Just(Change::Swap),
    ]
}

/// How many values a tree has.
fn count(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Changes the value that comes `place` values after the root; in an array also by removing, repeating or swapping it.
fn alter(tree: &mut Value, place: &mut usize, change: Change) {
    if *place == 0 {
        if let Change::Replace(word) = change {
            // What is no JSON becomes a string.
            *tree = serde_json::from_str(WILD[word]).unwrap_or_else(|_| WILD[word].into());
        }
        return;
    }
    *place -= 1;
    match tree {
        Value::Array(values) => {
            let Some(index) = child(values.iter(), place) else { return };
            match change {
                Change::Remove if *place == 0 => drop(values.remove(index)),
                Change::Repeat if *place == 0 => values.insert(index, values[index].clone()),
                Change::Swap if *place == 0 => {
                    let last = values.len() - 1;
                    values.swap(index, last);
                }
                _ => alter(&mut values[index], place, change),
            }
        }
        Value::Object(fields) => {
            let Some(index) = child(fields.values(), place) else { return };
            let key = fields.keys().nth(index).cloned().unwrap_or_default();
            if *place == 0 && matches!(change, Change::Remove) {
                fields.remove(&key);
            } else if let Some(value) = fields.get_mut(&key) {
                alter(value, place, change);
            }
        }
        _ => {}
    }
}

/// The child in which the value at `place` is, counted from that child afterwards.
fn child<'a>(values: impl Iterator<Item = &'a Value>, place: &mut usize) -> Option<usize> {
    for (index, value) in values.enumerate() {
        let size = count(value);
        if *place < size {
            return Some(index);
        }
        *place -= size;
    }
    None
}
