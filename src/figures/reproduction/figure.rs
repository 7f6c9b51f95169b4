//! A figure: SVGs with a heading and a caption.

use crate::error::{Error, Result};
use crate::figures::style::DrawError;

/// A figure of one or more panels.
pub(crate) struct Figure {
    /// The number of the paper's figure that it repeats; `None` for one that the paper does not have.
    pub(crate) number: Option<usize>,
    pub(crate) title: String,
    pub(crate) caption: String,
    /// Empty where the record has nothing to show, which the caption says.
    pub(crate) panels: Vec<Panel>,
}

/// An SVG of its own.
pub(crate) struct Panel {
    /// The file's name: `flops.svg`.
    pub(crate) file: String,
    /// What it shows, for readers who do not see it.
    pub(crate) alt: String,
    pub(crate) svg: String,
}

impl Figure {
    /// `Figure 2. Depths and head counts …`, or the title alone.
    pub(crate) fn heading(&self) -> String {
        match self.number {
            Some(number) => format!("Figure {number}. {}", self.title),
            None => self.title.clone(),
        }
    }
}

/// A panel, or the error of its drawing.
pub(super) fn panel(file: &str, alt: String, svg: Result<String, DrawError>) -> Result<Panel> {
    let svg = svg.map_err(|error| Error::Figure { figure: file.to_owned(), message: error.to_string() })?;
    Ok(Panel { file: file.to_owned(), alt, svg })
}
