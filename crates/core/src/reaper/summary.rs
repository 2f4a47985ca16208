//! What a week came to in a cluster: what was saved, drained and cut off, by the metrics of all three
//! functions, and what is stuck and why, by a look at the cluster.
//!
//! Reading metrics and clusters is left to the function.

mod state;

pub use self::state::{ClusterState, StuckDrain};
