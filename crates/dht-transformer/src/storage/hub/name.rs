//! Parser of repository names and revisions on the Hugging Face hub.

use std::fmt;

use crate::error::{Error, Result};

const AT: char = '@';
const LONGEST: usize = 200;

/// Name of a repository on the hub with an optional revision: `NAME` or `NAME@REVISION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HubName {
    pub(super) repository: String,
    pub(super) revision: Option<String>,
}

impl HubName {
    /// Parses `NAME` or `NAME@REVISION`. `None` if the part before `@` is not a valid name on the hub.
    ///
    /// # Errors
    /// [`Error::Argument`] for a revision that git does not allow.
    pub(super) fn parse(text: &str) -> Result<Option<Self>> {
        if !is_name(text.split(AT).next().unwrap_or_default()) {
            return Ok(None);
        }
        let (repository, revision) = split_revision(text)?;
        Ok(Some(Self { repository: repository.into(), revision: revision.map(str::to_owned) }))
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        self.revision.as_ref().map_or(Ok(()), |revision| write!(f, "{AT}{revision}"))
    }
}

/// Splits `NAME@REVISION` at the first `@` into the name of a repository and a revision.
///
/// # Errors
/// [`Error::Argument`] for a revision that git does not allow.
pub(super) fn split_revision(text: &str) -> Result<(&str, Option<&str>)> {
    match text.split_once(AT) {
        Some((name, revision)) if is_revision(revision) => Ok((name, Some(revision))),
        Some((_, revision)) => {
            let expected = "a branch, a tag or a commit, as in NAME@main, NAME@v1.0 or NAME@refs/pr/3";
            Err(Error::argument("revision", expected, format!("{revision:?}")))
        }
        None => Ok((text, None)),
    }
}

/// Returns whether a text has the form of a repository name: one or two parts separated by a slash. Each part consists
/// of letters, digits and `-_.`, and does not begin with a dot.
pub(super) fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let sign = |sign: char| sign.is_ascii_alphanumeric() || "-_.".contains(sign);
        !part.is_empty() && !part.starts_with('.') && part.chars().all(sign)
    };
    name.len() <= 96 && name.split('/').count() <= 2 && name.split('/').all(part)
}

/// Returns whether git allows a text as a branch name, tag name or commit hash.
fn is_revision(text: &str) -> bool {
    let sign = |sign: char| !sign.is_control() && !sign.is_whitespace() && !"~^:?*[\\".contains(sign);
    let part =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !part.ends_with(".lock");
    text.len() <= LONGEST
        && text != "@"
        && !text.contains("..")
        && !text.contains("@{")
        && text.chars().all(sign)
        && text.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_hub_are_told_from_paths() {
        for name in ["bert-base-uncased", "sentence-transformers/all-MiniLM-L6-v2", "a/b.c_d"] {
            assert!(is_name(name), "{name}");
        }
        for path in ["", "/a/b", "./a", "../a", "a/b/c", "a//b", "a/", "a b", "~/a", "a\\b", "a/.b"] {
            assert!(!is_name(path), "{path}");
        }
    }

    #[test]
    fn a_revision_is_what_git_allows() {
        for revision in ["main", "v1.0", "refs/pr/3", "v1@2", "feature#1", "größer", "c0ffee", "a%2Fb", "-x", "a+b"] {
            let text = format!("a/b@{revision}");
            let name = HubName::parse(&text).expect("a revision").expect("a name");
            assert_eq!((&*name.repository, name.revision.as_deref()), ("a/b", Some(revision)));
            assert_eq!(name.to_string(), text);
        }
        let long = "x".repeat(LONGEST + 1);
        for revision in [
            "", "..", "a/../b", "/a", "a/", "a//b", ".a", "a.lock", "a.", "a b", "a\nb", "a\0", "@", "a@{1}", "a:b",
            &long,
        ] {
            let refused = HubName::parse(&format!("a/b@{revision}")).expect_err(revision).to_string();
            assert!(refused.starts_with("revision is \"") && refused.contains("NAME@refs/pr/3"), "{refused}");
        }
        // What is before the sign is not a name.
        for path in ["/home/me@work/..", "./a@", "../x@main", "@main"] {
            assert_eq!(HubName::parse(path).expect("no revision"), None, "{path}");
        }
        assert_eq!(HubName::parse("a/b").expect("a name").expect("a name").revision, None);
    }
}
