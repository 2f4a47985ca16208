//! Auto Scaling's operations. Limits are those of the Auto Scaling API model.

mod group_calls;
mod launch_calls;
mod lifecycle_calls;
mod tag_calls;

use super::answer::Refusal;
use super::query_protocol::Form;
use crate::world::World;

pub(super) fn run(world: &mut World, operation: &str, form: &Form) -> Result<String, Refusal> {
    let result = match operation {
        "DescribeAutoScalingGroups" => group_calls::describe_auto_scaling_groups(world, form),
        "DescribeAutoScalingInstances" => group_calls::describe_auto_scaling_instances(world, form),
        "DescribeInstanceRefreshes" => group_calls::describe_instance_refreshes(world, form),
        "LaunchInstances" => launch_calls::launch_instances(world, form),
        "SetInstanceProtection" => group_calls::set_instance_protection(world, form),
        "CreateOrUpdateTags" => return tag_calls::create_or_update_tags(world, form),
        "DeleteTags" => return tag_calls::delete_tags(world, form),
        "SetDesiredCapacity" => return group_calls::set_desired_capacity(world, form),
        "TerminateInstanceInAutoScalingGroup" => group_calls::terminate_instance(world, form),
        "DescribeLifecycleHooks" => lifecycle_calls::describe_lifecycle_hooks(world, form),
        "PutLifecycleHook" => lifecycle_calls::put_lifecycle_hook(world, form),
        "CompleteLifecycleAction" => lifecycle_calls::complete_lifecycle_action(world, form),
        "RecordLifecycleActionHeartbeat" => lifecycle_calls::record_heartbeat(world, form),
        _ => Err(Refusal::new("InvalidAction", format!("Could not find operation {operation}"))),
    };
    result.map(|result| format!("<{operation}Result>{result}</{operation}Result>"))
}
