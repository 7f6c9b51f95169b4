//! Compression and character encoding of text files.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::str::FromStr;

use encoding_rs::{Encoding, UTF_8};
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use crate::error::Error;

/// Compression format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// gzip, file extension `.gz`.
    Gzip,
    /// Zstandard, file extension `.zst`.
    Zstd,
}

impl Compression {
    /// Detects the compression from the extension of a file name. Also returns the name without this extension.
    ///
    /// # Examples
    /// ```
    /// use dht_transformer::data::Compression;
    ///
    /// assert_eq!(Compression::of_name("train.csv.gz"), (Some(Compression::Gzip), "train.csv"));
    /// assert_eq!(Compression::of_name("train.csv"), (None, "train.csv"));
    /// ```
    pub fn of_name(name: &str) -> (Option<Self>, &str) {
        for (ending, compression) in [(".gz", Self::Gzip), (".zst", Self::Zstd)] {
            let at = name.len().saturating_sub(ending.len());
            if name.is_char_boundary(at) && name[at..].eq_ignore_ascii_case(ending) {
                return (Some(compression), &name[..at]);
            }
        }
        (None, name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "Zstandard",
        }
    }

    /// Wraps a compressed input in a reader of the decompressed bytes.
    pub(super) fn reader<'a>(self, raw: impl Read + 'a) -> Box<dyn BufRead + 'a> {
        match self {
            Self::Gzip => Box::new(BufReader::new(MultiGzDecoder::new(raw))),
            Self::Zstd => Box::new(BufReader::new(Frames { raw: Some(BufReader::new(raw)), frame: None })),
        }
    }
}

/// Decoder of a Zstandard file, which may consist of several frames.
struct Frames<R: Read> {
    /// Compressed input; `None` while the decoder of a frame owns it.
    raw: Option<R>,
    frame: Option<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>,
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let count = frame.read(bytes)?;
                if count > 0 || bytes.is_empty() {
                    return Ok(count);
                }
                self.raw = self.frame.take().map(StreamingDecoder::into_inner);
            }
            let Some(mut raw) = self.raw.take() else { return Ok(0) };
            if raw.fill_buf()?.is_empty() {
                return Ok(0);
            }
            let decoder = StreamingDecoder::new(raw);
            self.frame = Some(decoder.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?);
        }
    }
}

/// Character encoding of a text file, such as `windows-1252`, `latin1`, `utf-16le` or `shift_jis`. `FromStr` parses the
/// names of the [WHATWG standard](https://encoding.spec.whatwg.org).
///
/// ```
/// use dht_transformer::data::TextEncoding;
///
/// assert_eq!("latin1".parse::<TextEncoding>()?.to_string(), "windows-1252");
/// assert!("latin-9000".parse::<TextEncoding>().is_err());
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextEncoding(&'static Encoding);

impl TextEncoding {
    /// Wraps an encoded input in a reader of UTF-8. Bytes that are invalid in the encoding become U+FFFD.
    fn reader<'a>(self, raw: impl Read + 'a) -> Box<dyn BufRead + 'a> {
        let decoded = DecodeReaderBytesBuilder::new().encoding(Some(self.0)).bom_override(true).build(raw);
        Box::new(BufReader::new(decoded))
    }
}

impl FromStr for TextEncoding {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        // Names that Python uses for the same encodings.
        let standard = name.trim().to_ascii_lowercase().replace('_', "-");
        let standard = match &*standard {
            "latin-1" => "latin1",
            "utf-8-sig" => "utf-8",
            other => other.strip_prefix("cp125").map_or(other, |_| other),
        };
        let encoding = Encoding::for_label(standard.as_bytes()).or_else(|| Encoding::for_label(name.as_bytes()));
        encoding.map(Self).ok_or_else(|| {
            Error::argument("encoding", "a name such as utf-8, windows-1252, latin1, utf-16le or shift_jis", name)
        })
    }
}

impl fmt::Display for TextEncoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.name())
    }
}

/// Byte-order marks of UTF-8 and UTF-16, which state the encoding at the beginning of a file.
const MARKS: [&[u8]; 3] = [&[0xef, 0xbb, 0xbf], &[0xff, 0xfe], &[0xfe, 0xff]];

/// Decodes a file to UTF-8. A byte-order mark determines the encoding; without one, the requested encoding is used.
/// Also returns the encoding, unless it is UTF-8.
pub(super) fn decoded<'a>(
    mut raw: Box<dyn BufRead + 'a>,
    asked: Option<TextEncoding>,
) -> io::Result<(Box<dyn BufRead + 'a>, Option<TextEncoding>)> {
    // No more than the mark is read: the writer of a pipe may wait for an answer.
    let (mut head, mut byte) = (Vec::new(), [0]);
    while MARKS.iter().any(|mark| mark.len() > head.len() && mark.starts_with(&head)) && raw.read(&mut byte)? > 0 {
        head.push(byte[0]);
    }
    let marked = Encoding::for_bom(&head).map(|(encoding, _)| TextEncoding(encoding));
    let raw = Box::new(Cursor::new(head).chain(raw));
    Ok(match marked.or(asked).filter(|encoding| encoding.0 != UTF_8) {
        Some(encoding) => (encoding.reader(raw), Some(encoding)),
        None => (raw, None),
    })
}
