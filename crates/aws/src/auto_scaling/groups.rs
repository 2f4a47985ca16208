//! Groups with their instances, their size, and what stands in the way of shrinking them.

use std::collections::BTreeMap;

use aws_sdk_autoscaling::types::{
    AutoScalingGroup, Instance as SdkInstance, InstanceLifecyclePolicy, InstanceRefresh,
    InstanceRefreshStatus, InstancesDistribution, LaunchTemplate as SdkLaunchTemplate,
    LaunchTemplateOverrides, LaunchTemplateSpecification, LifecycleHook as SdkLifecycleHook,
    MixedInstancesPolicy, RetentionAction, RetentionTriggers, SuspendedProcess,
};
use ebb_core::auto_scaling::LifecycleState;
use ebb_core::fallback_mark::{FALLBACK_TAG, FallbackMark};
use ebb_core::ids::{GroupName, HookName, InstanceId};
use ebb_core::reaper::instance_types::TypeOverride;
use ebb_core::reaper::replace::outdated::LaunchTemplate;
use ebb_core::reaper::tags::Tags;
use ebb_core::reaper::termination::LifecycleHook;
use ebb_core::spot::fallback::group::{FallbackGroup, LaunchSource};
use ebb_planner::Group;

use crate::auto_scaling::auto_scaling_client::{AutoScaling, sent_once};
use crate::error::AwsError;
use crate::pace::Pacer;
use crate::reads::list;

/// Source: Auto Scaling API, `DescribeAutoScalingGroups`.
const GROUPS_PER_PAGE: i32 = 100;

/// A Region has 500 groups by default (Auto Scaling service quotas, adjustable). A list that goes
/// on after this is an error.
const GROUP_PAGES_MAX: usize = 100;

/// What an answer lacks that every group has.
const INCOMPLETE_GROUP: &str = "a group lacks its name, a size, or an instance its id";

/// A group with its instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub name: GroupName,
    /// Its ARN.
    pub arn: String,
    /// Its sizes, and whether it may be shrunk. Whether managed scaling decides them is not known
    /// here.
    pub group: Group,
    /// `MaxSize`.
    pub max_size: i64,
    /// What it launches its instances from, if that is a launch template. The version is empty
    /// where none is named.
    pub launch_template: Option<LaunchTemplate>,
    /// The same by instance type, where a mixed instances policy names another one.
    pub override_templates: BTreeMap<String, LaunchTemplate>,
    /// Whether it keeps an instance whose termination hook is abandoned: `TerminateHookAbandon`
    /// `retain` of its instance lifecycle policy.
    pub retains_abandoned: bool,
    /// The Availability Zones that it is enabled in.
    pub zones: Vec<String>,
    /// Its tags.
    pub tags: Tags,
    /// The overrides of its mixed instances policy.
    pub overrides: Vec<TypeOverride>,
    /// What its tag says that it was before it was raised as a fallback group.
    pub fallback_mark: Option<FallbackMark>,
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
    /// Whether its group says that it is unhealthy, and is about to replace it: `HealthStatus`.
    pub unhealthy: bool,
    /// Whether its group protects it from scale-in.
    pub protected_from_scale_in: bool,
    /// What it counts for in its group's capacity; 0 if that cannot be read.
    pub weight: i64,
    /// Its Availability Zone.
    pub zone: String,
    /// Its instance type.
    pub instance_type: String,
    /// What it was launched from, if that was a launch template.
    pub launch_template: Option<LaunchTemplate>,
}

impl GroupDescription {
    /// What it launches an instance of this type from.
    pub fn template_for(&self, instance_type: &str) -> Option<&LaunchTemplate> {
        self.override_templates.get(instance_type).or(self.launch_template.as_ref())
    }
}

impl AutoScaling {
    /// Reads every group of the Region, with its instances.
    ///
    /// # Errors
    /// If a call fails, or a group lacks what every group has.
    pub async fn groups(&self) -> Result<Vec<GroupDescription>, AwsError> {
        let operation = "describe the Auto Scaling groups";
        let request = self.client.describe_auto_scaling_groups().max_records(GROUPS_PER_PAGE);
        // A few calls per invocation need no pace.
        let pacer = Pacer::unlimited();
        let pages = list(operation, GROUP_PAGES_MAX, &pacer, |token| {
            let page = request.clone().set_next_token(token).send();
            async {
                page.await
                    .map(|page| (page.auto_scaling_groups.unwrap_or_default(), page.next_token))
            }
        });
        let groups: Option<Vec<_>> = pages.await?.iter().map(group).collect();
        groups.ok_or_else(|| AwsError::unusable_answer(operation, INCOMPLETE_GROUP))
    }

    /// Reads one group, with its instances but for those of its warm pool.
    ///
    /// # Errors
    /// If the call fails, there is no such group, or it lacks what every group has.
    pub async fn group(&self, name: &GroupName) -> Result<GroupDescription, AwsError> {
        let operation = format!("describe Auto Scaling group {name}");
        let request = self.client.describe_auto_scaling_groups();
        let request = request.auto_scaling_group_names(name.as_str());
        let ok = request.send().await.map_err(|error| AwsError::new(&operation, error))?;
        match ok.auto_scaling_groups().first().map(group) {
            Some(Some(group)) => Ok(group),
            Some(None) => Err(AwsError::unusable_answer(operation, INCOMPLETE_GROUP)),
            None => Err(AwsError::unusable_answer(operation, "there is no such group")),
        }
    }

    /// Whether an instance refresh is under way in a group, and how it stands.
    ///
    /// # Errors
    /// If the call fails.
    pub async fn instance_refresh(&self, group: &GroupName) -> Result<Option<String>, AwsError> {
        // The newest comes first, and a group has at most one that is under way.
        let request = self.client.describe_instance_refreshes().max_records(1);
        let request = request.auto_scaling_group_name(group.as_str());
        let ok = request.send().await.map_err(|error| {
            AwsError::new(format!("describe the instance refreshes of group {group}"), error)
        })?;
        let mut statuses = ok.instance_refreshes().iter().filter_map(InstanceRefresh::status);
        Ok(statuses.find(|status| !is_over(status)).map(|status| status.as_str().to_owned()))
    }

    /// The lifecycle hooks of a group, whatever they run on.
    ///
    /// # Errors
    /// If the call fails, or a hook lacks its name or its transition.
    pub async fn lifecycle_hooks(&self, group: &GroupName) -> Result<Vec<LifecycleHook>, AwsError> {
        let operation = format!("describe the lifecycle hooks of group {group}");
        let request = self.client.describe_lifecycle_hooks();
        let request = request.auto_scaling_group_name(group.as_str());
        let ok = request.send().await.map_err(|error| AwsError::new(&operation, error))?;
        let hooks: Option<Vec<_>> = ok.lifecycle_hooks().iter().map(lifecycle_hook).collect();
        let problem = "a hook lacks its name or its transition";
        hooks.ok_or_else(|| AwsError::unusable_answer(operation, problem))
    }

    /// Reads the fallback group.
    ///
    /// # Errors
    /// If the call fails, or there is no such group (AWS answers with an empty list).
    pub async fn fallback_group(&self, group: &GroupName) -> Result<FallbackGroup, AwsError> {
        let operation = format!("describe Auto Scaling group {group}");
        let request = self.client.describe_auto_scaling_groups();
        let request = request.auto_scaling_group_names(group.as_str());
        let ok = request.send().await.map_err(|error| AwsError::new(&operation, error))?;
        let Some(described) = ok.auto_scaling_groups().first() else {
            return Err(AwsError::unusable_answer(operation, "there is no such group"));
        };
        fallback_group(described).ok_or_else(|| {
            AwsError::unusable_answer(operation, "it has no desired capacity or no maximum")
        })
    }

    /// Sets the desired capacity of a group at once, whatever its cooldown. The call is sent once: a
    /// second one might undo what somebody else has set since the first.
    ///
    /// # Errors
    /// If the call fails. It may have taken effect all the same.
    pub async fn set_desired_capacity(
        &self,
        group: &GroupName,
        desired_capacity: i32,
    ) -> Result<(), AwsError> {
        let request = self.client.set_desired_capacity().auto_scaling_group_name(group.as_str());
        let request = request.desired_capacity(desired_capacity).honor_cooldown(false);
        let request = request.customize().config_override(sent_once());
        request.send().await.map_err(|error| {
            let change = format!("desired capacity of Auto Scaling group {group}");
            AwsError::new(format!("set the {change} to {desired_capacity}"), error)
        })?;
        Ok(())
    }
}

fn fallback_group(described: &AutoScalingGroup) -> Option<FallbackGroup> {
    let weights = described.instances().iter().filter_map(|instance| {
        let weight = instance.weighted_capacity()?;
        weight.parse().ok()
    });
    let overrides = overrides(described);
    let unit = described.desired_capacity_type().unwrap_or_default();
    Some(FallbackGroup {
        desired_capacity: described.desired_capacity()?,
        max_size: described.max_size()?,
        instance_weights: weights.collect(),
        override_weights: overrides.iter().filter_map(|item| weight_of(item, unit)).collect(),
        source: launch_source(described),
        zones: described.availability_zones().to_vec(),
        mark: fallback_mark(described),
    })
}

fn overrides(described: &AutoScalingGroup) -> &[LaunchTemplateOverrides] {
    let policy = described.mixed_instances_policy();
    let template = policy.and_then(MixedInstancesPolicy::launch_template);
    template.map(SdkLaunchTemplate::overrides).unwrap_or_default()
}

fn type_override(described: &LaunchTemplateOverrides) -> TypeOverride {
    TypeOverride {
        instance_type: described.instance_type().map(str::to_owned),
        has_own_template: described.launch_template_specification().is_some(),
        has_weight: described.weighted_capacity().is_some_and(|weight| weight != "1"),
    }
}

fn fallback_mark(described: &AutoScalingGroup) -> Option<FallbackMark> {
    let tag = described.tags().iter().find(|tag| tag.key() == Some(FALLBACK_TAG))?;
    FallbackMark::parse(tag.value()?)
}

/// Sources: Auto Scaling API, `AutoScalingGroup`; and `InstancesDistribution` for what holds where
/// a policy does not say.
fn launch_source(described: &AutoScalingGroup) -> LaunchSource {
    if let Some(policy) = described.mixed_instances_policy() {
        let distribution = policy.instances_distribution();
        let base = distribution.and_then(InstancesDistribution::on_demand_base_capacity);
        let percentage =
            distribution.and_then(InstancesDistribution::on_demand_percentage_above_base_capacity);
        LaunchSource::Mixed {
            on_demand_base: base.unwrap_or(0),
            on_demand_percentage: percentage.unwrap_or(100),
        }
    } else if described.launch_template().is_some() {
        LaunchSource::Template
    } else {
        LaunchSource::Configuration
    }
}

/// What an instance of an override counts at least. Source: Auto Scaling API,
/// `LaunchTemplateOverrides` and `DesiredCapacityType`.
fn weight_of(item: &LaunchTemplateOverrides, unit: &str) -> Option<i32> {
    let attributes = item.instance_requirements();
    match (item.weighted_capacity(), unit) {
        (Some(weight), _) => weight.parse().ok(),
        (None, "vcpu") => attributes?.v_cpu_count()?.min(),
        (None, "memory-mib") => attributes?.memory_mib()?.min(),
        (None, _) => None,
    }
}

fn is_over(status: &InstanceRefreshStatus) -> bool {
    matches!(
        status,
        InstanceRefreshStatus::Successful
            | InstanceRefreshStatus::Failed
            | InstanceRefreshStatus::Cancelled
            | InstanceRefreshStatus::RollbackSuccessful
            | InstanceRefreshStatus::RollbackFailed
    )
}

fn lifecycle_hook(described: &SdkLifecycleHook) -> Option<LifecycleHook> {
    Some(LifecycleHook {
        name: HookName::new(described.lifecycle_hook_name()?),
        transition: described.lifecycle_transition()?.to_owned(),
        target: described.notification_target_arn().map(str::to_owned),
    })
}

fn group(described: &AutoScalingGroup) -> Option<GroupDescription> {
    let members: Option<Vec<_>> = described.instances().iter().map(member).collect();
    Some(GroupDescription {
        name: GroupName::new(described.auto_scaling_group_name()?),
        arn: described.auto_scaling_group_arn().unwrap_or_default().to_owned(),
        group: Group {
            min_size: described.min_size()?.into(),
            desired_capacity: described.desired_capacity()?.into(),
            unavailable: unavailable(described),
            ..Group::default()
        },
        max_size: described.max_size()?.into(),
        launch_template: launch_template(described),
        override_templates: override_templates(described),
        retains_abandoned: retains_abandoned(described),
        zones: described.availability_zones().to_vec(),
        tags: tags(described),
        overrides: overrides(described).iter().map(type_override).collect(),
        fallback_mark: fallback_mark(described),
        members: members?,
    })
}

/// Tags by their keys; one without a value is an empty text.
fn tags(described: &AutoScalingGroup) -> Tags {
    let with_key = described.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value())));
    with_key.map(|(key, value)| (key.to_owned(), value.unwrap_or_default().to_owned())).collect()
}

/// Sources: Auto Scaling API, `AutoScalingGroup` and `MixedInstancesPolicy`.
fn launch_template(described: &AutoScalingGroup) -> Option<LaunchTemplate> {
    let mixed = described.mixed_instances_policy().and_then(MixedInstancesPolicy::launch_template);
    let mixed = mixed.and_then(SdkLaunchTemplate::launch_template_specification);
    template(mixed.or_else(|| described.launch_template())?)
}

fn override_templates(described: &AutoScalingGroup) -> BTreeMap<String, LaunchTemplate> {
    let named = overrides(described).iter().filter_map(|item| {
        let template = template(item.launch_template_specification()?)?;
        Some((item.instance_type()?.to_owned(), template))
    });
    named.collect()
}

fn template(specification: &LaunchTemplateSpecification) -> Option<LaunchTemplate> {
    Some(LaunchTemplate {
        id: specification.launch_template_id()?.to_owned(),
        version: specification.version().unwrap_or_default().to_owned(),
    })
}

fn retains_abandoned(described: &AutoScalingGroup) -> bool {
    let policy = described.instance_lifecycle_policy();
    let triggers = policy.and_then(InstanceLifecyclePolicy::retention_triggers);
    let on_abandon = triggers.and_then(RetentionTriggers::terminate_hook_abandon);
    on_abandon == Some(&RetentionAction::Retain)
}

/// Why the group may not be shrunk, if it may not.
fn unavailable(described: &AutoScalingGroup) -> Option<String> {
    let unit = described.desired_capacity_type().unwrap_or_default();
    if let Some(status) = described.status() {
        // Auto Scaling sends a status only for a group that is being deleted.
        Some(status.to_owned())
    } else if described.suspended_processes().iter().any(is_terminate) {
        Some("its process Terminate is suspended".to_owned())
    } else if let Some(operator) = described.operator().and_then(|operator| operator.principal()) {
        Some(format!("only {operator} may change it"))
    // With vCPUs or MiB as the unit, one instance counts for more than one, and a removal would
    // shrink the capacity by another amount than planned.
    } else if !matches!(unit, "" | "units") {
        Some(format!("its capacity counts {unit}"))
    } else {
        None
    }
}

fn is_terminate(process: &SuspendedProcess) -> bool {
    process.process_name() == Some("Terminate")
}

/// `None` for an instance without an id that can be read.
fn member(described: &SdkInstance) -> Option<Member> {
    let weight = described.weighted_capacity().map_or(Some(1), |text| text.parse().ok());
    Some(Member {
        instance_id: InstanceId::parse(described.instance_id()?)?,
        lifecycle_state: described.lifecycle_state().map_or("", |state| state.as_str()).into(),
        unhealthy: described
            .health_status()
            .is_some_and(|status| status.eq_ignore_ascii_case("Unhealthy")),
        protected_from_scale_in: described.protected_from_scale_in().unwrap_or(false),
        weight: weight.unwrap_or(0),
        zone: described.availability_zone().unwrap_or_default().to_owned(),
        instance_type: described.instance_type().unwrap_or_default().to_owned(),
        launch_template: described.launch_template().and_then(template),
    })
}
