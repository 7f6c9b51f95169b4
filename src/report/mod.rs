//! Reports of reproductions: an HTML page of each, all its tables and figures as files, and pages in the docs.

mod architecture_search;
mod docs_page;
mod findings;
mod head_ablation;
mod html;
mod output;
mod page;
mod real_texts;

pub use architecture_search::with_architecture_searches;
pub use docs_page::{
    REPRODUCTION_END, REPRODUCTION_START, reproduction_page, with_reproduction, write_reproduction_figures,
    write_reproduction_pages,
};
pub(crate) use head_ablation::head_ablation_table;
pub use head_ablation::{head_ablation_figure, head_ablation_file, with_head_ablations};
pub use output::write_reproduction;
pub use real_texts::with_real_texts;

#[cfg(test)]
mod tests;
