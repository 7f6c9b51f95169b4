//! Damage to files: in their bytes, and in the tree of their values.

use proptest::prelude::*;
use serde_json::Value;

/// Value that is put where a number or a word is expected.
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

/// Edit of a value, after which the text is still well-formed.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    Replace(usize),
    Remove,
    Repeat,
    Swap,
}

pub fn edit() -> impl Strategy<Value = Edit> {
    let position = any::<usize>;
    prop_oneof![
        6 => (position(), change()).prop_map(|(position, change)| Edit::Tree(position, change)),
        1 => (position(), any::<u8>()).prop_map(|(position, byte)| Edit::Byte(position, byte)),
        1 => position().prop_map(Edit::Cut),
        1 => (position(), 1usize..40).prop_map(|(position, length)| Edit::Drop(position, length)),
        1 => (position(), 1usize..40).prop_map(|(position, length)| Edit::Repeat(position, length)),
        1 => (position(), 0..WILD.len()).prop_map(|(position, word)| Edit::Wild(position, word)),
        1 => (position(), position(), position()).prop_map(|(position, other, from)| Edit::Splice(position, other, from)),
    ]
}

pub fn damage(text: &mut Vec<u8>, edit: Edit, corpus: &[String]) {
    let length = text.len().max(1);
    let span = |position: usize, size: usize| position % length..(position % length + size).min(length);
    if text.is_empty() {
        return;
    }
    match edit {
        Edit::Byte(position, byte) => text[position % length] = byte,
        // Whole files are cut rarely, since a cut file can seldom be read.
        Edit::Cut(position) => text.truncate(position % (8 * length)),
        Edit::Drop(position, size) => drop(text.drain(span(position, size))),
        Edit::Repeat(position, size) => {
            let piece = text[span(position, size)].to_vec();
            text.splice(position % length..position % length, piece);
        }
        Edit::Wild(position, word) => {
            // A whole number is replaced, if there is one nearby.
            let number = |byte: &u8| byte.is_ascii_digit() || b".-+e".contains(byte);
            let start = position % length + text[position % length..].iter().position(u8::is_ascii_digit).unwrap_or(0);
            let end = start + text[start..].iter().position(|byte| !number(byte)).unwrap_or(0);
            text.splice(start..end, WILD[word].bytes());
        }
        Edit::Splice(position, other, from) => {
            let other = corpus[other % corpus.len()].as_bytes();
            let from = from % other.len();
            text.splice(span(position, 20), other[from..(from + 20).min(other.len())].iter().copied());
        }
        Edit::Tree(position, change) => {
            if let Ok(mut tree) = serde_json::from_slice::<Value>(text) {
                let size = count(&tree);
                alter(&mut tree, &mut (position % size), change);
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

/// Number of values in a tree.
fn count(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Changes the value at position `place` after the root. A value in an array may also be removed, repeated or swapped.
fn alter(tree: &mut Value, position: &mut usize, change: Change) {
    if *position == 0 {
        if let Change::Replace(word) = change {
            // Text that is not JSON becomes a string.
            *tree = serde_json::from_str(WILD[word]).unwrap_or_else(|_| WILD[word].into());
        }
        return;
    }
    *position -= 1;
    match tree {
        Value::Array(values) => {
            let Some(index) = child(values.iter(), position) else { return };
            match change {
                Change::Remove if *position == 0 => drop(values.remove(index)),
                Change::Repeat if *position == 0 => values.insert(index, values[index].clone()),
                Change::Swap if *position == 0 => {
                    let last = values.len() - 1;
                    values.swap(index, last);
                }
                _ => alter(&mut values[index], position, change),
            }
        }
        Value::Object(fields) => {
            let Some(index) = child(fields.values(), position) else { return };
            let key = fields.keys().nth(index).cloned().unwrap_or_default();
            if *position == 0 && matches!(change, Change::Remove) {
                fields.remove(&key);
            } else if let Some(value) = fields.get_mut(&key) {
                alter(value, position, change);
            }
        }
        _ => {}
    }
}

/// Child that contains the value at `place`, with the position of the value counted from that child.
fn child<'a>(values: impl Iterator<Item = &'a Value>, position: &mut usize) -> Option<usize> {
    for (index, value) in values.enumerate() {
        let size = count(value);
        if *position < size {
            return Some(index);
        }
        *position -= size;
    }
    None
}
