//! The experiments behind the examples: arguments, data, progress, records, tables and figures. It contains no algorithm.
//!
//! ```text
//! Arguments → RunPlan → RunData → (training, in the libraries) → RunRecord → table, figures, README
//! ```

mod compression;
mod error;
mod experiment;
mod figures;
#[cfg(test)]
mod fixture;
mod output_dir;
mod published;
mod readme;
mod recipe;
pub mod record;
mod report;
mod reproduction;
mod run_example;
mod tables;

pub use compression::{
    AugmentArguments, CompressionArguments, CostChoice, CountChoice, DistilArguments, GateLossChoice, HeadName,
    HeadWeightsChoice, HeadsArguments, MapChoice, NasArguments, NormalChoice, RelaxationChoice, SearchSettingsChoice,
    SpaceChoice, distil, heads, nas,
};
pub use error::{Error, RecordProblem, Result};
pub use experiment::{
    Arguments, DataArguments, DataSource, Decision, DispatchChoice, Model, RunData, RunPlan, SettingsChoice,
    command_of, run,
};
pub use figures::{FIGURES, draw_figures, drift_figure, kept_units_figure};
pub use output_dir::Start;
pub use readme::{README_END, README_START, with_numbers};
pub use recipe::{LessTrainingArguments, RecipeArguments, less_training, recipe};
pub use report::{
    ARCHITECTURE_END, ARCHITECTURE_START, DRIFT_END, DRIFT_START, HEAD_ABLATION_END, HEAD_ABLATION_START, HEADS_END,
    HEADS_START, LESS_TRAINING_END, LESS_TRAINING_START, REAL_TEXTS_END, REAL_TEXTS_START, REPRODUCTION_END,
    REPRODUCTION_START, SPEEDS_END, SPEEDS_START, TRIED_END, TRIED_START, head_ablation_figure, head_ablation_file,
    reproduction_page, reproduction_report, with_architecture_searches, with_drift, with_head_ablations,
    with_less_training, with_real_texts, with_recipe, with_reproduction, write_reproduction,
    write_reproduction_figures,
};
pub use reproduction::{ReproductionArguments, reproduce};
pub use run_example::run_example;
pub use tables::{
    Row, architecture_search_text, distillation_text, markdown_table, reproduction_csv, reproduction_markdown,
    reproduction_text, rows, text_table,
};
