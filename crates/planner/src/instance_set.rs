//! A set of instances, one bit each: 5,000 instances are 79 words.

use crate::index::{InstanceIndex, Numbered};

/// The bits of a word.
const WORD: usize = 64;

/// A set of instances.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct InstanceSet(Vec<u64>);

impl InstanceSet {
    /// An empty set with room for so many instances.
    pub(crate) fn new(instances: usize) -> Self {
        Self(vec![0; instances.div_ceil(WORD)])
    }

    /// Whether it has an instance.
    pub(crate) fn has(&self, instance: InstanceIndex) -> bool {
        let position = instance.position();
        self.0[position / WORD] >> (position % WORD) & 1 == 1
    }

    /// Adds an instance.
    pub(crate) fn insert(&mut self, instance: InstanceIndex) {
        self.insert_if(true, instance);
    }

    /// Adds an instance if a condition holds. Without a branch: that is several times faster in a
    /// loop over all.
    pub(crate) fn insert_if(&mut self, condition: bool, instance: InstanceIndex) {
        let position = instance.position();
        self.0[position / WORD] |= u64::from(condition) << (position % WORD);
    }

    /// The instances in it, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = InstanceIndex> {
        self.0.iter().enumerate().flat_map(|(index, &word)| {
            std::iter::successors(Some(word), |bits| Some(bits & bits.wrapping_sub(1)))
                .take_while(|bits| *bits != 0)
                .map(move |bits| InstanceIndex::new(index * WORD + bits.trailing_zeros() as usize))
        })
    }

    /// How many words it is kept in.
    pub(crate) fn words(&self) -> usize {
        self.0.len()
    }
}
