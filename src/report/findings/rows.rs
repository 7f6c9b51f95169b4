//! Findings of a reproduction, as sentences with the numbers of its results.

use std::collections::BTreeSet;

use crate::published::{Counterpart, Stage};
use crate::record::{AtCosts, ReproductionRecord, RowGroup, RowRecord, Summary};
use crate::tables::{interval, mean_difference};

/// Margin of equivalence to the full model: the largest upper 95 % bound of the deficit in macro F1 that counts as
/// equivalent.
const MARGIN: f64 = 0.01;
/// Smallest share of the full model's FLOPs at which times are compared. Below it, most of the time is spent before the
/// layers.
const LEAST_CLOCKED: f64 = 0.1;

/// Findings of a reproduction as sentences: the full model, comparisons with it, and failures.
pub(crate) fn findings(record: &ReproductionRecord) -> Vec<String> {
    let finished: Vec<&RowRecord> = record.rows.iter().filter(|row| !row.seeds.is_empty()).collect();
    let mut findings = Vec::new();
    for row in finished.iter().filter(|row| row.group == RowGroup::Full) {
        findings.push(format!(
            "The full model scores {} macro F1 ({}).",
            score(row.macro_f1, row.seeds.len()),
            [counted(row.seeds.len(), "seed"), counted(row.epochs, "epoch")].join(", ")
        ));
    }
    findings.extend(record.at_costs.as_ref().and_then(at_equal_costs));
    findings.extend(clock_beside_flops(&finished));
    let published = || finished.iter().copied().filter(|row| row.group == RowGroup::AsPublished);
    findings.extend(published().map(|row| against_paper(record, row)));
    findings.extend(savings(published()));
    let dynamic = || finished.iter().copied().filter(|row| is_dynamic(row));
    findings.extend(dynamic().map(|row| better_rows(row, &finished)));
    findings.extend(worth_of_choosing(dynamic()));
    findings.extend(gap_of_the_estimate(&finished));
    findings.extend(cheapest(&finished, "inference", |row| row.inference_flops_ratio));
    findings.extend(cheapest(&finished, "training", |row| row.train_flops_ratio));
    let failing = || record.rows.iter().filter(|row| !row.failed.is_empty());
    let failed: Vec<String> = failing().map(row_name).collect();
    if !failed.is_empty() {
        // Rows of one training run fail for the same reason and are counted once.
        let trainings: BTreeSet<_> =
            failing().flat_map(|row| row.failed.iter().map(|(seed, why)| (&row.method, *seed, why))).collect();
        let count = trainings.len();
        let which = failed.join(", ");
        findings.push(format!("{} failed, in {which}; the tables say why.", counted(count, "training run")));
    }
    findings
}

/// Sentence on the accuracy of the accelerated model at its competitors' costs, with the worst difference.
fn at_equal_costs(table: &AtCosts) -> Option<String> {
    let means = table.comparisons.iter().filter_map(|own| Some(format!("{} {}", own.against, mean_difference(own)?)));
    let means: Vec<String> = means.collect();
    if means.is_empty() {
        return None;
    }
    let cells = table.comparisons.iter().flat_map(|own| own.differences.iter().map(move |cell| (own, cell)));
    let rivals = cells.filter(|(_, cell)| cell.flops_ratio.is_some());
    let worst = rivals.min_by(|a, b| a.1.interval.mean.total_cmp(&b.1.interval.mean)).map(|(own, cell)| {
        format!(
            " Its worst cell of table 4 is {} points against {} at {}.",
            interval(cell.interval),
            own.against,
            cell.cost
        )
    });
    Some(format!(
        "Points of accuracy by which the accelerated model is above others at equal costs, the mean of those from 0.1 to 0.35 (after the \
         interval: above those that are best on the test rows, which favours them): {}.{}",
        means.join(", "),
        worst.unwrap_or_default()
    ))
}

/// Sentence that compares the accelerated model's prediction time with its FLOPs, both relative to the full model.
/// `None` if no row has at least a tenth of the full model's FLOPs.
fn clock_beside_flops(finished: &[&RowRecord]) -> Option<String> {
    let rows = || {
        let own = finished.iter().filter(|row| row.group == RowGroup::Accelerated);
        own.filter(|row| row.inference_flops_ratio >= LEAST_CLOCKED)
    };
    let range = |clock: &dyn Fn(&RowRecord) -> Option<f64>| -> Option<String> {
        let over: Vec<f64> = rows().map(|row| Some(clock(row)? / row.inference_flops_ratio)).collect::<Option<_>>()?;
        let (least, most) = (over.iter().copied().reduce(f64::min)?, over.iter().copied().reduce(f64::max)?);
        Some(format!("{least:.2} to {most:.2}"))
    };
    let batches = range(&|row| Some(row.inference_wall_ratio))?;
    let singles = range(&|row| row.single_text_wall_ratio);
    let singles = singles.map_or(String::new(), |singles| format!(", and {singles} times for texts one by one"));
    Some(format!(
        "The accelerated model's time over the full model's is {batches} times its share of FLOPs in batches{singles}, where that share is at \
         least {LEAST_CLOCKED}."
    ))
}

/// Name of the method with its setting, such as `T-DHT (as published)`.
pub(crate) fn row_name(row: &RowRecord) -> String {
    if row.setting.is_empty() { row.method.clone() } else { format!("{} ({})", row.method, row.setting) }
}

fn is_dynamic(row: &RowRecord) -> bool {
    matches!(row.group, RowGroup::AsPublished | RowGroup::Ours)
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn score(summary: Summary, seeds: usize) -> String {
    if seeds > 1 { format!("{:.3} ± {:.3}", summary.mean, summary.sd) } else { format!("{:.3}", summary.mean) }
}

/// Sentence that compares a result with the DHT paper's settings with the numbers that the paper prints.
fn against_paper(record: &ReproductionRecord, row: &RowRecord) -> String {
    let side = if row.deficit < 0.0 { "above" } else { "below" };
    let mut text = format!(
        "{} with the paper's settings scores {}, {:.3} {side} the full model (upper 95 % bound of the deficit {:.3}). It \
         predicts at {:.2} of the full model's FLOPs ({:.2} by layers × heads) and {:.2} of its time, and trains at {:.2} of \
         its FLOPs ({:.2}) and {:.2} of its time.",
        row.method,
        score(row.macro_f1, row.seeds.len()),
        row.deficit.abs(),
        row.deficit_upper95,
        row.inference_flops_ratio,
        row.inference_layer_head_ratio,
        row.inference_wall_ratio,
        row.train_flops_ratio,
        row.train_layer_head_ratio,
        row.train_wall_ratio,
    );
    let Some(counterpart) = Counterpart::find(&record.data.name) else { return text };
    let cell = |stage| counterpart.cell(stage, row, record.model.layers);
    if let (Some(trained), Some(predicted)) = (cell(Stage::Training), cell(Stage::Inference)) {
        text += &format!(
            " The paper prints {:.3} for {}, at {:.2} in inference and {:.2} in training by layers × heads.",
            predicted.f1,
            counterpart.data.name(),
            predicted.cost,
            trained.cost
        );
    }
    text
}

/// Sentence on the largest share of cost saved in both training and inference. The DHT paper reports 74 %.
fn savings<'a>(published: impl Iterator<Item = &'a RowRecord>) -> Option<String> {
    let saved = |row: &RowRecord| 1.0 - row.train_flops_ratio.max(row.inference_flops_ratio);
    let best = published.max_by(|a, b| saved(a).total_cmp(&saved(b)))?;
    let (share, estimate) = (saved(best), 1.0 - best.train_layer_head_ratio.max(best.inference_layer_head_ratio));
    let what = if share > 0.0 {
        format!("the most that one of the paper's settings saves in both is {:.0} % of the exact FLOPs", 100.0 * share)
    } else {
        format!(
            "none of the paper's settings saves exact FLOPs in both; the nearest needs {:.0} % more than the full model in one",
            -100.0 * share
        )
    };
    Some(format!(
        "The paper's headline is \"up to 74 % computational savings for both training and inference\". Here {what} ({}; {:.0} \
         % by layers × heads), with a deficit of {:.3}.",
        best.method,
        100.0 * estimate,
        best.deficit
    ))
}

/// Sentence on other methods with at least the same score and no more FLOPs of inference.
fn better_rows(row: &RowRecord, finished: &[&RowRecord]) -> String {
    let mut better: Vec<&RowRecord> = finished
        .iter()
        .copied()
        .filter(|other| !is_dynamic(other) && other.group != RowGroup::Full && other.epochs <= row.epochs)
        .filter(|other| {
            other.macro_f1.mean >= row.macro_f1.mean && other.inference_flops_ratio <= row.inference_flops_ratio
        })
        .collect();
    better.sort_by(|a, b| b.macro_f1.mean.total_cmp(&a.macro_f1.mean));
    let name = row_name(row);
    let at = |row: &RowRecord| format!("{:.3} @ {:.3}", row.macro_f1.mean, row.inference_flops_ratio);
    match better.first() {
        None => {
            format!("{name}, {}: no row of another method here scores as much at no more FLOPs of inference.", at(row))
        }
        Some(best) => format!(
            "{name}, {}: {} at least as much at no more FLOPs of inference, the best of them {} with {}.",
            at(row),
            if better.len() == 1 {
                "1 row of another method scores".into()
            } else {
                format!("{} rows of other methods score", better.len())
            },
            row_name(best),
            at(best)
        ),
    }
}

/// Sentence on the value of selecting a route for each text: the score minus the score of the same routes, assigned to
/// texts at random.
fn worth_of_choosing<'a>(dynamic: impl Iterator<Item = &'a RowRecord>) -> Option<String> {
    let worth: Vec<String> = dynamic
        .filter_map(|row| {
            let shuffled = row.random_macro_f1?;
            // Adding 0 avoids printing -0.000.
            let worth = (1_000.0 * (row.macro_f1.mean - shuffled.mean)).round() / 1_000.0 + 0.0;
            Some(format!("{worth:+.3} for {}", row_name(row)))
        })
        .collect();
    (!worth.is_empty()).then(|| {
        let all = worth.join(", ");
        format!(
            "Choosing routes text by text is worth, in macro F1 over the same routes shuffled among the texts: {all}."
        )
    })
}

/// Sentence on the method whose cost is underestimated most by layers × heads, compared with exact FLOPs.
fn gap_of_the_estimate(finished: &[&RowRecord]) -> Option<String> {
    let gaps = finished.iter().flat_map(|row| {
        [
            ("training", row, row.train_layer_head_ratio, row.train_flops_ratio),
            ("inference", row, row.inference_layer_head_ratio, row.inference_flops_ratio),
        ]
    });
    let dynamic = gaps.filter(|(_, row, estimate, exact)| is_dynamic(row) && *estimate > 0.0 && exact > estimate);
    let (what, row, estimate, exact) = dynamic.max_by(|a, b| (a.3 - a.2).total_cmp(&(b.3 - b.2)))?;
    Some(format!(
        "Layers × heads flatters: it gives {estimate:.2} for the {what} of {}, which is {exact:.2} of the full model's FLOPs \
         when all matrix products are counted.",
        row_name(row)
    ))
}

/// Sentence on the cheapest method that is, with 95 % confidence, at most slightly worse than the full model.
fn cheapest(finished: &[&RowRecord], what: &str, cost: fn(&RowRecord) -> f64) -> Option<String> {
    let good = finished.iter().filter(|row| row.group != RowGroup::Full && row.deficit_upper95 <= MARGIN);
    let row = good.min_by(|a, b| cost(a).total_cmp(&cost(b))).filter(|row| cost(row) < 1.0)?;
    Some(format!(
        "The cheapest {what} of all rows that lose at most {MARGIN} macro F1 (each by its own bound; \
         the bound of the chosen one is wider): {}, {:.3} at {:.3} of the full \
         model's FLOPs.",
        row_name(row),
        row.macro_f1.mean,
        cost(row)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn text_of(record: &ReproductionRecord) -> String {
        findings(record).join("\n")
    }

    #[test]
    fn findings_have_the_numbers_of_their_rows() {
        let text = text_of(&fixture::reproduction());
        for part in [
            "The full model scores 0.921 ± 0.002 macro F1 (3 seeds, 3 epochs).",
            "T-DHT with the paper's settings scores 0.914, 0.007 below the full model (upper 95 % bound of the deficit 0.010).",
            "The paper prints 0.945 for AG News, at 0.81 in inference and 0.42 in training by layers × heads.",
            "saves in both is 20 % of the exact FLOPs (P-DHT; 56 % by layers × heads), with a deficit of 0.509",
            "T-DHT (as published), 0.914 @ 0.840: 4 rows of other methods score at least as much at no more FLOPs of inference, the best of \
             them FastBERT (speed 0.1) with 0.921 @ 0.600.",
            "F-DHT (ours, λ = 0.3), 0.920 @ 0.290: no row of another method here scores as much",
            "shuffled among the texts: +0.006 for T-DHT (as published), +0.006 for S-DHT",
            "it gives 0.55 for the training of T-DHT (as published), which is 1.21",
            "The cheapest inference of all rows that lose at most 0.01 macro F1 (each by its own bound; the bound of \
             the chosen one is wider): F-DHT (ours, λ = 0.3), 0.920 at 0.290",
            "which favours them): one encoder +0.80 [+0.30, +1.30] +0.40. Its worst cell of table 4 is +0.80 [-0.10, +1.30] points \
             against one encoder at 0.35.",
            "4 training runs failed, in P-DHT (as published), P-DHT (ours)",
        ] {
            assert!(text.contains(part), "{part}\n\n{text}");
        }
    }

    #[test]
    fn the_clock_of_the_accelerated_model_is_told_beside_its_flops() {
        let row = |ratio: f64, clock: f64, single| RowRecord {
            group: RowGroup::Accelerated,
            seeds: vec![0],
            inference_flops_ratio: ratio,
            inference_wall_ratio: clock,
            single_text_wall_ratio: single,
            ..RowRecord::default()
        };
        let (cheap, dear, cheapest) =
            (row(0.1, 0.12, Some(0.11)), row(0.5, 0.5, Some(0.55)), row(0.05, 0.5, Some(0.5)));
        let text = clock_beside_flops(&[&cheap, &dear, &cheapest]).unwrap();
        assert!(
            text.contains("is 1.00 to 1.20 times its share of FLOPs in batches, and 1.10 to 1.10 times for texts one"),
            "{text}"
        );
        let text = clock_beside_flops(&[&row(0.2, 0.2, None)]).unwrap();
        assert!(text.contains("1.00 to 1.00 times its share of FLOPs in batches, where"), "{text}");
        assert!(clock_beside_flops(&[&cheapest]).is_none());
    }

    #[test]
    fn other_numbers_give_other_sentences() {
        let mut record = fixture::reproduction();
        for row in &mut record.rows {
            (row.deficit, row.train_flops_ratio, row.random_macro_f1) = (-0.004, 1.5, None);
            row.failed.clear();
        }
        record.data.name = "sst2".into();
        let text = text_of(&record);
        for part in [
            "0.004 above the full model",
            "none of the paper's settings saves exact FLOPs in both; the nearest needs 50 %",
        ] {
            assert!(text.contains(part), "{part}\n\n{text}");
        }
        for part in ["The paper prints", "Choosing routes", "failed"] {
            assert!(!text.contains(part), "{part}\n\n{text}");
        }
        assert!(findings(&ReproductionRecord::default()).is_empty());
    }
}
