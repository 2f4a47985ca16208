//! The demonstration on top of the simulator: the clusters that it plays with, what it does to them,
//! the story that it tells, and what is recorded of it for the page.
//!
//! The simulator knows nothing of this module. Tests and benchmarks start from the same scenarios.

pub mod office;
pub mod recording;
pub mod scenario;
pub mod script;
pub mod shortage;
pub mod story;
pub mod terminal;
