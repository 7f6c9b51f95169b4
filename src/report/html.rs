//! HTML elements of the report on a reproduction. [`escaped`] escapes all texts.

use crate::figures::Panel;
use crate::record::RowGroup;
use crate::tables::{PlainTable, Side, Table};

/// Escapes a text for HTML elements and quoted attributes.
pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(c),
        }
    }
    html
}

pub(crate) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escaped(text))
}

/// Formats sentences as an HTML list; an empty text without sentences.
pub(crate) fn list(items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let items: String = items.iter().map(|item| format!("<li>{}</li>\n", escaped(item))).collect();
    format!("<ul>\n{items}</ul>\n")
}

/// HTML section with a heading.
pub(crate) fn section(id: &str, heading: &str, body: &str) -> String {
    format!("<section id=\"{id}\">\n<h2>{}</h2>\n{body}</section>\n", escaped(heading))
}

/// HTML element that scrolls its content sideways on narrow screens, also by keyboard.
pub(crate) fn scrolling(label: &str, body: &str) -> String {
    format!("<div class=\"scroll\" role=\"region\" aria-label=\"{}\" tabindex=\"0\">\n{body}</div>\n", escaped(label))
}

/// HTML table of name and value pairs.
pub(crate) fn pairs(caption: &str, headings: (&str, &str), pairs: &[(String, String)]) -> String {
    let rows: String = pairs
        .iter()
        .map(|(name, value)| format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escaped(name), escaped(value)))
        .collect();
    format!(
        "<table class=\"pairs\">\n<caption>{}</caption>\n<thead><tr><th scope=\"col\">{}</th><th \
         scope=\"col\">{}</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n",
        escaped(caption),
        escaped(headings.0),
        escaped(headings.1)
    )
}

/// HTML table of results, with a heading for each group of methods.
pub(crate) fn results(table: &Table, name: impl Fn(RowGroup) -> &'static str) -> String {
    let side = |column: usize| if table.sides[column] == Side::Left { "" } else { " class=\"number\"" };
    let headings = table.headings.iter().enumerate();
    let headings: String = headings
        .map(|(column, heading)| format!("<th scope=\"col\"{}>{}</th>", side(column), escaped(heading)))
        .collect();
    let mut body = String::new();
    let mut group = None;
    for (index, row) in table.rows.iter().enumerate() {
        if group != Some(row.group) {
            body.push_str(if group.is_some() { "</tbody>\n<tbody>\n" } else { "<tbody>\n" });
            body.push_str(&format!(
                "<tr class=\"group\"><th scope=\"rowgroup\" colspan=\"{}\">{}</th></tr>\n",
                table.headings.len(),
                name(row.group)
            ));
            group = Some(row.group);
        }
        let cells = row.cells.iter().enumerate().map(|(column, cell)| match column {
            0 => format!("<th scope=\"row\">{}</th>", escaped(cell)),
            _ => format!("<td{}>{}</td>", side(column), escaped(cell)),
        });
        let class = if row.failed { " class=\"failed\"" } else { "" };
        body.push_str(&format!("<tr data-row=\"{index}\"{class}>{}</tr>\n", cells.collect::<String>()));
    }
    if group.is_some() {
        body.push_str("</tbody>\n");
    }
    let caption = format!("Table {}. {}", table.number, table.caption);
    let html = format!(
        "<table class=\"results\" id=\"table{}\">\n<caption>{}</caption>\n<thead><tr>{headings}</tr></thead>\n{body}</table>\n",
        table.number,
        escaped(&caption)
    );
    scrolling(&caption, &html)
}

/// HTML table of formatted cells.
pub(crate) fn plain(table: &PlainTable) -> String {
    let side = |column: usize| if table.sides[column] == Side::Left { "" } else { " class=\"number\"" };
    let mut lines = table.lines.iter();
    let headings: String = lines
        .next()
        .into_iter()
        .flat_map(|line| line.iter().enumerate())
        .map(|(column, heading)| format!("<th scope=\"col\"{}>{}</th>", side(column), escaped(heading)))
        .collect();
    let row = |line: &Vec<String>| {
        let cells = line.iter().enumerate().map(|(column, cell)| match column {
            0 => format!("<th scope=\"row\">{}</th>", escaped(cell)),
            _ => format!("<td{}>{}</td>", side(column), escaped(cell)),
        });
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let html = format!(
        "<table class=\"results\">\n<caption>{}</caption>\n<thead><tr>{headings}</tr></thead>\n<tbody>\n{}</tbody>\n</table>\n",
        escaped(&table.caption),
        lines.map(row).collect::<String>()
    );
    scrolling(&table.caption, &html)
}

/// Embeds an SVG in the page as one image with an alternative text.
pub(crate) fn image(panel: &Panel) -> String {
    let svg = panel.svg.strip_prefix("<svg ").unwrap_or(&panel.svg);
    let svg = format!("<svg role=\"img\" aria-label=\"{}\" {svg}", escaped(&panel.alt));
    format!("<div class=\"panel\" data-file=\"{}\">\n{}</div>\n", escaped(&panel.file), scrolling(&panel.alt, &svg))
}
