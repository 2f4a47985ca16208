//! How traffic is shifted away from an Availability Zone. It is only said here: nothing comes of it.
//!
//! Source: ARC zonal shift API, `ManagedResourceSummary`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::autoscaling::group_arn;
use super::state::World;
use super::zonal_shift::ZonalShift;

impl World {
    /// The resources of which traffic can be shifted: every group, and every load balancer that a
    /// target group names.
    pub fn managed_resources(&self) -> BTreeSet<String> {
        let groups = self.groups.keys().map(|name| group_arn(name));
        groups.chain(self.target_groups.values().flatten().cloned()).collect()
    }

    /// Shifts traffic of a resource away from a zone, by its ID, and returns the shift.
    pub fn shift_away(
        &mut self,
        resource: &str,
        zone: &str,
        kind: &'static str,
        lasts: Duration,
    ) -> ZonalShift {
        let shift = ZonalShift {
            id: self.uuid(),
            resource: resource.to_owned(),
            away_from: zone.to_owned(),
            kind,
            started_at: self.now,
            expires_at: self.now + lasts,
        };
        self.zonal_shifts.push(shift.clone());
        shift
    }

    /// The shift of a resource that is in effect.
    pub fn shift_of(&self, resource: &str) -> Option<&ZonalShift> {
        let mut shifts = self.zonal_shifts.iter();
        shifts.find(|shift| shift.resource == resource && shift.expires_at > self.now)
    }
}
