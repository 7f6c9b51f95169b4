//! Saving and loading of policies whose type comes from settings.

#[cfg(feature = "settings")]
use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::PolicySettings;
use super::configured::Configured;
use super::policy::AnyPolicy;
use super::wrapped::Wrapped;
use crate::error::{Error, Result};
#[cfg(feature = "settings")]
use crate::files::replace_file;
use crate::saved_state::{StateHeader, check_header, header_reader};

#[cfg(feature = "settings")]
impl AnyPolicy {
    /// Serialises settings and learned state of the policy as JSON.
    ///
    /// # Errors
    /// - [`Error::Memory`] if memory cannot be allocated.
    /// - [`Error::Settings`] if JSON cannot represent a value.
    pub fn to_json(&self) -> Result<String> {
        // Serialisation copies the learned state.
        self.kind().check_copy()?;
        let mut text = Text::default();
        serde_json::to_writer(&mut text, self)
            .map_err(|error| text.refusal.take().unwrap_or_else(|| Error::Settings { problem: error.to_string() }))?;
        String::from_utf8(text.bytes).map_err(|error| Error::Settings { problem: error.to_string() })
    }

    /// Reads a policy from JSON text, and checks it.
    ///
    /// # Errors
    /// [`Error::Settings`] if the text is not a policy, has a newer version or contradicts itself.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::Settings { problem: error.to_string() })
    }

    /// Writes the policy to a file, completely or not at all; a failure leaves no partial file. Several threads and
    /// processes may save to one path at once. Each writes its own partial file, and a reader gets the last completed
    /// one. If the path is a symbolic link, the link stays and its target is written.
    ///
    /// The policy is first written to a partial file in the same folder. Its name has the process id, a number and
    /// `.partial` appended. If the process is killed meanwhile, this file remains. It is never read, and can be
    /// deleted.
    ///
    /// ```
    /// use dht_bandits::policy::{AnyPolicy, RewardType};
    /// use dht_bandits::Policy;
    ///
    /// # let file = std::env::temp_dir().join(format!("any-policy-{}.json", std::process::id()));
    /// let policy = AnyPolicy::recommended(2, 3, RewardType::Binary)?;
    /// policy.save(&file)?;
    /// assert_eq!(AnyPolicy::load(&file)?.arms().len(), 3);
    /// # std::fs::remove_file(&file).ok();
    /// # Ok::<(), dht_bandits::Error>(())
    /// ```
    ///
    /// # Errors
    /// - [`Error::File`] if the file or the partial file cannot be written, or if the path is a folder, a device or a
    ///   pipe.
    /// - The errors of [`to_json`](Self::to_json).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        replace_file(path.as_ref(), self.to_json()?.as_bytes())
    }

    /// Reads a policy from a JSON file, and checks it.
    ///
    /// # Errors
    /// - [`Error::File`] if the file cannot be read; the error's `kind` shows whether the file is missing.
    /// - [`Error::Settings`], with the file's name, in the cases of [`from_json`](Self::from_json).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read(path).map_err(|error| Error::file(path, &error))?;
        serde_json::from_slice(&text)
            .map_err(|error| Error::Settings { problem: format!("{}: {error}", path.display()) })
    }
}

/// Text buffer that reserves memory before it grows, so that a lack of memory is an error and not an abort.
#[cfg(feature = "settings")]
#[derive(Default)]
struct Text {
    bytes: Vec<u8>,
    refusal: Option<Error>,
}

#[cfg(feature = "settings")]
impl std::io::Write for Text {
    fn write(&mut self, more: &[u8]) -> std::io::Result<usize> {
        crate::validate::reserve("text of the policy", &mut self.bytes, Some(more.len())).map_err(|error| {
            self.refusal = Some(error);
            std::io::Error::from(std::io::ErrorKind::OutOfMemory)
        })?;
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

header_reader!("any-policy");

#[derive(Serialize)]
struct Saved<'a> {
    header: StateHeader,
    settings: &'a PolicySettings,
    policy: &'a Wrapped,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Loaded {
    #[serde(deserialize_with = "read_header")]
    header: StateHeader,
    settings: PolicySettings,
    policy: Wrapped,
}

impl Serialize for AnyPolicy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { settings, policy, .. } = self;
        Saved { header: StateHeader::new("any-policy"), settings, policy }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AnyPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Loaded { header, settings, policy } = Loaded::deserialize(deserializer)?;
        check_header(&header, "any-policy").map_err(D::Error::custom)?;
        settings.check().map_err(D::Error::custom)?;
        let scaled = matches!(policy, Wrapped::Normalised(_));
        let mut policy = Self { settings, policy, in_flight: None };
        if policy.kind().fits(&policy.settings) && scaled == policy.settings.normaliser.is_some() {
            if policy.settings.floor > 0.0 {
                let rule = policy.settings.floored_rule().map_err(D::Error::custom)?;
                policy.kind_mut().set_rule(rule).map_err(D::Error::custom)?;
            }
            return Ok(policy);
        }
        let problem = "settings and policy disagree in kind, lengths, exploration or scaling".to_owned();
        Err(D::Error::custom(Error::InvalidState { what: "policy", index: 0, problem }))
    }
}
