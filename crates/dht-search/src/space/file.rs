//! Search spaces in TOML files.

use std::path::Path;

use dht_dynamic::Error as Dynamic;

use super::config::SpaceConfig;
use super::space::SearchSpace;
use crate::error::{Error, Result};

impl SpaceConfig {
    /// Parses and checks the TOML description of a search space.
    ///
    /// # Errors
    /// [`Error::SpaceFile`] if the parser or [`SearchSpace::new`] rejects the text. The error contains the message of
    /// the parser or of `new` and, if the parser knows it, the line.
    ///
    /// # Examples
    /// ```
    /// use dht_search::{SearchSpace, SpaceConfig};
    ///
    /// let text = r#"
    ///     layers = 6
    ///     heads = 12
    ///     exits = [1, 3, 6]
    ///     pinned = 4
    ///     search = { kind = "tree", heads = [[8, 12], [6, 12]] }
    /// "#;
    /// let space = SearchSpace::new(SpaceConfig::from_toml_str(text)?)?;
    /// assert_eq!(space.routes().len(), 1 + 2 + 4);
    /// # Ok::<(), dht_search::Error>(())
    /// ```
    pub fn from_toml_str(text: &str) -> Result<Self> {
        parsed("TOML text", text)
    }

    /// Reads and checks the description of a search space in a TOML file.
    ///
    /// # Errors
    /// * As [`from_toml_str`](Self::from_toml_str), with the file's path.
    /// * [`Transformer`](dht_dynamic::Error::Transformer) if the file cannot be read.
    pub fn from_toml_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let io =
            |source| Error::Dynamic(Dynamic::Transformer(dht_transformer::Error::Io { path: path.into(), source }));
        parsed(&path.display().to_string(), &std::fs::read_to_string(path).map_err(io)?)
    }
}

fn parsed(what: &str, text: &str) -> Result<SpaceConfig> {
    let refused =
        |line, problem: Box<dyn std::error::Error + Send + Sync>| Error::SpaceFile { what: what.into(), line, problem };
    let config: SpaceConfig = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
        refused(line, error.message().into())
    })?;
    SearchSpace::new(config.clone()).map_err(|error| refused(None, Box::new(error)))?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::presets::{Preset, SevenLayerHeads};

    const SPACE: &str = r#"layers = 12
heads = 12
exits = [3, 6, 9, 12]
pinned = 4

[search]
kind = "integrated"
arms = ["3L12H", "6L12H", "9L12H", "12L8H", "12L10H", "12L12H"]
"#;

    #[test]
    fn a_preset_written_as_toml_is_the_preset() {
        let preset = Preset::SDht.config(12, 12, SevenLayerHeads::Standard).unwrap();
        assert_eq!(SpaceConfig::from_toml_str(SPACE).unwrap(), preset);
        for preset in Preset::ALL {
            let config = preset.config(12, 12, SevenLayerHeads::Standard).unwrap();
            let json = serde_json::to_value(&config).unwrap();
            assert_eq!(SpaceConfig::from_toml_str(&as_toml(&json)).unwrap(), config, "{preset}");
        }
    }

    /// Converts a JSON object to TOML: each field becomes a line, and nested objects become inline tables.
    fn as_toml(json: &serde_json::Value) -> String {
        let fields = json.as_object().unwrap().iter();
        fields.map(|(key, value)| format!("{key} = {}\n", value.to_string().replace("\":", "\"="))).collect()
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("space.toml");
        let refused = |from: &str, to: &str| {
            assert!(SPACE.contains(from));
            std::fs::write(&path, SPACE.replace(from, to)).unwrap();
            match SpaceConfig::from_toml_file(&path) {
                Err(Error::SpaceFile { what, line, problem }) => {
                    assert!(what.ends_with("space.toml"), "{what}");
                    (line, problem)
                }
                other => panic!("{from} to {to}: {other:?}"),
            }
        };
        let content = |from: &str, to: &str, expected: &str, at: Option<usize>| match refused(from, to) {
            (line, problem) if !problem.is::<Error>() => {
                let message = problem.to_string();
                assert!(message.contains(expected), "{message}");
                assert_eq!(line, at, "{message}");
            }
            (_, other) => panic!("{from} to {to}: {other}"),
        };
        content("pinned", "pined", "unknown field `pined`", Some(4));
        content("layers = 12", "layers = \"many\"", "usize", Some(1));
        content("heads = 12\n", "", "missing field `heads`", Some(1));
        content("exits = [3", "exits = 3", "", Some(3));
        content("\"12L8H\"", "\"12X8H\"", "12X8H", Some(6));
        let space = |from: &str, to: &str| match refused(from, to) {
            (None, problem) => *problem.downcast::<Error>().unwrap(),
            other => panic!("{from} to {to}: {other:?}"),
        };
        assert!(matches!(space("[3, 6", "[6, 3"), Error::Dynamic(Dynamic::Exit { index: 1, got: 3, .. })));
        assert!(matches!(space("12L10H", "12L13H"), Error::Dynamic(Dynamic::HeadCount { got: 13, .. })));
        assert!(matches!(space("12L10H", "12L8H"), Error::DuplicateArm { arm: 4, first: 3, .. }));
        assert!(matches!(space("pinned = 4", "pinned = 13"), Error::Dynamic(Dynamic::Argument { name: "pinned", .. })));
        let shown = SpaceConfig::from_toml_file(&path).unwrap_err().to_string();
        assert!(shown.contains("space.toml: pinned is 13, expected at most"), "{shown}");
    }

    #[test]
    fn a_missing_or_non_text_space_file_is_rejected_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("space.toml");
        let io = |result| matches!(result, Err(Error::Dynamic(Dynamic::Transformer(dht_transformer::Error::Io { path: named, .. }))) if named == path);
        assert!(io(SpaceConfig::from_toml_file(&path)));
        std::fs::write(&path, [0xff, 0xfe, 0]).unwrap();
        assert!(io(SpaceConfig::from_toml_file(&path)));
    }
}
