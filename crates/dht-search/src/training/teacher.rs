//! Distillation of the exits from a trained full model, the teacher.

use dht_transformer::{ForwardContext, PackedBatch, Task, TextClassifier};

use super::objective::SearchObjective;
use crate::error::{Error, Result};
use crate::settings::Teacher;

impl SearchObjective {
    /// Sets the teacher that [`Teacher::Full`] requires: a trained classifier of any size with the same classes and
    /// vocabulary. Training does not change it. It is not saved with the model, so that a resumed training run must set
    /// it again.
    ///
    /// # Errors
    /// [`Argument`](dht_dynamic::Error::Argument) in these cases:
    ///
    /// * The settings require no teacher.
    /// * The teacher is for another task, or has another number of classes.
    /// * The teacher's vocabulary or its maximum length of texts is smaller than this model's.
    pub fn with_teacher(mut self, teacher: TextClassifier) -> Result<Self> {
        if !self.wants_teacher() {
            let expected = "none, since soft_labels requires no full teacher";
            return Err(Error::argument("teacher", expected, "one"));
        }
        if teacher.task() != Task::Class {
            return Err(Error::argument("teacher", "a classifier", format!("one for {:?}", teacher.task())));
        }
        let (own, other) = (self.dynamic.encoder().config(), teacher.encoder().config());
        let classes = (self.exit_model().classes(), teacher.classifier().classes());
        if classes.0 != classes.1 {
            return Err(Error::argument("teacher", format!("{} classes", classes.0), classes.1));
        }
        let sizes =
            [("tokens", own.vocab_size, other.vocab_size), ("positions", own.longest_text(), other.longest_text())];
        if let Some((what, own, other)) = sizes.into_iter().find(|(_, own, other)| other < own) {
            return Err(Error::argument("teacher", format!("{own} {what} or more"), other));
        }
        self.teacher = Some(teacher);
        Ok(self)
    }

    fn wants_teacher(&self) -> bool {
        self.settings().soft_labels.is_some_and(|soft| soft.teacher == Teacher::Full)
    }

    /// Rejects settings that require a teacher if none is set.
    pub(crate) fn check_teacher(&self) -> Result<()> {
        if self.wants_teacher() { self.full_teacher().map(|_| ()) } else { Ok(()) }
    }

    fn full_teacher(&self) -> Result<&TextClassifier> {
        let expected = "a trained classifier, set by with_teacher, since soft_labels requires it";
        self.teacher.as_ref().ok_or_else(|| Error::argument("teacher", expected, "none"))
    }

    /// Logits of the teacher, a full model, by sample and class.
    pub(crate) fn full_teacher_logits(&self, batch: &PackedBatch) -> Result<Vec<Vec<f32>>> {
        Ok(self.full_teacher()?.logits(batch, &ForwardContext::inference())?.to_vec2()?)
    }

    /// Adds the FLOPs of the teacher's pass over a batch to the cost accounting.
    pub(crate) fn record_teacher(&mut self, batch: &PackedBatch) {
        if let Some(teacher) = &self.teacher {
            let flops = teacher.forward_flops((&batch.spans).into()).0;
            self.accounting.flops += flops;
            self.accounting.teacher_flops += flops;
        }
    }
}
