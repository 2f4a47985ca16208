//! What a sweep knows of zonal shifts: they are read for all clusters at once, and again where that was
//! a minute ago or where a plan is to be carried out. What a shift means for a cluster is decided by
//! `ebb_core::reaper::zonal_shift`.

use std::collections::BTreeMap;

use ebb_aws::{AwsError, Clients, Problem};
use ebb_core::reaper::zonal_shift::{Shifts, shifts_load_balancer};
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

/// For how long a look serves: a sweep that plans for hundreds of clusters makes one a minute.
const SERVES: SignedDuration = SignedDuration::from_mins(1);

/// The looks of a sweep.
#[derive(Debug, Default)]
pub(crate) struct ShiftLooks {
    /// The last one, whether it failed or not, and when it was made.
    last: Option<(Timestamp, Result<Shifts, String>)>,
    /// Why the first one failed that did.
    pub(crate) problem: Option<Problem>,
}

impl ShiftLooks {
    /// Whether a look is to be made. One that failed was made several times, and serves the sweep.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let is_over = |(at, shifts): &(Timestamp, Result<_, _>)| {
            shifts.is_ok() && now.duration_since(*at) >= SERVES
        };
        self.last.as_ref().is_none_or(is_over)
    }

    /// Takes down what a look has come to.
    pub(crate) fn note(&mut self, now: Timestamp, shifts: Result<Shifts, AwsError>) {
        let shifts = shifts.map_err(|error| {
            let problem = Problem::from(error);
            let text = problem.text.clone();
            warn!("Nothing is removed: {text}");
            self.problem.get_or_insert(problem);
            text
        });
        self.last = Some((now, shifts));
    }

    /// Has the next look made anew.
    pub(crate) fn forget(&mut self) {
        self.last = None;
    }

    /// The shifts of the Region, or why they cannot be read.
    pub(crate) fn shifts(&self) -> Result<&Shifts, &str> {
        match &self.last {
            Some((_, shifts)) => shifts.as_ref().map_err(String::as_str),
            None => Err("they were not read"),
        }
    }
}

/// Makes a look.
pub(crate) async fn read(clients: &Clients, now: Timestamp) -> Result<Shifts, AwsError> {
    let resources = clients.zonal_shifts.managed_resources().await?;
    let load_balancers = if shifts_load_balancer(&resources, now) {
        clients.load_balancing.load_balancers().await?
    } else {
        BTreeMap::new()
    };
    Ok(Shifts { resources, load_balancers })
}
