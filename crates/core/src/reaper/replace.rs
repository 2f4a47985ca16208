//! Replacing old container instances: the replacement first, then the drain.
//!
//! What is to be replaced, and why, is found in [`outdated`]; what is begun, waited for, given back
//! or drained is decided in [`decide`], from the world alone: a [`claim`] on each container instance
//! that is being replaced says how far it has come. Whether tasks have room is for [`room`] to say, which
//! asks the planner; what groups retain is for [`retained`], and what all that comes to for [`planned`].
//! Reading and acting are left to the `scale-in-reaper`, and removing an instance that is drained to its
//! follow-ups.
//!
//! See decision 013.

#[cfg(test)]
mod boundaries;
pub mod claim;
pub mod decide;
pub mod give_back;
pub mod members;
pub mod outdated;
pub mod planned;
#[cfg(test)]
mod properties;
pub mod retained;
pub mod room;
