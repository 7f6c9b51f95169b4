//! Feature hashing: converts named values to sparse contexts without storing a list of names.

use std::collections::BTreeMap;

use super::murmur::{combine, murmur3};
use crate::decision::{FeatureSpace, SparseContext};
use crate::error::{Error, Result};
use crate::validate::{check_bounded, check_parameter};

/// Feature hasher: converts named numbers, categories and texts to a sparse context by signed feature hashing
/// (Weinberger et al. 2009). The hash of a feature's namespace and name gives the feature's index, and another bit of
/// the hash the sign of its value. If two features collide (have the same index), their values add or cancel with equal
/// probability.
///
/// Features are added one by one. [`context`](Self::context) then returns the sparse context.
///
/// ```
/// use dht_bandits::features::FeatureHasher;
///
/// let mut hasher = FeatureHasher::new(18)?.with_ngrams(2)?.with_interactions([("user", "ad")])?.with_names();
/// hasher.category("user", "country", "DE");
/// hasher.number("user", "age", 0.38)?;
/// let of_user = hasher.len();
/// // The same user with each of two ads.
/// hasher.text("ad", "Running shoes, light as air");
/// let shoes = hasher.context()?;
/// hasher.truncate(of_user);
/// hasher.text("ad", "Rain coats");
/// let coats = hasher.context()?;
/// // A constant, 2 features of the user, 5 and 2 words, 4 and 1 pairs of words, and the products of user and ad.
/// assert_eq!((shoes.pairs().len(), coats.pairs().len()), (1 + 2 + 9 + 2 * 9, 1 + 2 + 3 + 2 * 3));
/// let named: Vec<_> = coats.pairs().filter_map(|(index, _)| hasher.names(index).first().cloned()).collect();
/// assert!(named.contains(&"user^country=DE × ad^coats".to_owned()));
/// # Ok::<(), dht_bandits::Error>(())
/// ```
///
/// The hash is 32-bit MurmurHash3. The settings of the hasher (bits, seed, n-grams, interactions, constant) identify
/// the [feature space](Self::space) of its contexts. A policy accepts contexts of only one feature space.
#[derive(Debug, Clone)]
pub struct FeatureHasher {
    bits: u32,
    seed: u32,
    ngrams: usize,
    constant: bool,
    interactions: Vec<(String, String)>,
    space: FeatureSpace,
    namespaces: Vec<Namespace>,
    features: Vec<Feature>,
    pairs: Vec<(u32, f64)>,
    sorted: Vec<(u32, f64)>,
    counts: Vec<u32>,
    names: Option<Names>,
}

/// Namespace: a named group of features, with the hash of its name.
#[derive(Debug, Clone)]
struct Namespace {
    name: String,
    bytes: Vec<u8>,
    hash: u32,
    /// Indices of the namespaces whose features are multiplied with the features of this namespace.
    second_of: Vec<usize>,
}

/// Hashed feature that was added to the current context.
#[derive(Debug, Clone, Copy)]
struct Feature {
    value: f64,
    hash: u32,
    namespace: u32,
    /// Index of the feature's name in `Names::current`, if names are stored.
    name: u32,
}

/// Names of all features that were hashed so far, by hash index.
#[derive(Debug, Clone, Default)]
struct Names {
    by_index: BTreeMap<u32, Vec<String>>,
    current: Vec<String>,
    features: u64,
    collisions: u64,
}

impl Names {
    fn meet(&mut self, index: u32, name: impl FnOnce(&[String]) -> String) {
        let name = name(&self.current);
        let names = self.by_index.entry(index).or_default();
        if !names.contains(&name) {
            self.features += 1;
            self.collisions += u64::from(!names.is_empty());
            names.push(name);
        }
    }
}

const LONGEST_NGRAM: usize = 8;

/// Namespace of the constant feature.
const CONSTANT: &str = "constant";

/// Sorts pairs by the low `bits` bits of their index, stably. Many pairs are sorted by radix sort in two or three
/// passes.
fn sort_by_index(pairs: &mut Vec<(u32, f64)>, other: &mut Vec<(u32, f64)>, counts: &mut Vec<u32>, bits: u32) {
    let passes = if bits > 22 || pairs.len() < 256 { 3 } else { 2 };
    let digit = bits.div_ceil(passes);
    if pairs.len() < 24 || pairs.len() * 64 < 1 << digit {
        pairs.sort_by_key(|(index, _)| *index);
        return;
    }
    let mask = (1usize << digit) - 1;
    let bucket = |index: u32, pass: u32| (index >> (pass * digit)) as usize & mask;
    counts.clear();
    counts.resize((passes as usize) << digit, 0);
    for (index, _) in &*pairs {
        (0..passes).for_each(|pass| counts[bucket(*index, pass) + (pass as usize * (mask + 1))] += 1);
    }
    other.resize(pairs.len(), (0, 0.0));
    for (pass, counts) in (0..).zip(counts.chunks_exact_mut(mask + 1)) {
        let mut start = 0;
        for count in counts.iter_mut() {
            start += std::mem::replace(count, start);
        }
        for &pair in &*pairs {
            let place = &mut counts[bucket(pair.0, pass)];
            other[*place as usize] = pair;
            *place += 1;
        }
        std::mem::swap(pairs, other);
    }
}

impl FeatureHasher {
    /// Creates a hasher with 2^`bits` indices. Texts are split into single words, and each context has a constant
    /// feature of value 1.
    ///
    /// # Errors
    /// Fails if `bits` is not from 1 to 28.
    pub fn new(bits: u32) -> Result<Self> {
        let hasher = Self {
            bits,
            seed: 0,
            ngrams: 1,
            constant: true,
            interactions: Vec::new(),
            space: FeatureSpace::new(bits)?,
            namespaces: Vec::new(),
            features: Vec::new(),
            pairs: Vec::new(),
            sorted: Vec::new(),
            counts: Vec::new(),
            names: None,
        };
        Ok(hasher.refreshed())
    }

    /// Sets the seed of the hash function.
    #[must_use]
    pub fn with_seed(self, seed: u32) -> Self {
        Self { seed, ..self }.refreshed()
    }

    /// Omits the constant feature of value 1.
    #[must_use]
    pub fn without_constant(self) -> Self {
        Self { constant: false, ..self }.refreshed()
    }

    /// Also adds word n-grams of each [text](Self::text) as features: sequences of 2 to `longest` words.
    ///
    /// # Errors
    /// Fails if `longest` is not from 1 to 8.
    pub fn with_ngrams(self, longest: usize) -> Result<Self> {
        check_parameter("ngrams", longest as f64, (1..=LONGEST_NGRAM).contains(&longest), "from 1 to 8")?;
        Ok(Self { ngrams: longest, ..self }.refreshed())
    }

    /// Adds interactions: the products of each feature of one namespace with each feature of another, for each pair of
    /// namespaces. A namespace paired with itself gives each product of its features once, squares included.
    ///
    /// # Errors
    /// [`Error::DuplicateName`] if a pair of namespaces is listed twice.
    pub fn with_interactions<S: Into<String>>(self, pairs: impl IntoIterator<Item = (S, S)>) -> Result<Self> {
        let interactions: Vec<(String, String)> = pairs.into_iter().map(|(a, b)| (a.into(), b.into())).collect();
        for (position, (first, second)) in interactions.iter().enumerate() {
            let same = |(a, b): &(String, String)| (a, b) == (first, second) || (a, b) == (second, first);
            if interactions[..position].iter().any(same) {
                return Err(Error::DuplicateName { what: "interaction", name: format!("{first} × {second}") });
            }
        }
        Ok(Self { interactions, ..self }.refreshed())
    }

    /// Stores the name of each feature, so that [`names`](Self::names) and [`collisions`](Self::collisions) are
    /// available. Memory grows with the number of distinct features.
    #[must_use]
    pub fn with_names(self) -> Self {
        Self { names: Some(Names::default()), ..self }.refreshed()
    }

    /// Clears everything that depends on the settings, and recomputes the feature space from the settings.
    fn refreshed(mut self) -> Self {
        self.namespaces.clear();
        self.clear();
        let mut print = murmur3(&self.seed.to_le_bytes(), self.ngrams as u32 * 2 + u32::from(self.constant));
        for (first, second) in &self.interactions {
            print = combine(murmur3(first.as_bytes(), print), murmur3(second.as_bytes(), 0));
        }
        // The fingerprint 0 is reserved for indices that the caller assigns.
        let print = (print & 0x00ff_ffff).max(1);
        if let Ok(space) = FeatureSpace::with_fingerprint(self.bits, print) {
            self.space = space;
        }
        self
    }

    /// Feature space of the contexts, which is identified by the settings of the hasher.
    pub fn space(&self) -> FeatureSpace {
        self.space
    }

    /// Number of features in the current context, without products and the constant. [`clear`](Self::clear) resets it.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Returns whether the current context has no features, apart from the constant.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// Removes all features of the current context except the first `length`. For example, the features of a user can
    /// stay while the features of one action are replaced by the features of the next.
    pub fn truncate(&mut self, length: usize) {
        self.features.truncate(length);
        if let Some(names) = &mut self.names {
            names.current.truncate(length);
        }
    }

    /// Removes all features, to begin the next context.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Adds a numeric feature.
    ///
    /// # Errors
    /// Fails if the value is not finite or beyond ±1e100.
    pub fn number(&mut self, namespace: &str, name: &str, value: f64) -> Result<()> {
        check_bounded("feature", value)?;
        let namespace = self.namespace(namespace);
        self.add_bytes(namespace, name.as_bytes(), value);
        Ok(())
    }

    /// Adds a categorical feature, such as `country` with the value `DE`. Each pair of name and value is a feature of
    /// value 1.
    pub fn category(&mut self, namespace: &str, name: &str, value: &str) {
        let namespace = self.namespace(namespace);
        let hash = combine(self.hash(namespace, name.as_bytes()), murmur3(value.as_bytes(), self.seed));
        self.add(namespace, hash, 1.0, || format!("{name}={value}"));
    }

    /// Adds the words of a text as features, and their n-grams if set. A word is a sequence of letters and digits,
    /// converted to lower case.
    pub fn text(&mut self, namespace: &str, text: &str) {
        let namespace = self.namespace(namespace);
        let first = self.features.len();
        let mut lower = String::new();
        for word in text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()) {
            lower.clear();
            lower.extend(word.chars().flat_map(char::to_lowercase));
            self.add_bytes(namespace, lower.as_bytes(), 1.0);
        }
        self.add_ngrams(namespace, first);
    }

    /// Returns the index of a namespace; creates the namespace if it does not exist.
    fn namespace(&mut self, name: &str) -> usize {
        self.namespace_of_bytes(name.as_bytes())
    }

    /// Returns the index of a namespace; creates the namespace if it does not exist. The name need not be valid UTF-8.
    pub(crate) fn namespace_of_bytes(&mut self, name: &[u8]) -> usize {
        if let Some(position) = self.namespaces.iter().position(|known| known.bytes == name) {
            return position;
        }
        let number = self.namespaces.len();
        let hash = murmur3(name, self.seed);
        let (bytes, name) = (name.to_owned(), String::from_utf8_lossy(name).trim().to_owned());
        self.namespaces.push(Namespace { name, bytes, hash, second_of: Vec::new() });
        for (first, second) in &self.interactions {
            let find = |name: &str| self.namespaces.iter().position(|known| known.name == name);
            let (first, second) = (find(first), find(second));
            if let (Some(first), Some(second)) = (first, second)
                && first.max(second) == number
            {
                self.namespaces[first].second_of.push(second);
            }
        }
        number
    }

    fn hash(&self, namespace: usize, name: &[u8]) -> u32 {
        murmur3(name, self.namespaces[namespace].hash)
    }

    /// Adds a feature to a namespace. The name need not be valid UTF-8.
    #[inline]
    pub(crate) fn add_bytes(&mut self, namespace: usize, name: &[u8], value: f64) {
        let hash = self.hash(namespace, name);
        self.add(namespace, hash, value, || String::from_utf8_lossy(name).into_owned());
    }

    #[inline(always)]
    fn add(&mut self, namespace: usize, hash: u32, value: f64, name: impl FnOnce() -> String) {
        let mut number = 0;
        if let Some(names) = &mut self.names {
            number = names.current.len() as u32;
            names.current.push(format!("{}^{}", self.namespaces[namespace].name, name()));
        }
        self.features.push(Feature { value, hash, namespace: namespace as u32, name: number });
    }

    /// Adds word n-grams as features. The words are the features of the current context from index `first` on.
    pub(crate) fn add_ngrams(&mut self, namespace: usize, first: usize) {
        let words = first..self.features.len();
        for length in 2..=self.ngrams {
            for start in words.clone() {
                let end = start + length;
                if end > words.end {
                    break;
                }
                let run = &self.features[start..end];
                let hash = run[1..].iter().fold(run[0].hash, |hash, word| combine(hash, word.hash));
                let value = run.iter().map(|word| word.value).product();
                let mut number = 0;
                if let Some(names) = &mut self.names {
                    number = names.current.len() as u32;
                    let run =
                        names.current[start..end].iter().map(|name| name.split_once('^').map_or("", |part| part.1));
                    let name = run.collect::<Vec<_>>().join(" ");
                    names.current.push(format!("{}^{name}", self.namespaces[namespace].name));
                }
                self.features.push(Feature { value, hash, namespace: namespace as u32, name: number });
            }
        }
    }

    /// Appends a hashed feature as a pair of index and signed value. Returns the index.
    #[inline]
    fn push(pairs: &mut Vec<(u32, f64)>, mask: u32, hash: u32, value: f64) -> u32 {
        let index = hash & mask;
        // The highest bit of the hash is not part of an index.
        pairs.push((index, f64::from_bits(value.to_bits() ^ u64::from(hash >> 31) << 63)));
        index
    }

    /// Builds the sparse context of the added features, with their products and the constant. Values with the same
    /// index are summed. The features stay until `clear` or `truncate` removes them.
    ///
    /// # Errors
    /// Fails if a product or a sum is beyond ±1e100.
    pub fn context(&mut self) -> Result<SparseContext> {
        let mask = (self.space.size() - 1) as u32;
        let (pairs, features) = (&mut self.pairs, &self.features);
        pairs.clear();
        for feature in features {
            let index = Self::push(pairs, mask, feature.hash, feature.value);
            if let Some(names) = &mut self.names {
                names.meet(index, |current| current[feature.name as usize].clone());
            }
        }
        if !self.interactions.is_empty() {
            for (position, first) in features.iter().enumerate() {
                for &other in &self.namespaces[first.namespace as usize].second_of {
                    let from = if other == first.namespace as usize { position } else { 0 };
                    for second in features[from..].iter().filter(|second| second.namespace as usize == other) {
                        let hash = combine(first.hash, second.hash);
                        let index = Self::push(pairs, mask, hash, first.value * second.value);
                        if let Some(names) = &mut self.names {
                            names.meet(index, |current| {
                                format!("{} × {}", current[first.name as usize], current[second.name as usize])
                            });
                        }
                    }
                }
            }
        }
        if self.constant {
            let index = Self::push(pairs, mask, murmur3(CONSTANT.as_bytes(), self.seed), 1.0);
            if let Some(names) = &mut self.names {
                names.meet(index, |_| CONSTANT.to_owned());
            }
        }
        sort_by_index(pairs, &mut self.sorted, &mut self.counts, self.bits);
        SparseContext::from_sorted(self.space, pairs)
    }

    /// Names of all features so far that were hashed to `index`, in the order of their first occurrence. Empty unless
    /// [`with_names`](Self::with_names) was called.
    pub fn names(&self, index: u32) -> &[String] {
        self.names.as_ref().and_then(|names| names.by_index.get(&index)).map_or(&[], Vec::as_slice)
    }

    /// Number of distinct features so far, and number of those that collided with an earlier feature (had the same
    /// index). `None` unless [`with_names`](Self::with_names) was called.
    pub fn collisions(&self) -> Option<(u64, u64)> {
        self.names.as_ref().map(|names| (names.features, names.collisions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_and_keep_their_order() {
        for bits in [1, 6, 9, 18, 22, 23, 28] {
            for count in [0u32, 1, 23, 24, 255, 300, 5000] {
                let mut pairs: Vec<(u32, f64)> = (0..count)
                    .map(|number| (murmur3(&number.to_le_bytes(), 7) & ((1 << bits) - 1), f64::from(number)))
                    .collect();
                let mut expected = pairs.clone();
                expected.sort_by_key(|(index, _)| *index);
                sort_by_index(&mut pairs, &mut Vec::new(), &mut Vec::new(), bits);
                assert_eq!(pairs, expected, "{bits} bits, {count} pairs");
            }
        }
    }
}
