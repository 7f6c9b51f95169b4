//! What a reader sees of a reproduction: one HTML page, and all tables and figures as files.

mod html;
mod output;
mod page;

pub use output::write_reproduction;
pub use page::reproduction_report;

#[cfg(test)]
mod tests;
