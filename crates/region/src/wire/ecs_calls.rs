//! ECS over awsJson1.1. Limits and error codes are those of the ECS API model; messages are AWS's
//! where they are known.

mod attribute_calls;
mod capacity_provider_calls;
mod cluster_calls;
mod container_instance_calls;
mod placement_json;
mod run_task_calls;
mod service_calls;
mod tag_calls;
mod task_calls;
mod task_definition_calls;
mod task_json;
mod task_protection_calls;
#[cfg(test)]
mod task_testing;
mod update_service_calls;

use super::answer::Refusal;
use super::aws_json::{Input, read_input};
use crate::fault::Fault;
use crate::world::World;

pub(super) fn run(
    world: &mut World,
    operation: &str,
    body: &[u8],
    fault: Option<Fault>,
) -> Result<String, Refusal> {
    let value = read_input(operation, body)?;
    let input = Input { value: &value, fault };
    let output = match operation {
        "ListClusters" => cluster_calls::list_clusters(world, input),
        "DescribeClusters" => cluster_calls::describe_clusters(world, input),
        "DescribeCapacityProviders" => {
            capacity_provider_calls::describe_capacity_providers(world, input)
        }
        "ListContainerInstances" => {
            container_instance_calls::list_container_instances(world, input)
        }
        "DescribeContainerInstances" => {
            container_instance_calls::describe_container_instances(world, input)
        }
        "UpdateContainerInstancesState" => {
            container_instance_calls::update_container_instances_state(world, input)
        }
        "PutAttributes" => attribute_calls::put_attributes(world, input),
        "ListAttributes" => attribute_calls::list_attributes(world, input),
        "DeleteAttributes" => attribute_calls::delete_attributes(world, input),
        "ListTasks" => task_calls::list_tasks(world, input),
        "DescribeTasks" => task_calls::describe_tasks(world, input),
        "RunTask" => run_task_calls::run_task(world, input),
        "StopTask" => task_calls::stop_task(world, input),
        "GetTaskProtection" => task_protection_calls::get_task_protection(world, input),
        "UpdateTaskProtection" => task_protection_calls::update_task_protection(world, input),
        "ListServices" => service_calls::list_services(world, input),
        "DescribeServices" => service_calls::describe_services(world, input),
        "UpdateService" => update_service_calls::update_service(world, input),
        "TagResource" => tag_calls::tag_resource(world, input),
        "UntagResource" => tag_calls::untag_resource(world, input),
        "ListTagsForResource" => tag_calls::list_tags_for_resource(world, input),
        "ListTaskDefinitions" => task_definition_calls::list_task_definitions(world, input),
        "DescribeTaskDefinition" => task_definition_calls::describe_task_definition(world, input),
        _ => Err(Refusal::new("UnknownOperationException", "")),
    };
    output.map(|output| output.to_string())
}
