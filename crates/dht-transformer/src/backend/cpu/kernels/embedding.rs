//! Sum of word, position and type embeddings, and the sparse gradient of an embedding table.

use super::real::Real;
use super::rows::add_assign;

/// Computes the sum word[i] + position[p] (+ type[t]) for each token, where i is its word id, p its position and t its
/// type id. Table rows have `width` values.
pub(crate) fn embed<T: Real>(
    word: (&[T], &[u32]),
    position: (&[T], &[u32]),
    token_type: Option<(&[T], &[u32])>,
    width: usize,
) -> Vec<T> {
    let row = |table: &[T], index: u32| {
        let start = index as usize * width;
        start..start + width.min(table.len())
    };
    let mut out = vec![T::ZERO; word.1.len() * width];
    for (token, out) in out.chunks_exact_mut(width).enumerate() {
        out.copy_from_slice(&word.0[row(word.0, word.1[token])]);
        add_assign(out, &position.0[row(position.0, position.1[token])]);
        if let Some(token_type) = token_type {
            add_assign(out, &token_type.0[row(token_type.0, token_type.1[token])]);
        }
    }
    out
}

/// Computes the sparse gradient of a table whose rows were looked up at `indices`. Returns the rows that occur, in
/// increasing order, and the sum of the gradients for each row. Gradients are added in the order of the tokens.
pub(crate) fn table_gradient<T: Real>(indices: &[u32], gradient: &[T], width: usize) -> (Vec<u32>, Vec<T>) {
    let mut order: Vec<u32> = (0..indices.len() as u32).collect();
    order.sort_by_key(|token| indices[*token as usize]);
    let mut rows: Vec<u32> = Vec::new();
    let mut values: Vec<T> = Vec::new();
    for token in order {
        let source = &gradient[token as usize * width..(token as usize + 1) * width];
        let index = indices[token as usize];
        if rows.last() == Some(&index) {
            let start = values.len() - width;
            add_assign(&mut values[start..], source);
        } else {
            rows.push(index);
            values.extend_from_slice(source);
        }
    }
    (rows, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_gradient_sums_the_occurrences_of_each_row() {
        let gradient = [1.0, 2.0, 10.0, 20.0, 100.0, 200.0];
        let (rows, values) = table_gradient(&[7, 3, 7], &gradient, 2);
        assert_eq!(rows, [3, 7]);
        assert_eq!(values, [10.0, 20.0, 101.0, 202.0]);
    }
}
