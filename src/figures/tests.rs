use std::collections::BTreeMap;

use dht_search::training::Curves;

use crate::figures::*;
use crate::fixture;

fn svg(record: &RunRecord, name: &str) -> String {
    svg_of(record, name).unwrap()
}

/// The texts of a figure, in drawing order.
fn texts(svg: &str) -> Vec<&str> {
    svg.split("<text")
        .skip(1)
        .map(|part| part.split_once('>').unwrap().1.split("</text>").next().unwrap().trim())
        .collect()
}

#[test]
fn every_figure_is_written_and_is_an_svg_with_a_title() {
    let folder = tempfile::tempdir().unwrap();
    let paths = draw_figures(&fixture::record(), folder.path()).unwrap();
    assert_eq!(paths.len(), FIGURES.len());
    for path in paths {
        let svg = std::fs::read_to_string(&path).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{}", path.display());
        assert!(!texts(&svg)[0].is_empty());
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), FIGURES.len(), "no partial file is left");
}

#[test]
fn a_record_gives_the_same_figures_each_time() {
    for (name, _) in FIGURES {
        assert_eq!(svg(&fixture::record(), name), svg(&fixture::record(), name));
    }
}

#[test]
fn the_trade_off_names_every_model() {
    let svg = svg(&fixture::record(), "tradeoff.svg");
    let others = ["accelerated", "T-DHT", "routes at random, same mix", "oracle"];
    for name in ["full, 6 layers", "1 layer", "2 layers", "4 layers"].into_iter().chain(others) {
        assert!(texts(&svg).contains(&name), "{name}");
    }
}

#[test]
fn each_depth_and_each_head_count_has_its_band_and_its_name() {
    let record = fixture::record();
    let depths = svg(&record, "depths.svg");
    assert_eq!(depths.matches("<polygon").count(), record.curves.depth_share.len());
    assert!(texts(&depths).contains(&"1 layer") && texts(&depths).contains(&"6 layers"));
    let heads = svg(&record, "head_counts.svg");
    assert_eq!(heads.matches("<polygon").count(), record.curves.head_count_share.len());
    assert!(texts(&heads).contains(&"8 heads"));
}

#[test]
fn the_most_frequent_sets_are_named_with_their_shares() {
    let record = fixture::record();
    let svg = svg(&record, "head_sets.svg");
    for group in &record.curves.heads {
        let first = &group.sets[0];
        assert!(texts(&svg).contains(&first.heads.to_string().as_str()));
        let share = format!("{:.1} %", 100.0 * first.samples as f64 / group.samples as f64);
        assert!(texts(&svg).contains(&share.as_str()), "{share}");
    }
}

#[test]
fn figures_of_heads_say_that_full_model_steps_are_left_out() {
    for name in ["heads.svg", "head_sets.svg"] {
        let svg = svg(&fixture::record(), name);
        let note = texts(&svg).into_iter().find(|text| text.ends_with(style::CHOSEN_ONLY)).expect(name);
        assert!(style::LEFT + style::text_width(note, 13.0) <= style::WIDTH as i32, "{name}: wider than the figure");
    }
}

#[test]
fn a_run_without_choices_is_drawn_too() {
    let record = RunRecord { curves: Curves::default(), truncated: BTreeMap::new(), ..fixture::record() };
    for (name, _) in FIGURES {
        assert!(svg(&record, name).contains("</svg>"), "{name}");
    }
}

#[test]
fn models_of_any_size_and_equal_scores_are_drawn() {
    let mut record = fixture::record();
    for group in &mut record.curves.heads {
        group.share = vec![0.5; 128];
    }
    let score = record.full.macro_f1;
    record.truncated.values_mut().for_each(|result| result.macro_f1 = score);
    for dynamic in [&mut record.dynamic, &mut record.search.dynamic] {
        (dynamic.result.macro_f1, dynamic.random_macro_f1) = (score, score);
    }
    record.operating_points.clear();
    record.search.operating_points.clear();
    for (name, _) in FIGURES {
        assert!(svg(&record, name).contains("</svg>"), "{name}");
    }
}

#[test]
fn names_from_outside_cannot_break_a_figure() {
    let record = RunRecord { preset: "<T> & \"DHT\"".into(), ..fixture::record() };
    assert!(!svg(&record, "tradeoff.svg").contains("<T>"));
}

#[test]
fn a_missing_directory_is_an_error_with_its_path() {
    let missing = Path::new("no/such/directory");
    let error = draw_figures(&fixture::record(), missing).unwrap_err();
    assert!(error.to_string().contains("no/such/directory"), "{error}");
}
