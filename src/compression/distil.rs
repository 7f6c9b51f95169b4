//! Distillation by TinyBERT's method, compared with the same student without distillation.

use std::path::{Path, PathBuf};

use clap::Parser;
use dht_transformer::{TextClassifier, pretrained::PretrainedWeights};

use super::arguments::{CompressionArguments, CompressionPlan};
use super::bench::{Bench, Trained};
use super::limits::{elsewhere, real, refused};
use super::steps::{Output, Step, Steps};
use crate::error::Result;
use crate::experiment::{Model, print};
use crate::record::{Distillation, DistillationRecord, JudgedModel, Record, this_machine};
use crate::tables::distillation_text;

const DISTILLED: &str = "distilled";
const FINE_TUNED: &str = "fine-tuned";

/// Distil a fine-tuned teacher into a smaller student by TinyBERT's two stages, and compare with fine-tuning on the
/// labels.
///
/// Without --data, the program generates its own texts and requires neither files nor a network.
#[derive(Debug, Clone, Parser)]
#[command(
    after_help = "Writes record.json and, below steps, a Hugging Face directory of each model into --work. The same command resumes a \
                  stopped run. A directory with the name of a GLUE task is scored by its metric, and read as pairs if the task has pairs."
)]
pub struct DistilArguments {
    /// Texts, teacher and student
    #[command(flatten)]
    pub common: CompressionArguments,
    /// Write the distilled student here, as a Hugging Face directory
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Write the steps of the run and its record to this directory
    #[arg(long, value_name = "DIR", default_value = "target/dht/distil")]
    pub work: PathBuf,
}

/// Runs the example `distil`: distils a teacher into a student, and compares it with the same student fine-tuned on
/// labels.
///
/// # Errors
/// Returns an error for invalid flags, and for data or a teacher that cannot be read.
/// [`OtherSteps`](crate::Error::OtherSteps) if `work` has stored results of another command;
/// [`Argument`](crate::Error::Argument) if `out` would replace the teacher or these results;
/// [`Transformer`](crate::Error::Transformer) if `out` exists and has files that do not belong to a model.
pub fn distil(arguments: &DistilArguments) -> Result<DistillationRecord> {
    let plan = CompressionPlan::new(&arguments.common)?;
    // The output directory is checked before anything is trained. Files of an earlier student are replaced.
    if let Some(out) = &arguments.out {
        check_out(out, &arguments.work, &plan.run.model)?;
    }
    elsewhere("work", &arguments.work, &plan.run)?;
    let is_record = |path: &Path| DistillationRecord::load(path).is_ok();
    let record = plan.record.as_deref();
    Output { out: &arguments.work, record, is_record, figures: &[] }.check()?;
    let command: Vec<String> = std::iter::once("distil".into()).chain(plan.flags.iter().cloned()).collect();
    let bench = Bench::open(plan, &arguments.work, &command, 1)?;
    type Stages = fn(&Bench, TextClassifier, &Step) -> Result<Trained>;
    let student = |name: &str, stages: Stages| -> Result<JudgedModel> {
        bench.steps.once(name, |step| {
            let trained = stages(&bench, bench.general()?, step)?;
            let (tokenizer, labels) = (Some(&bench.data.tokenizer), &bench.data.train.labels);
            trained.model.save(step.model(), tokenizer, labels)?;
            Ok(bench.judged(&trained)?.0)
        })
    };
    let fine_tuned = student(FINE_TUNED, |bench, student, step| bench.fine_tuned(student, step, 0))?;
    let distilled = student(DISTILLED, |bench, student, step| bench.distilled(student, step, 0))?;
    let load = |name: &str| TextClassifier::load(bench.steps.model(name), &bench.device);
    let model = load(DISTILLED)?;
    let ratios = bench.steps.once("clock", |_| bench.wall_ratios([&bench.teacher, &load(FINE_TUNED)?, &model]))?;
    let timed = |judged: JudgedModel, at: usize| JudgedModel { wall_ratio: ratios[at], ..judged };
    let record = Record::new(
        command,
        bench.data.record.clone(),
        Distillation {
            metric: bench.judge.name().into(),
            majority_score: bench.judge.best_constant(&bench.data.test)?,
            teacher: timed(bench.judged_teacher, 0),
            fine_tuned_student: timed(fine_tuned, 1),
            distilled_student: timed(distilled, 2),
        },
        bench.settings(),
        this_machine(&bench.device),
    );
    for path in std::iter::once(bench.steps.record()).chain(bench.plan.record.clone()) {
        record.save(path)?;
    }
    if let Some(out) = &arguments.out {
        model.save(out, Some(&bench.data.tokenizer), &bench.data.train.labels)?;
    }
    print(std::io::stdout(), &distillation_text(&record))?;
    Ok(record)
}

/// Rejects the output directory `out` if it contains the teacher or the directory of stored results, or if it lies
/// among those results.
fn check_out(out: &Path, work: &Path, model: &Model) -> Result<()> {
    let teacher = if let Model::Directory(folder) = model { Some(folder.as_path()) } else { None };
    let holds_used = [Some(work), teacher].into_iter().flatten().any(|used| real(used).starts_with(real(out)));
    if holds_used || Steps::hold(work, out) {
        return Err(refused("out", "another directory than those of --model and --work", out.display()));
    }
    Ok(PretrainedWeights::check_target(out)?)
}
