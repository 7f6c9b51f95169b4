use dht_search::training::{Curves, GroupHeads};

use crate::figures::style::{self, Area, Drawn};
use crate::figures::{head_sets, heads, shares};
use crate::fixture;

fn svg(height: u32, draw: impl Fn(&Area) -> Drawn) -> String {
    style::svg(height, draw).unwrap()
}

/// Contents of the text elements of an SVG, in drawing order.
fn texts(svg: &str) -> Vec<&str> {
    svg.split("<text")
        .skip(1)
        .map(|part| part.split_once('>').unwrap().1.split("</text>").next().unwrap().trim())
        .collect()
}

fn curves() -> Curves {
    fixture::recorder().curves(10)
}

fn of_heads(groups: &[GroupHeads]) -> [String; 2] {
    [
        svg(heads::height(groups), |area| heads::draw(groups, "heads", area)),
        svg(head_sets::height(groups), |area| head_sets::draw(groups, "sets", area)),
    ]
}

#[test]
fn each_depth_and_each_head_count_has_its_band_and_its_name() {
    let curves = curves();
    let depths = svg(style::HEIGHT, |area| shares::draw_depths(&curves, "depths", area));
    assert_eq!(depths.matches("<polygon").count(), curves.depth_share.len());
    assert!(texts(&depths).contains(&"1 layer") && texts(&depths).contains(&"6 layers"));
    for band in depths.split("<polygon").skip(1) {
        let (_, points) = band.split_once("points=\"").unwrap();
        let x = |point: &str| point.split_once(',').unwrap().0.parse::<f64>().unwrap();
        let upper: Vec<f64> = points.split('"').next().unwrap().split_whitespace().map(x).collect();
        let upper = &upper[..curves.progress.len() + 2];
        // The distance from each end of the axis to the nearest centre is half a bin.
        let ends = [upper[1] - upper[0], upper[upper.len() - 1] - upper[upper.len() - 2]];
        assert!((ends[0] - ends[1]).abs() <= 1.0 && ends[0] > 1.0, "{upper:?}");
    }
    let heads = svg(style::HEIGHT, |area| shares::draw_head_counts(&curves, "heads", area));
    assert_eq!(heads.matches("<polygon").count(), curves.head_count_share.len());
    assert!(texts(&heads).contains(&"8 heads"));
}

#[test]
fn the_most_frequent_sets_are_named_with_their_shares() {
    let groups = curves().heads;
    let [_, svg] = of_heads(&groups);
    for group in &groups {
        let first = &group.sets[0];
        assert!(texts(&svg).contains(&first.heads.to_string().as_str()));
        let share = format!("{:.1} %", 100.0 * first.samples as f64 / group.samples as f64);
        assert!(texts(&svg).contains(&share.as_str()), "{share}");
    }
}

#[test]
fn figures_of_heads_say_that_full_model_steps_are_left_out() {
    for svg in of_heads(&curves().heads) {
        let note = texts(&svg).into_iter().find(|text| text.ends_with(style::CHOSEN_ONLY)).expect("a note");
        assert!(style::LEFT + style::text_width(note, 13.0) <= style::WIDTH as i32, "wider than the figure");
    }
}

#[test]
fn a_run_without_choices_and_one_of_many_heads_are_drawn_too() {
    let empty = Curves::default();
    let depths = svg(style::HEIGHT, |area| shares::draw_depths(&empty, "depths", area));
    assert!(texts(&depths).contains(&"Nothing was chosen in this run."));
    let mut many = curves().heads;
    many.iter_mut().for_each(|group| group.share = vec![0.5; 128]);
    for svg in of_heads(&empty.heads).into_iter().chain(of_heads(&many)) {
        assert!(svg.contains("</svg>"));
    }
}
