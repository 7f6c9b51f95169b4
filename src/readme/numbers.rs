//! Writes the results of a record into a Markdown file, between two marker lines.

use super::marked;
use crate::error::Result;
use crate::record::RunRecord;
use crate::tables::markdown_table;

/// The line before the results.
pub const README_START: &str = "<!-- numbers -->";
/// The line after the results.
pub const README_END: &str = "<!-- /numbers -->";

/// The text with the part between the two marker lines replaced by the record's results; `command` is the run's command.
///
/// # Errors
/// [`Error::Markers`](crate::Error::Markers) unless each of the two lines is there once, in this order.
pub fn with_numbers(readme: &str, record: &RunRecord, command: &str) -> Result<String> {
    marked::replaced(readme, (README_START, README_END), &block(record, command))
}

fn block(record: &RunRecord, command: &str) -> String {
    let (data, model, machine) = (&record.data, &record.model, &record.machine);
    let versions: Vec<String> = machine.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!(
        "From `{command}`: {name}, {train} training, {validation} validation and {test} test rows; {layers} layers of \
         {heads} heads, width {hidden}, {parameters} parameters; seed {seed}; {cpu}, {cores} cores, {device}, {system}; \
         {versions}.\n\n{table}",
        name = data.name,
        train = data.train_rows,
        validation = data.validation_rows,
        test = data.test_rows,
        layers = model.layers,
        heads = model.heads,
        hidden = model.hidden,
        parameters = model.parameters,
        seed = record.seed,
        cpu = machine.cpu,
        cores = machine.cores,
        device = machine.device,
        system = machine.system,
        versions = versions.join(", "),
        table = markdown_table(record),
    )
}

#[cfg(test)]
mod tests;
