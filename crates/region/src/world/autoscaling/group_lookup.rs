//! What can be asked about all groups at once.

use super::group::Group;
use super::lifecycle_state::LifecycleState;
use super::scaling_activity::Refused;
use crate::world::account::REGION;
use crate::world::state::World;

impl World {
    /// The group that an instance belongs to.
    pub fn group_of(&self, instance_id: &str) -> Option<(&str, &Group)> {
        let mut groups = self.groups.iter();
        let (name, group) = groups.find(|(_, group)| group.instance(instance_id).is_some())?;
        Some((name, group))
    }

    /// Where an instance of a group stands; `None` if no group has it (any more).
    pub fn lifecycle_state(&self, instance_id: &str) -> Option<LifecycleState> {
        Some(self.group_of(instance_id)?.1.instance(instance_id)?.state)
    }

    /// The Availability Zone of an instance; the first one if neither a group nor a cluster knows
    /// it.
    pub fn zone_of(&self, instance_id: &str) -> String {
        let member = self.group_of(instance_id).and_then(|(_, group)| group.instance(instance_id));
        if let Some(zone) = member.and_then(|instance| instance.zone.clone()) {
            return zone;
        }
        match self.container_instance(instance_id) {
            Some((_, instance)) => instance.zone.clone(),
            None => format!("{REGION}a"),
        }
    }

    /// A group by its name.
    pub(super) fn group(&self, name: &str) -> Result<&Group, Refused> {
        self.groups.get(name).ok_or_else(|| {
            Refused::validation(
                "AutoScalingGroup name not found - AutoScalingGroup with that name does not exist",
            )
        })
    }
}
