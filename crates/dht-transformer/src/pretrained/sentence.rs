//! Reader of sentence-transformers directories, which consist of an encoder and a pooling.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{Pooling, json_object};
use crate::error::{Error, Result};
use crate::storage::{FileKind, read_file};

const MODULES: &str = "modules.json";
/// Name of the field that selects a pooling, and prefix of the older fields with truth values.
const MODE: &str = "pooling_mode";

/// Encoder and pooling of a sentence-transformers model directory.
///
/// # Examples
/// ```
/// use dht_transformer::{Pooling, pretrained::SentenceModel};
///
/// let folder = tempfile::tempdir()?;
/// let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
/// write("modules.json", r#"[{"path": "", "type": "models.Transformer"}, {"path": "1_Pooling", "type": "models.Pooling"}]"#)?;
/// std::fs::create_dir(folder.path().join("1_Pooling"))?;
/// write("1_Pooling/config.json", r#"{"pooling_mode_cls_token": true}"#)?;
/// let model = SentenceModel::read(folder.path())?.expect("modules.json");
/// assert_eq!((model.encoder.as_path(), model.pooling), (folder.path(), Ok(Pooling::Cls)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentenceModel {
    /// Directory of the encoder: the model directory itself, or a subdirectory such as `0_Transformer`.
    pub encoder: PathBuf,
    /// Pooling of the hidden states. `Err` has the name of a pooling that this crate does not compute, such as
    /// `max_tokens`.
    pub pooling: Result<Pooling, String>,
    /// Names of further modules of the model, such as `Dense`, which this crate does not compute. Normalisation of the
    /// pooled vectors is not listed.
    pub others: Vec<String>,
}

/// Entry of `modules.json`: the class and the directory of a module.
#[derive(Deserialize)]
struct Module {
    path: PathBuf,
    #[serde(rename = "type")]
    class: String,
}

impl SentenceModel {
    /// Reads `modules.json` in a directory or its parent. `None` if neither has this file, or if the file in the parent
    /// names another directory as the encoder.
    ///
    /// # Errors
    /// [`Error::Json`] for a file that is not JSON; [`Error::Config`] for a path outside the directory, and for a
    /// pooling without a mode; [`Error::Io`].
    pub fn read(folder: impl AsRef<Path>) -> Result<Option<Self>> {
        let folder = folder.as_ref();
        if let Some(own) = Self::of(folder)? {
            return Ok(Some(own));
        }
        match folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => Ok(Self::of(parent)?.filter(|model| model.encoder == folder)),
            None => Ok(None),
        }
    }

    fn of(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(MODULES);
        let Some(text) = optional(&path)? else { return Ok(None) };
        let failed = |source| Error::Json { what: path.display().to_string(), source };
        let modules: Vec<Module> = serde_json::from_slice(&text).map_err(failed)?;
        let place =
            |class: &str| modules.iter().find(|module| module.class.ends_with(class)).map(|module| &module.path);
        for inside in modules.iter().map(|module| &module.path) {
            if !inside.components().all(|part| matches!(part, Component::Normal(_))) {
                return Err(Error::Config {
                    file: path.display().to_string(),
                    field: "path",
                    expected: "a directory beside the file".into(),
                    got: inside.display().to_string(),
                });
            }
        }
        let encoder = match place(".Transformer") {
            Some(inside) if !inside.as_os_str().is_empty() => folder.join(inside),
            _ => folder.to_path_buf(),
        };
        let name = |module: &Module| module.class.rsplit('.').next().unwrap_or_default().to_owned();
        let known = ["Transformer", "Pooling", "Normalize"];
        let others = modules.iter().map(name).filter(|name| !known.contains(&name.as_str())).collect();
        let pooling = place(".Pooling").map(|inside| pooling(&folder.join(inside).join("config.json"))).transpose()?;
        Ok(Some(Self { encoder, pooling: pooling.unwrap_or(Ok(Pooling::Mean)), others }))
    }
}

/// Reads the pooling from the configuration of a pooling module: either one name, or a truth value for each possible
/// name.
fn pooling(path: &Path) -> Result<Result<Pooling, String>> {
    let Some(text) = optional(path)? else { return Ok(Ok(Pooling::Mean)) };
    let fields: Map<String, Value> = json_object(&path.display().to_string(), &text)?;
    let set = |(name, value): (&String, &Value)| {
        let name = name.strip_prefix(MODE)?.strip_prefix('_')?;
        (value == &Value::Bool(true)).then(|| name.to_owned())
    };
    let modes: Vec<String> = match fields.get(MODE) {
        Some(Value::String(name)) => vec![name.clone()],
        _ => fields.iter().filter_map(set).collect(),
    };
    Ok(match &*modes {
        [] => {
            return Err(Error::Config {
                file: path.display().to_string(),
                field: MODE,
                expected: "one mode that is true".into(),
                got: "none".into(),
            });
        }
        [mode] if ["cls", "cls_token"].contains(&mode.as_str()) => Ok(Pooling::Cls),
        [mode] if ["mean", "mean_tokens"].contains(&mode.as_str()) => Ok(Pooling::Mean),
        several => Err(several.join(" and ")),
    })
}

fn optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match read_file(path, FileKind::Description) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::io(path, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(modules: &str, pooling: &str) -> Result<Option<SentenceModel>> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(MODULES), modules).expect("a file");
        std::fs::create_dir(folder.path().join("1_Pooling")).expect("a folder");
        std::fs::write(folder.path().join("1_Pooling/config.json"), pooling).expect("a file");
        SentenceModel::read(folder.path())
    }

    const MODELS: &str = r#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]"#;

    #[test]
    fn poolings_of_both_notations_are_read() {
        let of = |pooling: &str| read(MODELS, pooling).expect("a model").expect("modules").pooling;
        assert_eq!(of(r#"{"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}"#), Ok(Pooling::Mean));
        assert_eq!(of(r#"{"pooling_mode": "cls"}"#), Ok(Pooling::Cls));
        assert_eq!(of(r#"{"pooling_mode": "max"}"#), Err("max".into()));
        let dense = MODELS.replace("]", r#", {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]"#);
        let dense = read(&dense, r#"{"pooling_mode": "cls"}"#).expect("a model").expect("modules");
        assert_eq!(dense.others, ["Dense"]);
        let two = r#"{"pooling_mode_max_tokens": true, "pooling_mode_mean_tokens": true}"#;
        assert_eq!(of(two), Err("max_tokens and mean_tokens".into()));
    }

    #[test]
    fn other_modules_are_refused_by_name() {
        for (modules, pooling, expected) in [
            ("{}", "{}", "modules.json"),
            (MODELS, "{}", "one mode that is true"),
            (MODELS, "[", "config.json"),
            (r#"[{"path": "../other", "type": "m.Transformer"}]"#, "{}", "a directory beside the file"),
            (r#"[{"path": "/etc", "type": "m.Transformer"}]"#, "{}", "a directory beside the file"),
            (r#"[{"type": "m.Transformer"}]"#, "{}", "missing field `path`"),
        ] {
            let refused = read(modules, pooling).expect_err("a problem").to_string();
            assert!(refused.contains(expected), "{modules}: {refused}");
        }
        assert_eq!(SentenceModel::read(tempfile::tempdir().expect("a folder").path()).expect("none"), None);
    }

    #[test]
    fn an_encoder_in_a_folder_of_its_own_is_found_from_both() {
        let folder = tempfile::tempdir().expect("a folder");
        let modules = MODELS.replace(r#""path": "","#, r#""path": "0_Transformer","#);
        std::fs::write(folder.path().join(MODULES), modules).expect("a file");
        let encoder = folder.path().join("0_Transformer");
        std::fs::create_dir(&encoder).expect("a folder");
        let outer = SentenceModel::read(folder.path()).expect("read").expect("modules");
        assert_eq!((&outer.encoder, &outer.pooling), (&encoder, &Ok(Pooling::Mean)));
        assert_eq!(SentenceModel::read(&encoder).expect("read"), Some(outer));
        assert_eq!(SentenceModel::read(folder.path().join("1_Pooling")).expect("read"), None);
    }
}
