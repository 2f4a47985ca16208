//! What AWS says in a trial.

use crate::world::spot::Action;

/// What AWS says in a trial, and so which kind of drainer it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Termination lifecycle actions.
    Termination,
    /// Spot interruption notices: what EC2 will do.
    Interruption(Action),
}
