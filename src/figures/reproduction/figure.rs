//! Figure of a report: SVG panels with a heading and a caption.

use crate::error::{Error, Result};
use crate::figures::style::DrawError;

/// Figure of one or more panels.
pub(crate) struct Figure {
    /// Number of the corresponding figure of the DHT paper; `None` if the paper has no such figure.
    pub(crate) number: Option<usize>,
    pub(crate) title: String,
    pub(crate) caption: String,
    /// Panels; empty if there are no data, which the caption states.
    pub(crate) panels: Vec<Panel>,
}

/// Single SVG of a figure.
pub(crate) struct Panel {
    /// File name, such as `flops.svg`.
    pub(crate) file: String,
    /// Text alternative for readers who cannot see the figure.
    pub(crate) alt: String,
    pub(crate) svg: String,
}

impl Figure {
    /// Heading of the figure, such as `Figure 2. Depths and head counts …`, or only its title.
    pub(crate) fn heading(&self) -> String {
        match self.number {
            Some(number) => format!("Figure {number}. {}", self.title),
            None => self.title.clone(),
        }
    }
}

pub(super) fn panel(file: &str, alt: String, svg: Result<String, DrawError>) -> Result<Panel> {
    let svg = svg.map_err(|error| Error::Figure { figure: file.to_owned(), message: error.to_string() })?;
    Ok(Panel { file: file.to_owned(), alt, svg })
}
