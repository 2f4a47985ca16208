//! Pages to look at: what a plan would do to a cluster, and what happened in a run.
//!
//! Each is one self-contained HTML file: it names no other file and allows none to be loaded, so
//! that it can be mailed, kept and printed. All text is escaped by the template, whatever it holds.
//! What goes and why is the planner's to say; what happened, and in which words, is the caller's.
//! Nothing here reads a clock, a file or AWS.

#![warn(missing_docs)]

mod lanes;
mod numbers;
mod plan_page;
pub mod run;
mod run_page;
mod short_ids;

pub use crate::plan_page::plan_page;
pub use crate::run::Run;
pub use crate::run_page::run_page;
pub use crate::short_ids::ShortIds;
