//! EC2 Auto Scaling: groups whose desired capacity can be raised, and instances that boot and join their cluster.
//!
//! Scale-in and lifecycle hooks are not simulated yet.

use std::time::Duration;

use super::ecs::NewInstance;
use super::{Due, Happening, REGION, World};

/// From the launch of an instance until its agent has registered it with the cluster.
const BOOT: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(90));

/// An Auto Scaling group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The cluster that its instances join.
    pub cluster: String,
    /// `MinSize`.
    pub min_size: i32,
    /// `MaxSize`.
    pub max_size: i32,
    /// `DesiredCapacity`.
    pub desired_capacity: i32,
    /// Its instances, those that are booting included.
    pub instances: Vec<String>,
    /// Whether EC2 has capacity for it. A Spot group whose instances are interrupted often has none.
    pub launches: bool,
}

/// Why a call was refused, as Auto Scaling says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The error code.
    pub code: &'static str,
    /// The message.
    pub message: String,
}

impl World {
    /// Adds a group with instances that are in their cluster already.
    pub fn add_group(&mut self, name: &str, group: Group) {
        self.groups.insert(name.to_owned(), group);
    }

    /// Sets the desired capacity; instances that are missing are launched.
    pub(crate) fn set_desired_capacity(&mut self, name: &str, desired_capacity: i32) -> Result<(), Refused> {
        let refused = |message: String| Err(Refused { code: "ValidationError", message });
        let Some(group) = self.groups.get_mut(name) else {
            return refused(
                "AutoScalingGroup name not found - AutoScalingGroup with that name does not exist".into(),
            );
        };
        if desired_capacity > group.max_size {
            return refused(format!(
                "New SetDesiredCapacity value {desired_capacity} is above max value {} for the AutoScalingGroup.",
                group.max_size
            ));
        }
        if desired_capacity < group.min_size {
            return refused(format!(
                "New SetDesiredCapacity value {desired_capacity} is below min value {} for the AutoScalingGroup.",
                group.min_size
            ));
        }
        if desired_capacity < group.desired_capacity {
            return refused("the simulated Region does not scale in yet".into());
        }
        if desired_capacity > group.desired_capacity {
            group.desired_capacity = desired_capacity;
            self.record(Happening::DesiredCapacity { group: name.to_owned(), desired_capacity });
        }
        self.launch_missing(name);
        Ok(())
    }

    /// The group of a terminated instance launches another one.
    pub(super) fn replace(&mut self, instance_id: &str) {
        let owner =
            self.groups.iter_mut().find(|(_, group)| group.instances.iter().any(|id| id == instance_id));
        if let Some((name, group)) = owner {
            group.instances.retain(|id| id != instance_id);
            let name = name.clone();
            self.launch_missing(&name);
        }
    }

    fn launch_missing(&mut self, name: &str) {
        let Some(group) = self.groups.get(name).filter(|group| group.launches) else { return };
        let missing =
            usize::try_from(group.desired_capacity).unwrap_or(0).saturating_sub(group.instances.len());
        for _ in 0..missing {
            let instance_id = format!("i-{:017x}", self.rng.u64(..));
            if let Some(group) = self.groups.get_mut(name) {
                group.instances.push(instance_id.clone());
            }
            let after = self.between(BOOT.0, BOOT.1);
            self.plan(after, Due::Joined { group: name.to_owned(), instance_id });
        }
    }

    /// A booted instance joins its group's cluster.
    pub(super) fn join(&mut self, name: &str, instance_id: &str) {
        let Some(cluster) = self.groups.get(name).map(|group| group.cluster.clone()) else { return };
        let zone = format!("{REGION}{}", ["a", "b", "c"][self.rng.usize(..3)]);
        self.add_instance(&cluster, NewInstance::new(instance_id).zone(zone).age(Duration::ZERO));
        let what = Happening::ContainerInstance {
            instance_id: instance_id.to_owned(),
            status: super::ecs::Status::Active,
        };
        self.record(what);
    }
}
