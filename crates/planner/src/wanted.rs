//! The tasks that the policy wants room for, by their kind. Which those are is said in `model`; whether
//! there is room for them, in `task_room`.

use crate::index::KindIndex;

/// Tasks that room is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Their kind.
    pub(crate) kind: KindIndex,
    /// Their service, by its position in the inventory.
    pub(crate) service: usize,
    /// How many.
    pub(crate) tasks: u32,
    /// Whether they are wanted as the largest of the cluster, and not by their name.
    pub(crate) largest: bool,
}

impl Wanted {
    /// Whether both are to fit at once. The largest by one dimension and by another are two answers
    /// to one question.
    pub(crate) fn adds_to(&self, other: &Self) -> bool {
        self != other && !(self.largest && other.largest)
    }
}
