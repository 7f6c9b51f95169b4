use crate::fixture;
use crate::tables::run::*;

#[test]
fn rows_are_full_truncated_accelerated_and_the_search_both_with_their_routes_at_random() {
    let names: Vec<String> = rows(&fixture::record()).into_iter().map(|row| row.name).collect();
    let expected = [
        "full, 6 layers",
        "truncated, 4 layers",
        "truncated, 2 layers",
        "truncated, 1 layer",
        "dynamic, accelerated",
        "accelerated, its routes at random",
        "dynamic, T-DHT",
        "T-DHT, its routes at random",
    ];
    assert_eq!(names, expected);
}

#[test]
fn ratios_are_relative_to_the_full_model() {
    let record = fixture::record();
    let rows = rows(&record);
    assert_eq!(rows[0].flops_ratios, Some((1.0, 1.0)));
    for (row, dynamic) in [(4, &record.dynamic), (6, &record.search.dynamic)] {
        let (train, inference) = rows[row].flops_ratios.unwrap();
        assert_eq!((train, inference), (dynamic.train_flops_ratio, dynamic.inference_flops_ratio));
        assert_eq!(rows[row].wall_ratios.unwrap().0, dynamic.train_wall_ratio);
    }
}

#[test]
fn columns_of_the_text_table_are_aligned() {
    let text = text_table(&fixture::record());
    let lines: Vec<&str> = text.lines().take(6).collect();
    let ends = |line: &str| line.chars().count();
    assert!(lines.iter().all(|line| ends(line) == ends(lines[0])), "{text}");
    assert!(lines[5].contains("0.936"), "{text}");
    assert!(text.contains("0.350 on the best fixed one in hindsight (4L12H), so a regret of -0.040"), "{text}");
    assert!(text.contains("hard texts (1000), accelerated: 4.60 layers"), "{text}");
}

#[test]
fn all_lines_of_the_markdown_table_have_the_same_number_of_cells() {
    let text = markdown_table(&fixture::record());
    let cells: Vec<usize> =
        text.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count()).collect();
    assert_eq!(cells, [11; 10]);
}
