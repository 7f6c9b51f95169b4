//! Creation of a smaller encoder (student) from a larger one, for distillation.

use std::collections::BTreeMap;

use candle_core::Tensor;
use rand::Rng;

use crate::config::BertConfig;
use crate::error::{Error, Result};
use crate::model::Encoder;

impl Encoder {
    /// Creates a student of this encoder: an encoder of another size that starts from some of its weights, for
    /// distillation. Also returns the number of copied tensors.
    ///
    /// `config` is this encoder's [unpruned](BertConfig::unpruned) configuration with another hidden size or other
    /// numbers of layers, heads or neurons. Layer m of the student starts from layer `layers[m]` of this encoder.
    /// Tensors whose shapes agree are copied; all other tensors are random.
    ///
    /// # Errors
    /// [`Error::Argument`] if `layers` does not have one entry for each layer in `config`, or has a layer that this
    /// encoder does not have. Errors of [`BertConfig::check`].
    ///
    /// # Examples
    /// ```
    /// use dht_transformer::{BertConfig, Encoder};
    /// # use rand::SeedableRng;
    /// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    ///
    /// let config = BertConfig::small(4, 2, 8, 50)?;
    /// let teacher = Encoder::random(&config, &candle_core::Device::Cpu, &mut rng)?;
    /// let config = BertConfig { num_hidden_layers: 2, ..config };
    /// let (student, copied) = teacher.student(&config, &[1, 3], &mut rng)?;
    /// assert_eq!((student.layers(), copied), (2, student.to_tensors()?.len()));
    /// # Ok::<(), dht_transformer::Error>(())
    /// ```
    pub fn student<R: Rng + ?Sized>(
        &self,
        config: &BertConfig,
        layers: &[usize],
        rng: &mut R,
    ) -> Result<(Self, usize)> {
        if layers.len() != config.num_hidden_layers || layers.iter().any(|layer| *layer >= self.layers()) {
            let expected = format!("{} of the teacher's {}", config.num_hidden_layers, self.layers());
            return Err(Error::argument("layers", expected, format!("{layers:?}")));
        }
        let device = self.parameters().device();
        let (own, theirs) = (Self::random(config, device, rng)?.to_tensors()?, self.to_tensors()?);
        let mut taken = 0;
        let take = |(name, tensor): (String, Tensor)| {
            let same = theirs.get(&of_teacher(&name, layers)).filter(|other| other.dims() == tensor.dims());
            taken += usize::from(same.is_some());
            (name, same.unwrap_or(&tensor).clone())
        };
        let tensors: BTreeMap<String, Tensor> = own.into_iter().map(take).collect();
        Ok((Self::from_tensors(config, &tensors, device)?, taken))
    }
}

/// Name of the teacher's tensor that initialises a tensor of the student. For `encoder.layer.1.output.dense.bias`, the
/// layer number 1 is replaced by `layers[1]`.
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
        let size = BertConfig { num_hidden_layers: 2, ..teacher.config().clone() };
        let (student, taken) = teacher.student(&size, &[1, 3], rng).unwrap();
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
        let size = BertConfig { num_hidden_layers: 1, intermediate_size: 20, ..teacher.config().clone() };
        let (student, taken) = teacher.student(&size, &[3], rng).unwrap();
        // Random tensors are both matrices of the feed-forward network and the bias between them.
        assert_eq!(taken, student.to_tensors().unwrap().len() - 3);
        assert_eq!(student.config().intermediate_size, 20);
        let size = BertConfig { hidden_size: 6, ..size };
        let (student, _) = teacher.student(&size, &[3], rng).unwrap();
        assert_eq!(student.config().hidden_size, 6);
        assert!(teacher.student(&size, &[4], rng).is_err());
        assert!(teacher.student(&size, &[1, 3], rng).is_err());
        assert!(
            teacher.student(&BertConfig { num_attention_heads: 4, ..size }, &[3], rng).is_err(),
            "6 columns, 4 heads"
        );
    }
}
