//! Smaller encoder, initialised from its teacher.

use std::collections::BTreeMap;

use candle_core::Tensor;
use rand::Rng;

use crate::config::BertConfig;
use crate::error::{Error, Result};
use crate::model::Encoder;

/// Configuration fields for the remaining parts of pruned layers.
const KEPT: [&str; 3] = ["kept_heads", "kept_neurons", "kept_dimensions"];

/// Size of a student.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StudentSize {
    /// Layers.
    pub layers: usize,
    /// Heads of each layer.
    pub heads: usize,
    /// Width of the hidden states.
    pub hidden: usize,
    /// Neurons of each feed-forward.
    pub ffn: usize,
}

impl StudentSize {
    /// Size of a whole encoder.
    pub fn from_config(config: &BertConfig) -> Self {
        Self {
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            hidden: config.hidden_size,
            ffn: config.intermediate_size,
        }
    }

    /// Configuration of an encoder of this size, with the other settings of the teacher.
    ///
    /// # Errors
    /// As [`BertConfig::check`].
    pub fn config(self, teacher: &BertConfig) -> Result<BertConfig> {
        let mut config = BertConfig {
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            hidden_size: self.hidden,
            intermediate_size: self.ffn,
            ..teacher.clone()
        };
        KEPT.iter().for_each(|field| drop(config.other.remove(*field)));
        config.check()?;
        Ok(config)
    }
}

/// Creates an encoder of this size. It copies the teacher's tensors whose shapes agree; its other tensors are random.
/// Layer m has the tensors of the teacher's layer `layers[m]`. Also returns the number of tensors copied from the
/// teacher.
///
/// # Errors
/// [`Error::Argument`] if the number of `layers` is not the size's, or the teacher does not have one of them; as
/// [`StudentSize::config`].
pub fn student_encoder<R: Rng + ?Sized>(
    size: StudentSize,
    teacher: &Encoder,
    layers: &[usize],
    rng: &mut R,
) -> Result<(Encoder, usize)> {
    if layers.len() != size.layers || layers.iter().any(|layer| *layer >= teacher.layers()) {
        let expected = format!("{} of the teacher's {}", size.layers, teacher.layers());
        return Err(Error::argument("layers", expected, format!("{layers:?}")));
    }
    let (config, device) = (size.config(teacher.config())?, teacher.parameters().device());
    let (own, theirs) = (Encoder::random(&config, device, rng)?.to_tensors()?, teacher.to_tensors()?);
    let mut taken = 0;
    let take = |(name, tensor): (String, Tensor)| {
        let same = theirs.get(&of_teacher(&name, layers)).filter(|other| other.dims() == tensor.dims());
        taken += usize::from(same.is_some());
        (name, same.unwrap_or(&tensor).clone())
    };
    let tensors: BTreeMap<String, Tensor> = own.into_iter().map(take).collect();
    Ok((Encoder::from_tensors(&config, &tensors, device)?, taken))
}

/// Converts a tensor name of the student, such as `encoder.layer.1.output.dense.bias`, to that of the teacher's layer.
fn of_teacher(name: &str, layers: &[usize]) -> String {
    const LAYER: &str = ".layer.";
    let parts = || {
        let (before, rest) = name.split_once(LAYER)?;
        let (layer, tensor) = rest.split_once('.')?;
        let layer = layers.get(layer.parse::<usize>().ok()?)?;
        Some(format!("{before}{LAYER}{layer}.{tensor}"))
    };
    parts().unwrap_or_else(|| name.into())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn teacher() -> Encoder {
        let config = BertConfig::small(4, 2, 8, 30).unwrap();
        Encoder::random(&config, &Device::Cpu, &mut ChaCha8Rng::seed_from_u64(1)).unwrap()
    }

    fn numbers(encoder: &Encoder, name: &str) -> Vec<f32> {
        encoder.to_tensors().unwrap()[name].flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_student_of_the_teacher_s_width_begins_as_the_mapped_layers() {
        let (teacher, rng) = (teacher(), &mut ChaCha8Rng::seed_from_u64(2));
        let size = StudentSize { layers: 2, ..StudentSize::from_config(teacher.config()) };
        let (student, taken) = student_encoder(size, &teacher, &[1, 3], rng).unwrap();
        assert_eq!(taken, student.to_tensors().unwrap().len());
        for (own, other) in [(0, 1), (1, 3)] {
            let name = |layer| format!("encoder.layer.{layer}.attention.self.query.weight");
            assert_eq!(numbers(&student, &name(own)), numbers(&teacher, &name(other)));
        }
        let word = "embeddings.word_embeddings.weight";
        assert_eq!(numbers(&student, word), numbers(&teacher, word));
    }

    #[test]
    fn what_has_another_shape_is_random() {
        let (teacher, rng) = (teacher(), &mut ChaCha8Rng::seed_from_u64(2));
        let size = StudentSize { layers: 1, ffn: 20, ..StudentSize::from_config(teacher.config()) };
        let (student, taken) = student_encoder(size, &teacher, &[3], rng).unwrap();
        // Both matrices of the feed-forward and the bias between them.
        assert_eq!(taken, student.to_tensors().unwrap().len() - 3);
        assert_eq!(student.config().intermediate_size, 20);
        let size = StudentSize { hidden: 6, ..size };
        let (student, _) = student_encoder(size, &teacher, &[3], rng).unwrap();
        assert_eq!(student.config().hidden_size, 6);
        assert!(student_encoder(size, &teacher, &[4], rng).is_err());
        assert!(student_encoder(size, &teacher, &[1, 3], rng).is_err());
        assert!(student_encoder(StudentSize { heads: 4, ..size }, &teacher, &[3], rng).is_err(), "6 columns, 4 heads");
    }
}
