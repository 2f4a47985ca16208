//! The world: everything that is in the Region, and what happens to it as time goes by.
//!
//! Deterministic: time only moves by [`World::advance`], chance comes from one seeded source, and
//! what is due at the same moment happens in the order in which it was planned. It knows no
//! protocol ([`crate::wire`]) and does not run functions ([`crate::lambda`]): it says which
//! invocations are due and is told how they ended.

mod account;
mod agenda;
pub mod autoscaling;
mod comeback;
pub mod delivery;
pub mod ec2;
pub mod ecs;
mod history;
mod instance_end;
mod interruption;
pub mod lag;
mod lagged_reads;
pub mod managed_capacity;
pub mod metrics;
mod prices;
pub mod spot;
mod state;
pub mod zonal_shift;
mod zone_shifting;

pub use self::account::{ACCOUNT, REGION};
pub use self::history::{Call, Entry, Happening, Published};
pub(crate) use self::prices::PRICES;
pub use self::state::{Package, World};
