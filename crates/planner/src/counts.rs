//! How many tasks of what each instance has, in one piece of memory.
//!
//! Known as compressed sparse rows. Source: Saad, "Iterative Methods for Sparse Linear Systems",
//! 2nd edition, section 3.4.

use crate::index::{InstanceIndex, Numbered};

/// By instance: a list of (what, how many).
#[derive(Debug)]
pub(crate) struct Counts<K> {
    /// The list of each instance begins here and ends where the next begins.
    starts: Vec<usize>,
    entries: Vec<(K, u16)>,
}

impl<K: Copy + Ord> Counts<K> {
    /// Makes one list after the other: each is given in any order, and may name the same several
    /// times.
    pub(crate) fn new<L: Iterator<Item = (K, u16)>>(lists: impl Iterator<Item = L>) -> Self {
        let (mut starts, mut entries) = (vec![0], Vec::<(K, u16)>::new());
        let mut sorted = Vec::new();
        for list in lists {
            sorted.extend(list);
            // Equal keys must stand side by side to be added up.
            sorted.sort_unstable();
            let start = entries.len();
            // Only the entries from `start` on are of this instance.
            for (key, count) in sorted.drain(..) {
                match entries[start..].last_mut() {
                    // More than eligibility believes are on an instance that stays.
                    Some(last) if last.0 == key => last.1 = last.1.saturating_add(count),
                    _ => entries.push((key, count)),
                }
            }
            starts.push(entries.len());
        }
        entries.shrink_to_fit();
        Self { starts, entries }
    }

    /// The list of an instance.
    pub(crate) fn of(&self, instance: InstanceIndex) -> &[(K, u16)] {
        let position = instance.position();
        &self.entries[self.starts[position]..self.starts[position + 1]]
    }

    /// How many tasks an instance has.
    pub(crate) fn total(&self, instance: InstanceIndex) -> usize {
        self.of(instance).iter().map(|(_, count)| usize::from(*count)).sum()
    }
}
