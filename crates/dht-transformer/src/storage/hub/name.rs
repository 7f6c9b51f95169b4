//! Syntax of names on the hub.

/// Returns whether a name has one or two parts of letters, digits and `-_.`, where no part begins with a dot.
pub(super) fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let sign = |sign: char| sign.is_ascii_alphanumeric() || "-_.".contains(sign);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(sign)
    };
    name.len() <= 96 && name.split('/').count() <= 2 && name.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_on_the_hub_are_told_from_paths() {
        for name in ["bert-base-uncased", "sentence-transformers/all-MiniLM-L6-v2", "a/b.c_d"] {
            assert!(is_name(name), "{name}");
        }
        for path in ["", "/a/b", "./a", "../a", "a/b/c", "a//b", "a/", "a b", "~/a", "a\\b", "a/.b"] {
            assert!(!is_name(path), "{path}");
        }
    }
}
