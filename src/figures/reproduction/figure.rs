//! Figure of a report: SVG panels with a heading and a caption.

use crate::error::{Error, Result};
use crate::figures::style::DrawError;

/// Figure of one or more panels.
pub(crate) struct Figure {
    /// Number of the DHT paper's figure that this figure repeats; `None` for a figure that the paper lacks.
    pub(crate) number: Option<usize>,
    pub(crate) title: String,
    pub(crate) caption: String,
    /// Panels; empty if the record has nothing to show, which the caption states.
    pub(crate) panels: Vec<Panel>,
}

/// Single SVG of a figure.
pub(crate) struct Panel {
    /// File name, such as `flops.svg`.
    pub(crate) file: String,
    /// Alternative text for readers who do not see the figure.
    pub(crate) alt: String,
    pub(crate) svg: String,
}

impl Figure {
    /// Heading such as `Figure 2. Depths and head counts …`, or the title alone.
    pub(crate) fn heading(&self) -> String {
        match self.number {
            Some(number) => format!("Figure {number}. {}", self.title),
            None => self.title.clone(),
        }
    }
}

/// Creates a panel, or returns the error of its drawing.
pub(super) fn panel(file: &str, alt: String, svg: Result<String, DrawError>) -> Result<Panel> {
    let svg = svg.map_err(|error| Error::Figure { figure: file.to_owned(), message: error.to_string() })?;
    Ok(Panel { file: file.to_owned(), alt, svg })
}
