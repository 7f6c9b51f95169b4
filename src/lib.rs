//! The experiments behind the examples: arguments, data, progress, records, tables and figures. It contains no algorithm.
//!
//! ```text
//! Arguments → RunPlan → RunData → (training, in the libraries) → Record → tables, figures, pages
//! ```

mod compression;
mod error;
mod experiment;
mod figures;
#[cfg(test)]
mod fixture;
mod marked;
mod published;
pub mod record;
mod report;
mod reproduction;
mod tables;

pub use compression::{
    AugmentArguments, CompressionArguments, CostChoice, CountChoice, DistilArguments, GateLossChoice, HeadName,
    HeadWeightsChoice, HeadsArguments, MapChoice, NasArguments, NormalChoice, RelaxationChoice, SearchSettingsChoice,
    SpaceChoice, distil, heads, nas,
};
pub use error::{Error, RecordProblem, Result};
pub use experiment::{Arguments, DataArguments, DataSource, Model, RunData, RunPlan, SettingsChoice};
pub use figures::kept_units_figure;
pub use report::{
    ARCHITECTURE_END, ARCHITECTURE_START, HEAD_ABLATION_END, HEAD_ABLATION_START, REAL_TEXTS_END, REAL_TEXTS_START,
    REPRODUCTION_END, REPRODUCTION_START, head_ablation_figure, head_ablation_file, reproduction_page,
    reproduction_report, with_architecture_searches, with_head_ablations, with_real_texts, with_reproduction,
    write_reproduction, write_reproduction_figures,
};
pub use reproduction::{ReproductionArguments, reproduce};
pub use tables::{
    architecture_search_text, distillation_text, reproduction_csv, reproduction_markdown, reproduction_text,
};
