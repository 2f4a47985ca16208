//! What sweeps do with groups whose size a capacity provider's managed scaling decides.

use crate::vocabulary::vocabulary;

vocabulary! {
    /// What sweeps do with groups whose size a capacity provider's managed scaling decides.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum ManagedScalingMode {
        /// They drain what nobody needs. Where ECS protects what holds tasks, it takes the emptied
        /// instance itself.
        Assist = "assist",
        /// They leave such groups alone.
        Leave = "leave",
    }
}
