use std::collections::BTreeMap;

use dht_search::training::Curves;

use super::*;
use crate::fixture;
use crate::record::ReproductionRecord;
use crate::record::RowGroup;

fn figures(record: &ReproductionRecord) -> Vec<Figure> {
    reproduction_figures(record).unwrap()
}

fn file<'a>(figures: &'a [Figure], name: &str) -> &'a str {
    let panels = figures.iter().flat_map(|figure| &figure.panels);
    &panels.into_iter().find(|panel| panel.file == name).expect(name).svg
}

/// Contents of the text elements of an SVG.
fn texts(svg: &str) -> Vec<String> {
    let parts = svg.split("<text").skip(1);
    parts.map(|part| part.split_once('>').unwrap().1.split("</text>").next().unwrap().trim().to_owned()).collect()
}

#[test]
fn the_papers_figures_are_complete_in_order_with_captions() {
    let figures = figures(&fixture::reproduction());
    let numbers: Vec<usize> = figures.iter().filter_map(|figure| figure.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    let panels: Vec<usize> = figures.iter().map(|figure| figure.panels.len()).collect();
    assert_eq!(panels, [1, 1, 1, 1, 1, 1, 4, 1, 2, 2, 4, 3]);
    let mut names = std::collections::BTreeSet::new();
    for figure in &figures {
        assert!(!figure.title.is_empty() && !figure.caption.is_empty());
        for panel in &figure.panels {
            assert!(panel.svg.starts_with("<svg") && panel.svg.trim_end().ends_with("</svg>"), "{}", panel.file);
            assert!(!panel.alt.is_empty() && names.insert(&panel.file), "{}", panel.file);
            let mut words = panel.svg.split(|c: char| !c.is_alphanumeric());
            assert!(!words.any(|word| ["NaN", "inf"].contains(&word)), "{}", panel.file);
        }
    }
}

#[test]
fn cost_figures_label_all_finished_rows_and_no_failed_ones() {
    let record = fixture::reproduction();
    let figures = figures(&record);
    for name in ["flops.svg", "clock.svg", "training.svg", "layers_heads.svg"] {
        let texts = texts(file(&figures, name));
        for row in record.rows.iter().filter(|row| !row.seeds.is_empty()) {
            let dht = matches!(row.group, RowGroup::Full | RowGroup::AsPublished | RowGroup::Ours);
            let label = if dht || row.setting.is_empty() { &row.method } else { &row.setting };
            assert!(
                texts.iter().any(|text| text == label || text.starts_with(&format!("{label} ("))),
                "{name}: {label}"
            );
        }
        assert!(texts.iter().any(|text| text == "P-DHT (at 0.412, below)"), "{name}: the outlier keeps its score");
        let named = texts.iter().filter(|text| text.starts_with("P-DHT")).count();
        assert_eq!(named, 1, "{name}: the row without a finished seed has no point");
    }
}

#[test]
fn long_series_are_labelled_at_ends_and_middle_by_method() {
    let mut record = fixture::reproduction();
    let plain = record.rows.iter().find(|row| row.group == RowGroup::Truncation).unwrap().clone();
    record.rows.retain(|row| row.group != RowGroup::Truncation);
    for method in ["truncation", "truncation, distilled"] {
        record.rows.extend((1..=9).map(|layers| {
            let inference_flops_ratio = f64::from(layers) / 12.0;
            let setting = format!("{layers} of 12");
            crate::record::RowRecord { method: method.into(), setting, inference_flops_ratio, ..plain.clone() }
        }));
    }
    let figures = figures(&record);
    let texts = texts(file(&figures, "flops.svg"));
    for (layers, named) in [(1, true), (2, false), (4, false), (5, true), (8, false), (9, true)] {
        for label in [format!("{layers} of 12"), format!("distilled, {layers} of 12")] {
            assert_eq!(texts.contains(&label), named, "{label}");
        }
    }
    assert!(figures[1].caption.contains("the ends and the middle are named"), "{}", figures[1].caption);
}

#[test]
fn the_papers_points_are_in_the_figure_of_its_own_cost_only() {
    let mut record = fixture::reproduction();
    let captions = |record: &ReproductionRecord| -> Vec<String> {
        let figures = figures(record);
        figures.into_iter().filter(|figure| figure.caption.contains("the paper's table 2")).map(|it| it.title).collect()
    };
    assert_eq!(captions(&record), ["Score against the paper's estimate of inference cost"]);
    record.data.name = "imdb".into();
    assert!(captions(&record).is_empty(), "other texts have other scores");
}

#[test]
fn a_preset_without_curves_is_said_to_be_missing() {
    let mut record = fixture::reproduction();
    record.rows.retain(|row| row.method != "S-DHT");
    let figures = figures(&record);
    let second = figures.iter().find(|figure| figure.number == Some(2)).unwrap();
    assert_eq!(second.panels.len(), 2);
    assert!(second.caption.contains("S-DHT: there are no curves"), "{}", second.caption);
    assert!(!texts(file(&figures, "figure3_loss.svg")).contains(&"S-DHT".to_owned()));
}

#[test]
fn our_settings_are_shown_where_the_papers_have_not_run() {
    let mut record = fixture::reproduction();
    record.rows.retain(|row| row.group == RowGroup::Ours);
    let figures = figures(&record);
    let fourth = figures.iter().find(|figure| figure.number == Some(4)).unwrap();
    assert!(fourth.panels.len() == 2 && fourth.caption.contains("F-DHT: our settings, 3 epochs"), "{}", fourth.caption);
}

#[test]
fn records_without_rows_or_with_empty_curves_are_drawn() {
    let mut empty = fixture::reproduction();
    for row in &mut empty.rows {
        row.curves = Some(Curves { loss: BTreeMap::new(), ..Curves::default() });
    }
    for record in [empty, ReproductionRecord::default()] {
        for panel in figures(&record).iter().flat_map(|figure| &figure.panels) {
            assert!(panel.svg.contains("</svg>") && !panel.svg.contains("NaN"), "{}", panel.file);
        }
    }
}

#[test]
fn names_from_outside_cannot_break_a_figure() {
    let mut record = fixture::reproduction();
    record.rows[1].setting = "<b> & \"3\" layers".into();
    assert!(!file(&figures(&record), "flops.svg").contains("<b>"));
}
