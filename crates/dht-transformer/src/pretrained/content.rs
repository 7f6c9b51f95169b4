//! Detection of weight file formats by their first bytes.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use crate::storage::{GIT_LFS, open_file};

/// Number of bytes that are read to detect a format. The last five of these bytes are the mark of a tar archive.
const HEAD: u64 = 262;

/// Format of a weight file, detected from its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Safetensors,
    /// Zip archive, as `torch.save` writes it since PyTorch 1.6.
    Zip,
    /// Sequence of pickles, as `torch.save` wrote it before PyTorch 1.6.
    OldTorch,
    /// Tar archive, as `torch.save` wrote it before PyTorch 0.2.
    Tar,
    Pickle,
    GitLfs,
    Gguf,
    FastText,
    Hdf5,
    Unknown,
}

impl Content {
    /// Detects the format of an open file, and rewinds it.
    pub(super) fn of(file: &mut File) -> io::Result<Self> {
        let mut head = Vec::new();
        file.take(HEAD).read_to_end(&mut head)?;
        file.rewind()?;
        Ok(Self::of_head(&head))
    }

    /// Detects the format of a file. A file that cannot be read is [`Unknown`](Self::Unknown).
    pub(super) fn of_path(path: &Path) -> Self {
        open_file(path).and_then(|mut file| Self::of(&mut file)).unwrap_or(Self::Unknown)
    }

    fn of_head(head: &[u8]) -> Self {
        // The number of PyTorch's files before 1.6, in a pickle of protocol 2.
        const OLD: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
        match head {
            [_, _, _, _, 0, 0, 0, 0, b'{', ..] => Self::Safetensors,
            _ if head.starts_with(b"PK\x03\x04") => Self::Zip,
            _ if head.starts_with(OLD) => Self::OldTorch,
            _ if head.starts_with(&GIT_LFS) => Self::GitLfs,
            _ if head.starts_with(b"GGUF") => Self::Gguf,
            // 793712314, the number of fastText's models.
            _ if head.starts_with(&793_712_314_u32.to_le_bytes()) => Self::FastText,
            _ if head.starts_with(b"\x89HDF\r\n\x1a\n") => Self::Hdf5,
            _ if head.get(257..262) == Some(b"ustar") => Self::Tar,
            [0x80, 2..=5, ..] => Self::Pickle,
            _ => Self::Unknown,
        }
    }

    /// Error message for an unsupported format, with advice on how to convert the file. `None` for a supported or
    /// unknown format.
    pub(super) fn refusal(self) -> Option<&'static str> {
        Some(match self {
            Self::Safetensors | Self::Zip | Self::GitLfs | Self::Unknown => return None,
            Self::OldTorch => {
                "is in the format of PyTorch before 1.6, which is not read: load the model in transformers, and save it \
                 by save_pretrained with safe_serialization=True"
            }
            Self::Tar => {
                "is a tar archive, as PyTorch before 0.2 wrote them, which is not read: unpack it, or load the model in \
                 transformers and save it by save_pretrained with safe_serialization=True"
            }
            Self::Pickle => {
                "is a pickle, which is a program and never run: load the model where you trust it, and save it by \
                 save_pretrained with safe_serialization=True"
            }
            Self::Gguf => {
                "is a model in GGUF, as llama.cpp reads it, which is not read: use the directory that it was converted \
                 from"
            }
            Self::FastText => {
                "is a fastText model, which has no encoder and is not read: train a model on its texts instead"
            }
            Self::Hdf5 => {
                "is in HDF5, as TensorFlow and Keras write it, which is not read: load the model in transformers 4 \
                 with from_tf=True, and save it by save_pretrained with safe_serialization=True"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let tar = [&[b'a'; 257][..], b"ustar\0"].concat();
        for (head, content) in [
            (&b"\x40\0\0\0\0\0\0\0{\"t\":"[..], Content::Safetensors),
            (b"PK\x03\x04\0\0", Content::Zip),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", Content::OldTorch),
            (b"\x80\x04\x95", Content::Pickle),
            (b"version https://git-lfs", Content::GitLfs),
            (b"GGUF\x03\0\0\0", Content::Gguf),
            (b"\xba\x16\x4f\x2f\x0c\0\0\0", Content::FastText),
            (b"\x89HDF\r\n\x1a\n\0", Content::Hdf5),
            (&tar, Content::Tar),
            (b"", Content::Unknown),
            (b"PK", Content::Unknown),
        ] {
            assert_eq!(Content::of_head(head), content, "{head:?}");
            let read = matches!(content, Content::Safetensors | Content::Zip | Content::GitLfs | Content::Unknown);
            assert_eq!(content.refusal().is_none(), read, "{content:?}");
        }
    }
}
