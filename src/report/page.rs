//! HTML report of a reproduction, as one self-contained page.

use std::collections::BTreeMap;

use super::findings::{WITHDRAWN, findings, paper_notes, row_name};
use super::html::{escaped, image, list, pairs, paragraph, plain, results, section};
use crate::error::Result;
use crate::figures::{Figure, group_name, reproduction_figures};
use crate::published::Counterpart;
use crate::record::{ReproductionRecord, RouteCounts, RowRecord};
use crate::tables::{further_tables, published_note, tables};

const STYLE: &str = include_str!("style.css");
/// Maximum number of routes that the report lists for each method; the numbers of the other routes are summed.
const ROUTES: usize = 8;

/// Sections of the page after the tables: id and heading.
const CONTENTS: [(&str, &str); 9] = [
    ("found", "What we found"),
    ("tables", "Tables"),
    ("costs", "Scores against costs"),
    ("figures", "The paper's figures, repeated"),
    ("routes", "Routes"),
    ("differences", "What differs from the paper"),
    ("paper", "About the paper"),
    ("settings", "Settings"),
    ("run", "Data, machine and versions"),
];

/// Formats the report of a reproduction as one self-contained HTML page.
///
/// # Errors
/// [`Error::Figure`](crate::Error::Figure) if a figure cannot be drawn.
pub fn reproduction_report(record: &ReproductionRecord) -> Result<String> {
    let figures = reproduction_figures(record)?;
    let (repeated, own): (Vec<&Figure>, Vec<&Figure>) = figures.iter().partition(|figure| figure.number.is_some());
    let title = format!("Dynamic Hierarchical Transformer, reproduced on {}", record.data.name);
    let mut body = String::new();
    for (id, heading) in CONTENTS {
        body.push_str(&section(
            id,
            heading,
            &match id {
                "found" => list(&findings(record)),
                "tables" => result_tables(record),
                "costs" => {
                    let figures: String = own.iter().map(|figure| figure_of(figure)).collect();
                    format!("<div class=\"pair\">\n{figures}</div>\n")
                }
                "figures" => repeated.iter().map(|figure| figure_of(figure)).collect(),
                "routes" => routes(record),
                "differences" => differences(record),
                "paper" => paper(record),
                "settings" => settings(record),
                _ => run(record),
            },
        ));
    }
    let links: String =
        CONTENTS.iter().map(|(id, heading)| format!("<li><a href=\"#{id}\">{}</a></li>\n", escaped(heading))).collect();
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n{lead}</header>\n\
         <nav aria-label=\"Contents\">\n<ul>\n{links}</ul>\n</nav>\n<main>\n{body}</main>\n</body>\n</html>\n",
        title = escaped(&title),
        lead = paragraph(&lead(record)),
    ))
}

/// First paragraph of the report, which summarises the run.
fn lead(record: &ReproductionRecord) -> String {
    let (data, model) = (&record.data, &record.model);
    let finished = record.rows.iter().filter(|row| !row.seeds.is_empty()).count();
    format!(
        "{} rows, each a method with a setting, of which {finished} have a finished seed; {} training and {} test texts; a full \
         model of {} layers with {} heads and {} parameters. Costs are shares of the full model's. The paper's arXiv version was \
         withdrawn: see \"About the paper\".",
        record.rows.len(),
        data.train_rows,
        data.test_rows,
        model.layers,
        model.heads,
        model.parameters
    )
}

fn result_tables(record: &ReproductionRecord) -> String {
    let tables = tables(record);
    let mut html: String = tables.iter().map(|table| results(table, group_name)).collect();
    // The notes of table 2 include all notes of table 1.
    html.push_str(&list(&tables[1].notes));
    for table in further_tables(record) {
        html.push_str(&plain(&table));
        html.push_str(&list(&table.notes));
    }
    html
}

fn figure_of(figure: &Figure) -> String {
    let panels: String = figure.panels.iter().map(image).collect();
    let many = if figure.panels.len() > 1 { " class=\"several\"" } else { "" };
    // A figure that the DHT paper lacks has one panel, which contains its title, so the heading is hidden.
    let hidden = if figure.number.is_none() { " class=\"hidden\"" } else { "" };
    format!(
        "<figure{many}>\n<h3{hidden}>{}</h3>\n<div class=\"panels\">\n{panels}</div>\n<figcaption>{}</figcaption>\n</figure>\n",
        escaped(&figure.heading()),
        escaped(&figure.caption)
    )
}

fn routes(record: &ReproductionRecord) -> String {
    let with_routes = record.rows.iter().filter_map(|row| Some((row, row.routes.as_ref()?)));
    let tables: String = with_routes.map(|(row, counts)| route_table(row, counts)).collect();
    if tables.is_empty() {
        return paragraph("No row of this record chooses routes.");
    }
    paragraph(
        "The share of texts on each route, in the first seed: 12L8H is 12 layers of 8 heads beyond the base layers, + joins \
         groups of other head counts.",
    ) + &format!("<div class=\"tables\">\n{tables}</div>\n")
}

fn route_table(row: &RowRecord, counts: &RouteCounts) -> String {
    let total = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
    let (tests, trained) = (total(&counts.test), total(&counts.train));
    let share = |part: u64, whole: u64| match whole {
        0 => "–".to_owned(),
        _ => format!("{:.1} %", 100.0 * part as f64 / whole as f64),
    };
    let of = |counts: &BTreeMap<String, u64>, route: &str| counts.get(route).copied().unwrap_or_default();
    let mut names: Vec<&String> = counts.test.keys().chain(counts.train.keys()).collect();
    names.sort();
    names.dedup();
    names.sort_by_key(|route| std::cmp::Reverse((of(&counts.test, route), of(&counts.train, route))));
    let line = |name: &str, test: u64, train: u64| {
        format!(
            "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n",
            escaped(name),
            share(test, tests),
            share(train, trained)
        )
    };
    let mut rows: String =
        names.iter().take(ROUTES).map(|name| line(name, of(&counts.test, name), of(&counts.train, name))).collect();
    if let Some(others) = names.get(ROUTES..).filter(|others| !others.is_empty()) {
        let sum = |counts: &BTreeMap<String, u64>| others.iter().map(|name| of(counts, name)).sum();
        rows.push_str(&line(&format!("{} others", others.len()), sum(&counts.test), sum(&counts.train)));
    }
    format!(
        "<table class=\"routes\">\n<caption>{}</caption>\n<thead><tr><th scope=\"col\">route</th><th scope=\"col\" \
         class=\"number\">test</th><th scope=\"col\" class=\"number\">training</th></tr></thead>\n<tbody>\n{rows}</tbody>\n\
         </table>\n",
        escaped(&row_name(row))
    )
}

/// Deviations of each method from its publication. Methods with the same list are grouped.
fn differences(record: &ReproductionRecord) -> String {
    let mut lists: Vec<(Vec<String>, &[String])> = Vec::new();
    for row in record.rows.iter().filter(|row| !row.deviations.is_empty()) {
        match lists.iter_mut().find(|(_, deviations)| *deviations == row.deviations) {
            Some((names, _)) => names.push(row_name(row)),
            None => lists.push((vec![row_name(row)], &row.deviations)),
        }
    }
    if lists.is_empty() {
        return paragraph("No row of this record names a difference.");
    }
    lists
        .iter()
        .map(|(names, deviations)| format!("<h3>{}</h3>\n{}", escaped(&names.join(", ")), list(deviations)))
        .collect()
}

fn paper(record: &ReproductionRecord) -> String {
    let counterpart = Counterpart::find(&record.data.name).map(published_note);
    let none = || format!("The paper has no figures for {}.", record.data.name);
    [
        paragraph(WITHDRAWN),
        paragraph(&counterpart.unwrap_or_else(none)),
        "<h3>What its own tables do not bear out</h3>\n".into(),
        list(&paper_notes()),
    ]
    .concat()
}

fn settings(record: &ReproductionRecord) -> String {
    if record.settings.is_empty() {
        return paragraph("The record names no settings.");
    }
    let values: Vec<_> = record.settings.iter().map(|(name, value)| (name.clone(), value_text(value))).collect();
    pairs("Settings of the full model", ("setting", "value"), &values)
}

/// Formats texts without quotes, and other values as JSON.
fn value_text(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

fn run(record: &ReproductionRecord) -> String {
    let (data, model, machine) = (&record.data, &record.model, &record.machine);
    let text = |name: &str, value: String| (name.to_owned(), value);
    let mut values = vec![
        text("data", data.summary()),
        text("truncated texts", data.truncated_rows.to_string()),
        text("SHA-256 of the training file", data.sha256.clone()),
        text("SHA-256 of the test file", data.test_sha256.clone()),
        text(
            "full model",
            format!(
                "{} layers, {} heads, width {}, feed-forward {}, {} parameters",
                model.layers, model.heads, model.hidden, model.ffn, model.parameters
            ),
        ),
        text("command", record.command.join(" ")),
        text("processor", format!("{}, {} threads", machine.cpu, machine.cores)),
        text("device", machine.device.clone()),
        text("system", machine.system.clone()),
    ];
    values.extend(machine.versions.iter().map(|(name, version)| text(name, version.clone())));
    values.retain(|(_, value)| !value.is_empty());
    pairs("The run", ("what", "value"), &values)
}
