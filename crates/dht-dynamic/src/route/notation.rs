//! Text notation of routes (layers and attention heads to run), such as `12L8H` or `7L9H+2L12H`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Consecutive layers of a route with the same number of attention heads, such as `7L9H`: 7 layers with 9 heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Segment {
    /// Number of layers, at least 1.
    pub layers: usize,
    /// Number of attention heads that each layer keeps, at least 1.
    pub heads: usize,
}

const NO_LAYERS: &str = "0L";

/// Text notation of a route, as in the DHT paper (Meng et al. 2023): the numbers of layers (L) and attention heads (H)
/// of its segments.
///
/// One segment, `12L8H`, gives the total depth, and the number of heads in the layers whose heads are selected. Base
/// layers, the first layers of a route, keep all their heads; see [`GroupRole`](super::GroupRole). Several segments,
/// `3L12H+3L8H+3L10H` or `7L9H+2L12H`, give the number of layers and of heads of each segment, in order. The notation
/// does not record which layers of the model run.
///
/// Only canonical text is accepted (no spaces, signs or leading zeros, numbers from 1 to 65,535), so that parsing and
/// formatting are inverses. `0L` is the route of a text that is answered before the first layer.
///
/// ```
/// # fn main() -> dht_dynamic::Result<()> {
/// use dht_dynamic::route::RouteSpec;
///
/// let spec: RouteSpec = "7L9H+2L12H".parse()?;
/// assert_eq!(spec.depth(), 9);
/// assert_eq!(spec.to_string(), "7L9H+2L12H");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RouteSpec {
    segments: Vec<Segment>,
}

impl RouteSpec {
    /// Maximum number of layers in a segment (consecutive layers with equal heads), and of attention heads.
    pub const MOST: usize = u16::MAX as usize;

    /// Builds the notation of a route from its segments.
    ///
    /// # Errors
    /// * [`Error::NoLayers`] if there is no segment.
    /// * [`Error::Argument`] if a number of layers or heads is not between 1 and [`MOST`](Self::MOST).
    pub fn new(segments: Vec<Segment>) -> Result<Self> {
        if segments.is_empty() {
            return Err(Error::NoLayers { start: 0, end: 0 });
        }
        for Segment { layers, heads } in &segments {
            for (field, count) in [("layers of a segment", *layers), ("heads of a segment", *heads)] {
                if !(1..=Self::MOST).contains(&count) {
                    return Err(Error::argument(field, "1 to 65535", count));
                }
            }
        }
        Ok(Self { segments })
    }

    /// Notation `0L` of a route that runs no layer. It has no segments.
    pub fn without_layers() -> Self {
        Self { segments: Vec::new() }
    }

    /// Builds a notation from the segments (groups of layers) of a valid route. The segments are not checked.
    pub(super) fn from_route(segments: Vec<Segment>) -> Self {
        Self { segments }
    }

    /// Segments of the route (consecutive layers with the same number of heads), in order. Empty for `0L`.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Number of layers that the route runs.
    pub fn depth(&self) -> usize {
        self.segments.iter().map(|segment| segment.layers).sum()
    }
}

impl fmt::Display for RouteSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments.is_empty() {
            return f.write_str(NO_LAYERS);
        }
        for (index, Segment { layers, heads }) in self.segments.iter().enumerate() {
            let plus = if index == 0 { "" } else { "+" };
            write!(f, "{plus}{layers}L{heads}H")?;
        }
        Ok(())
    }
}

impl FromStr for RouteSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == NO_LAYERS {
            return Ok(Self::without_layers());
        }
        let mut parser = Parser { text, at: 0 };
        let mut segments = Vec::new();
        loop {
            let layers = parser.number()?;
            parser.letter(b'L', "L after the number of layers")?;
            let heads = parser.number()?;
            parser.letter(b'H', "H after the number of heads")?;
            segments.push(Segment { layers, heads });
            if parser.at == text.len() {
                return Ok(Self { segments });
            }
            parser.letter(b'+', "+ or the end")?;
        }
    }
}

impl TryFrom<String> for RouteSpec {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<RouteSpec> for String {
    fn from(spec: RouteSpec) -> Self {
        spec.to_string()
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn number(&mut self) -> Result<usize> {
        let expected = "a number from 1 to 65535 without leading zeros";
        let start = self.at;
        let mut number = 0_usize;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            number = number * 10 + usize::from(digit - b'0');
            if number == 0 || number > RouteSpec::MOST {
                return Err(self.error_at(start, expected));
            }
            self.at += 1;
        }
        if self.at == start { Err(self.error_at(start, expected)) } else { Ok(number) }
    }

    fn letter(&mut self, letter: u8, expected: &'static str) -> Result<()> {
        if self.peek() != Some(letter) {
            return Err(self.error_at(self.at, expected));
        }
        self.at += 1;
        Ok(())
    }

    /// Builds a parse error at byte `at`. It quotes at most 80 characters of the text, so that a huge input is not
    /// copied.
    fn error_at(&self, at: usize, expected: &'static str) -> Error {
        Error::Notation { text: self.text.chars().take(80).collect(), at, expected }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parsing_a_formatted_route_gives_the_same_route(
            pairs in prop::collection::vec((1_usize..=65_535, 1_usize..=65_535), 1..6),
        ) {
            let segments = pairs.into_iter().map(|(layers, heads)| Segment { layers, heads }).collect();
            let spec = RouteSpec::new(segments).unwrap();
            prop_assert_eq!(spec.to_string().parse::<RouteSpec>().unwrap(), spec.clone());
            let json = serde_json::to_string(&spec).unwrap();
            prop_assert_eq!(serde_json::from_str::<RouteSpec>(&json).unwrap(), spec);
        }

        #[test]
        fn any_text_is_refused_with_a_position_or_formatted_back(text in "[0-9LH+ é]{0,12}|.{0,12}") {
            match text.parse::<RouteSpec>() {
                Ok(spec) => prop_assert_eq!(spec.to_string(), text),
                Err(Error::Notation { at, .. }) => prop_assert!(at <= text.len()),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }

    #[test]
    fn the_papers_notation_is_read() {
        let spec: RouteSpec = "7L9H+2L12H".parse().unwrap();
        assert_eq!(spec.segments(), [Segment { layers: 7, heads: 9 }, Segment { layers: 2, heads: 12 }]);
        assert_eq!(spec.depth(), 9);
    }

    #[test]
    fn a_route_without_layers_is_written_with_a_zero() {
        let spec: RouteSpec = "0L".parse().unwrap();
        assert_eq!((spec.clone(), spec.depth(), spec.to_string()), (RouteSpec::without_layers(), 0, "0L".into()));
        assert_eq!(serde_json::from_str::<RouteSpec>("\"0L\"").unwrap(), spec);
        assert!("0L+3L12H".parse::<RouteSpec>().is_err() && "0L12H".parse::<RouteSpec>().is_err());
    }

    #[test]
    fn an_error_names_the_byte_that_is_wrong() {
        for (text, position) in [
            ("", 0),
            ("L", 0),
            ("12", 2),
            ("12L", 3),
            ("12L8", 4),
            ("12L8H+", 6),
            ("12L8H3L2H", 5),
            ("0L8H", 0),
            ("012L8H", 0),
            ("12L08H", 3),
            ("12l8h", 2),
            (" 12L8H", 0),
            ("12L8H ", 5),
            ("99999L8H", 0),
        ] {
            match text.parse::<RouteSpec>() {
                Err(Error::Notation { at, .. }) => assert_eq!(at, position, "{text:?}"),
                other => panic!("{text:?} gave {other:?}"),
            }
        }
    }

    #[test]
    fn a_long_text_is_refused_without_being_copied() {
        let Err(Error::Notation { text, .. }) = "9".repeat(100_000).parse::<RouteSpec>() else { panic!("accepted") };
        assert_eq!(text.len(), 80);
    }

    #[test]
    fn empty_segments_cannot_be_built() {
        assert!(matches!(RouteSpec::new(vec![]), Err(Error::NoLayers { .. })));
        let none = Segment { layers: 0, heads: 3 };
        assert!(matches!(RouteSpec::new(vec![none]), Err(Error::Argument { name: "layers of a segment", .. })));
    }
}
