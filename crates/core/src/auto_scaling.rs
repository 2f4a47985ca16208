//! Auto Scaling's own nouns, as the functions need them.

pub use ebb_planner::auto_scaling::LifecycleState;
