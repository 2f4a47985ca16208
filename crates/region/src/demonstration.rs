//! The demonstration on top of the simulator: the clusters that it plays with and the timeline that
//! it prints.
//!
//! The simulator knows nothing of this module. Tests and benchmarks start from the same scenarios.

pub mod scenario;
pub mod timeline;
