use super::*;

fn row(group: RowGroup, method: &str, setting: &str) -> RowRecord {
    RowRecord { group, method: method.into(), setting: setting.into(), ..RowRecord::default() }
}

#[test]
fn a_data_set_is_known_by_all_its_spellings_and_others_are_not() {
    for (name, data, stands_in) in [
        ("ag_news", PublishedDataset::AgNews, false),
        ("AG News", PublishedDataset::AgNews, false),
        ("data/dbpedia_14", PublishedDataset::Dbpedia, false),
        ("yelp_review_full", PublishedDataset::YelpFull, false),
        ("Yelp P.", PublishedDataset::YelpPolarity, false),
        ("imdb", PublishedDataset::YelpPolarity, true),
    ] {
        assert_eq!(Counterpart::find(name), Some(Counterpart { data, stands_in }), "{name}");
    }
    for name in ["", "sst2", "embedded", "agnews2"] {
        assert_eq!(Counterpart::find(name), None, "{name}");
    }
}

#[test]
fn both_tables_have_all_their_cells() {
    for data in PublishedDataset::ALL {
        for (stage, lines) in [(Stage::Training, 5), (Stage::Inference, 11)] {
            let cells: Vec<Published> = cells(data, stage).collect();
            assert_eq!(cells.len(), lines);
            assert!(cells.iter().all(|cell| cell.f1 > 0.5 && cell.f1 < 1.0 && cell.cost > 0.0 && cell.cost <= 1.0));
        }
        // The paper trains and predicts with the same model, so a method has the same score in both tables.
        for trained in cells(data, Stage::Training) {
            assert_eq!(cell(data, Stage::Inference, trained.method).unwrap().f1, trained.f1);
        }
    }
}

#[test]
fn a_row_has_the_papers_cell_of_its_method_beside_it() {
    let agnews = Counterpart::find("ag_news").unwrap();
    let cell_of = |stage, group, method, setting, layers| {
        agnews.cell(stage, &row(group, method, setting), layers).map(|cell| (cell.method, cell.f1, cell.cost))
    };
    let inference = Stage::Inference;
    assert_eq!(cell_of(inference, RowGroup::Full, "full", "", 6), Some(("12-VaBERT", 0.944, 1.0)));
    assert_eq!(cell_of(Stage::Training, RowGroup::AsPublished, "T-DHT", "", 6), Some(("T-DHT", 0.945, 0.42)));
    assert_eq!(cell_of(inference, RowGroup::Ours, "P-DHT", "", 6), Some(("P-DHT", 0.935, 0.39)));
    assert_eq!(
        cell_of(inference, RowGroup::DistilBert, "DistilBERT", "3 layers", 12),
        Some(("3-DisBERT", 0.939, 0.25))
    );
    assert_eq!(cell_of(inference, RowGroup::DistilBert, "DistilBERT", "3 layers", 6), Some(("6-DisBERT", 0.946, 0.50)));
    assert_eq!(cell_of(inference, RowGroup::DistilBert, "DistilBERT", "1 layer", 6), None);
    let fast = |setting| cell_of(inference, RowGroup::FastBert, "FastBERT", setting, 12).map(|(method, ..)| method);
    let names = ["speed 0.1", "speed .5", "speed 0.80", "speed 0.3", "", "speed ."].map(fast);
    assert_eq!(names, [Some("6-FastBERT"), Some("3-FastBERT"), Some("1-FastBERT"), None, None, None]);
    assert_eq!(cell_of(inference, RowGroup::Truncation, "truncation", "3 layers", 12), None);
    assert_eq!(cell_of(Stage::Training, RowGroup::FastBert, "FastBERT", "speed 0.1", 12), None);
}
