//! Groups with their instances, what stands in the way of shrinking one, and their size.

use aws_sdk_autoscaling::types::{AutoScalingGroup, InstanceRefreshStatus};
use ebb_core::auto_scaling::LifecycleState;
use ebb_core::ids::{GroupName, InstanceId};
use ebb_core::spot::fallback::GroupSize;
use ebb_planner::Group;

use crate::auto_scaling::auto_scaling_client::AutoScaling;
use crate::error::AwsError;

/// Source: Auto Scaling API, `DescribeAutoScalingGroups`.
const GROUPS_A_PAGE: i32 = 100;

/// A Region has 500 groups by default (Auto Scaling service quotas, adjustable). A list that goes on after this is an
/// error.
const GROUP_PAGES_MAX: usize = 100;

/// The hook that ECS puts on the groups of capacity providers with managed draining: ECS holds the instance then.
/// Source: ECS Developer Guide, managed-instance-draining.
const MANAGED_DRAINING_HOOK: &str = "ecs-managed-draining-termination-hook";

/// A group with its instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub name: GroupName,
    /// Its ARN.
    pub arn: String,
    /// Its sizes, and whether it may be shrunk. Whether managed scaling decides them is not known here.
    pub group: Group,
    /// Its instances.
    pub members: Vec<Member>,
}

/// An instance of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub instance_id: InstanceId,
    /// `LifecycleState`.
    pub lifecycle_state: LifecycleState,
    /// Whether its group protects it from scale-in.
    pub protected_from_scale_in: bool,
    /// What it counts for in its group's capacity; 0 if that cannot be read.
    pub weight: i64,
    /// Its Availability Zone.
    pub zone: String,
    /// Its instance type.
    pub instance_type: String,
}

impl AutoScaling {
    /// Reads every group of the Region, with its instances.
    ///
    /// # Errors
    /// If a call fails, or a group lacks what every group has.
    pub async fn groups(&self) -> Result<Vec<GroupDescription>, AwsError> {
        let operation = "describe the Auto Scaling groups";
        let request = self.client.describe_auto_scaling_groups().max_records(GROUPS_A_PAGE);
        let mut pages = request.into_paginator().stop_on_duplicate_token(false).send();
        let mut groups = Vec::new();
        for _ in 0..GROUP_PAGES_MAX {
            let Some(page) = pages.next().await else { return Ok(groups) };
            let page = page.map_err(|error| AwsError::new(operation, error))?;
            for described in page.auto_scaling_groups() {
                groups.push(group(described).ok_or_else(|| {
                    AwsError::unusable_answer(
                        operation,
                        "a group lacks its name, a size, or an instance its id",
                    )
                })?);
            }
        }
        Err(AwsError::unusable_answer(operation, format!("more than {GROUP_PAGES_MAX} pages")))
    }

    /// Whether an instance refresh is under way in a group, and how it stands.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn instance_refresh(&self, group: &GroupName) -> Result<Option<String>, AwsError> {
        // The newest come first, and a group has one at a time.
        let request =
            self.client.describe_instance_refreshes().auto_scaling_group_name(group.as_str());
        let answer = request.max_records(1).send().await;
        let answer = answer.map_err(|error| {
            AwsError::new(format!("describe the instance refreshes of group {group}"), error)
        })?;
        let over = |status: &InstanceRefreshStatus| {
            matches!(
                status,
                InstanceRefreshStatus::Successful
                    | InstanceRefreshStatus::Failed
                    | InstanceRefreshStatus::Cancelled
                    | InstanceRefreshStatus::RollbackSuccessful
                    | InstanceRefreshStatus::RollbackFailed
            )
        };
        let mut statuses = answer.instance_refreshes().iter().filter_map(|one| one.status());
        Ok(statuses.find(|status| !over(status)).map(|status| status.as_str().to_owned()))
    }

    /// Whether a termination hook of a group holds its instances until they are empty: one that notifies a topic, as the
    /// lifecycle drainer's does, or that of ECS's managed draining.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn holds_until_empty(&self, group: &GroupName) -> Result<bool, AwsError> {
        let request =
            self.client.describe_lifecycle_hooks().auto_scaling_group_name(group.as_str());
        let answer = request.send().await;
        let answer = answer.map_err(|error| {
            AwsError::new(format!("describe the lifecycle hooks of group {group}"), error)
        })?;
        Ok(answer.lifecycle_hooks().iter().any(|hook| {
            let terminating =
                hook.lifecycle_transition() == Some("autoscaling:EC2_INSTANCE_TERMINATING");
            let to_topic = hook
                .notification_target_arn()
                .is_some_and(|arn| arn.split(':').nth(2) == Some("sns"));
            terminating && (to_topic || hook.lifecycle_hook_name() == Some(MANAGED_DRAINING_HOOK))
        }))
    }

    /// Reads the size of a group.
    ///
    /// # Errors
    /// If the call fails, or there is no such group (AWS answers with an empty list).
    pub async fn group_size(&self, group: &GroupName) -> Result<GroupSize, AwsError> {
        let operation = || format!("describe Auto Scaling group {group}");
        let request =
            self.client.describe_auto_scaling_groups().auto_scaling_group_names(group.as_str());
        let answer = request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        let Some(described) = answer.auto_scaling_groups().first() else {
            return Err(AwsError::unusable_answer(operation(), "there is no such group"));
        };
        let (Some(desired_capacity), Some(max_size)) =
            (described.desired_capacity(), described.max_size())
        else {
            return Err(AwsError::unusable_answer(
                operation(),
                "it has no desired capacity or no maximum",
            ));
        };
        Ok(GroupSize { desired_capacity, max_size })
    }

    /// Sets the desired capacity of a group at once, whatever its cooldown. Setting it again changes nothing.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn set_desired_capacity(
        &self,
        group: &GroupName,
        desired_capacity: i32,
    ) -> Result<(), AwsError> {
        let request = self.client.set_desired_capacity().auto_scaling_group_name(group.as_str());
        let request = request.desired_capacity(desired_capacity).honor_cooldown(false);
        let operation = || {
            format!("set the desired capacity of Auto Scaling group {group} to {desired_capacity}")
        };
        request.send().await.map_err(|error| AwsError::new(operation(), error))?;
        Ok(())
    }
}

fn group(described: &AutoScalingGroup) -> Option<GroupDescription> {
    let members: Option<Vec<_>> = described.instances().iter().map(member).collect();
    Some(GroupDescription {
        name: GroupName::new(described.auto_scaling_group_name()?),
        arn: described.auto_scaling_group_arn().unwrap_or_default().to_owned(),
        group: Group {
            min_size: described.min_size()?.into(),
            desired_capacity: described.desired_capacity()?.into(),
            managed_scaling: false,
            unavailable: unavailable(described),
        },
        members: members?,
    })
}

fn unavailable(described: &AutoScalingGroup) -> Option<String> {
    let suspended =
        |name| described.suspended_processes().iter().any(|one| one.process_name() == Some(name));
    let unit =
        described.desired_capacity_type().filter(|unit| !unit.is_empty() && *unit != "units");
    if let Some(status) = described.status() {
        Some(status.to_owned())
    } else if suspended("Terminate") {
        Some("its process Terminate is suspended".to_owned())
    } else if let Some(operator) = described.operator().and_then(|one| one.principal()) {
        Some(format!("only {operator} may change it"))
    } else {
        unit.map(|unit| format!("its capacity counts {unit}"))
    }
}

/// `None` for one without an id that can be read.
fn member(described: &aws_sdk_autoscaling::types::Instance) -> Option<Member> {
    let weight = described.weighted_capacity().map_or(Some(1), |text| text.parse().ok());
    Some(Member {
        instance_id: InstanceId::parse(described.instance_id()?)?,
        lifecycle_state: described.lifecycle_state().map_or("", |state| state.as_str()).into(),
        protected_from_scale_in: described.protected_from_scale_in().unwrap_or(false),
        weight: weight.unwrap_or(0),
        zone: described.availability_zone().unwrap_or_default().to_owned(),
        instance_type: described.instance_type().unwrap_or_default().to_owned(),
    })
}
