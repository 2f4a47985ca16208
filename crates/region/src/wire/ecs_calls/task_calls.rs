//! ECS's operations on tasks.

use serde_json::{Value, json};

use super::task_json::describe;
use crate::wire::answer::Refusal;
use crate::wire::aws_json::{DESCRIBE_MAX, Input, arn_of, id_in, invalid, page};
use crate::world::World;
use crate::world::ecs::task::{StopCause, Task};

pub(super) fn list_tasks(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (cluster_name, cluster) = input.cluster(world)?;
    let container_instance = input
        .text("containerInstance")?
        .map(|id_or_arn| id_in("container-instance", cluster_name, id_or_arn))
        .transpose()?;
    // What ECS says to an unknown container instance is not documented.
    let instance = container_instance.map(|id| cluster.instances.get(id));
    if instance.is_some_and(|found| found.is_none_or(|found| !found.is_visible(world.now()))) {
        return Err(invalid("The container instance was not found."));
    }
    let service = input
        .text("serviceName")?
        .map(|name_or_arn| id_in("service", cluster_name, name_or_arn))
        .transpose()?;
    if service.is_some_and(|service| !cluster.services.contains_key(service)) {
        return Err(Refusal::new("ServiceNotFoundException", "Service not found."));
    }
    // PENDING is a valid status that no task is ever desired to have (ECS API, `ListTasks`).
    let desired_running = match input.text("desiredStatus")? {
        None | Some("RUNNING") => Some(true),
        Some("STOPPED") => Some(false),
        Some("PENDING") => None,
        Some(word) => return Err(invalid(format!("Desired status {word} is not valid."))),
    };
    let on_ec2 = input.includes_ec2()?;
    let arns = cluster
        .tasks
        .values()
        .filter(|_| on_ec2)
        .filter(|task| desired_running == Some(task.is_desired_running()))
        .filter(|task| task.is_visible(world.now()))
        .filter(|task| container_instance.is_none_or(|id| task.container_instance == id))
        .filter(|task| service.is_none_or(|name| task.service.as_deref() == Some(name)))
        .map(|task| arn_of("task", cluster_name, &task.id))
        .collect();
    page(input, "taskArns", arns)
}

pub(super) fn describe_tasks(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (cluster_name, cluster) = input.cluster(world)?;
    let (mut described, mut failures) = (Vec::new(), Vec::new());
    // None has tags.
    input.included(&["TAGS"])?;
    for task_id in input.texts("tasks", DESCRIBE_MAX)? {
        match visible(world, cluster_name, task_id)? {
            Some(task) => described.push(describe(cluster_name, cluster, task)),
            None => failures
                .push(json!({"arn": arn_of("task", cluster_name, task_id), "reason": "MISSING"})),
        }
    }
    Ok(json!({"tasks": described, "failures": failures}))
}

pub(super) fn stop_task(world: &mut World, input: Input<'_>) -> Result<Value, Refusal> {
    let cluster_name = input.cluster(world)?.0.to_owned();
    let task_id = input.text("task")?.ok_or_else(|| invalid("Task can not be blank."))?;
    // A task that has stopped is visible for a while, so stopping it again succeeds and changes
    // nothing.
    let id = visible(world, &cluster_name, task_id)?.ok_or_else(task_not_found)?.id.clone();
    let reason = input.text("reason")?.map(str::to_owned);
    world.stop_task_for(&cluster_name, &id, StopCause::User(reason));
    let task = visible(world, &cluster_name, &id)?.ok_or_else(task_not_found)?;
    Ok(json!({"task": describe(&cluster_name, &world.clusters[&cluster_name], task)}))
}

fn task_not_found() -> Refusal {
    invalid("The referenced task was not found.")
}

/// A task that the API still knows, by its id or ARN.
pub(super) fn visible<'a>(
    world: &'a World,
    cluster_name: &str,
    id_or_arn: &str,
) -> Result<Option<&'a Task>, Refusal> {
    let id = id_in("task", cluster_name, id_or_arn)?;
    let task = world.clusters[cluster_name].tasks.get(id);
    Ok(task.filter(|task| task.is_visible(world.now())))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;
    use crate::wire::ecs_calls::task_json::seconds;
    use crate::wire::ecs_calls::task_testing::{call, list, pass, world};
    use crate::world::autoscaling::Group;
    use crate::world::ecs::task::TaskStatus;
    use crate::world::ecs::{CapacityProvider, StrategyItem};

    #[test]
    fn tasks_are_listed_by_container_instance_service_and_desired_status() {
        let (mut world, first, standalone) = world();

        assert_eq!(list(&mut world, json!({})).len(), 5);
        assert_eq!(list(&mut world, json!({"containerInstance": first})).len(), 3);
        assert_eq!(list(&mut world, json!({"serviceName": "web"})).len(), 2);
        for filters_without_match in [
            json!({"desiredStatus": "PENDING"}),
            json!({"desiredStatus": "STOPPED"}),
            json!({"launchType": "FARGATE"}),
        ] {
            assert_eq!(list(&mut world, filters_without_match), [""; 0]);
        }
        world.stop_task("shop", &standalone);
        assert_eq!(list(&mut world, json!({"containerInstance": first})).len(), 2);
        let arn = format!("arn:aws:ecs:eu-west-1:111122223333:task/shop/{standalone}");
        assert_eq!(
            list(&mut world, json!({"containerInstance": first, "desiredStatus": "STOPPED"})),
            [arn]
        );
    }

    #[test]
    fn a_stopped_task_is_listed_and_described_for_an_hour() {
        let (mut world, _, standalone) = world();
        world.stop_task("shop", &standalone);
        pass(&mut world, 3600);
        assert_eq!(list(&mut world, json!({"desiredStatus": "STOPPED"})).len(), 1);
        pass(&mut world, 60);

        assert_eq!(list(&mut world, json!({"desiredStatus": "STOPPED"})).len(), 0);
        let described = call(&mut world, "DescribeTasks", json!({"tasks": [standalone]})).unwrap();
        assert_eq!(described["failures"][0]["reason"], "MISSING");
    }

    fn task_count(page: &Value) -> usize {
        page["taskArns"].as_array().unwrap().len()
    }

    #[test]
    fn tasks_are_listed_page_by_page() {
        let (mut world, ..) = world();
        let first = call(&mut world, "ListTasks", json!({"maxResults": 3})).unwrap();
        let second =
            call(&mut world, "ListTasks", json!({"nextToken": first["nextToken"]})).unwrap();

        assert_eq!(
            (task_count(&first), task_count(&second), second.get("nextToken")),
            (3, 2, None)
        );
    }

    #[test]
    fn what_is_listed_must_exist() {
        let (mut world, ..) = world();
        for (input, code) in [
            (json!({"serviceName": "x"}), "ServiceNotFoundException"),
            (json!({"containerInstance": "x"}), "InvalidParameterException"),
            (json!({"desiredStatus": "x"}), "InvalidParameterException"),
        ] {
            assert_eq!(call(&mut world, "ListTasks", input).unwrap_err().code, code);
        }
    }

    #[test]
    fn a_task_says_whom_it_belongs_to_and_where_it_stands() {
        let (mut world, first, standalone) = world();
        let web = list(&mut world, json!({"serviceName": "web"})).remove(0);
        let output =
            call(&mut world, "DescribeTasks", json!({"tasks": [standalone, web, "x"]})).unwrap();

        let (standalone_task, service_task) = (&output["tasks"][0], &output["tasks"][1]);
        assert_eq!(
            (&standalone_task["group"], standalone_task.get("startedBy")),
            (&json!("family:report"), None)
        );
        assert_eq!(service_task["group"], "service:web");
        assert!(service_task["startedBy"].as_str().unwrap().starts_with("ecs-svc/"));
        let instance =
            format!("arn:aws:ecs:eu-west-1:111122223333:container-instance/shop/{first}");
        assert_eq!(standalone_task["containerInstanceArn"], json!(instance));
        assert_eq!(
            (&standalone_task["cpu"], &standalone_task["memory"]),
            (&json!("256"), &json!("512"))
        );
        assert_eq!(
            (&standalone_task["lastStatus"], &standalone_task["desiredStatus"]),
            (&json!("RUNNING"), &json!("RUNNING"))
        );
        let missing =
            json!([{"arn": "arn:aws:ecs:eu-west-1:111122223333:task/shop/x", "reason": "MISSING"}]);
        assert_eq!(output["failures"], missing);
    }

    #[test]
    fn a_task_that_waits_for_capacity_has_a_provider_and_no_container_instance() {
        let (mut world, ..) = world();
        world.add_group("group", Group::with_instances("shop", ["i-1".to_owned()]));
        world.attach_capacity_provider("shop", "spot", CapacityProvider::scaling("group", 100));
        world.set_strategy("shop", "web", [StrategyItem::new("spot", 0, 1)]);
        world.set_desired_count("shop", "web", 8);
        pass(&mut world, 5);
        let arns = list(&mut world, json!({"serviceName": "web"}));
        let output = call(&mut world, "DescribeTasks", json!({"tasks": arns})).unwrap();

        let tasks = output["tasks"].as_array().unwrap();
        let waiting: Vec<_> =
            tasks.iter().filter(|task| task.get("containerInstanceArn").is_none()).collect();
        assert_eq!((tasks.len(), waiting.len()), (8, 1));
        assert_eq!(
            (&waiting[0]["lastStatus"], &waiting[0]["capacityProviderName"]),
            (&json!("PROVISIONING"), &json!("spot"))
        );
        let stopped = json!({"task": waiting[0]["taskArn"]});
        let output = call(&mut world, "StopTask", stopped).unwrap();
        assert_eq!(output["task"]["lastStatus"], "STOPPED");
    }

    #[test]
    fn a_task_says_who_wanted_it_to_stop_and_when_it_did() {
        let (mut world, _, standalone) = world();
        let web = list(&mut world, json!({"serviceName": "web"}));
        let started = world.now();
        call(&mut world, "StopTask", json!({"task": standalone, "reason": "a test"})).unwrap();
        world.set_desired_count("shop", "web", 1);
        pass(&mut world, 60);
        world.terminate_in_ec2("i-1", Duration::ZERO);
        world.terminate_in_ec2("i-2", Duration::ZERO);
        pass(&mut world, 300);
        let named = json!({"tasks": [standalone, web[0], web[1]]});
        let output = call(&mut world, "DescribeTasks", named).unwrap();

        let tasks = output["tasks"].as_array().unwrap();
        let said: BTreeSet<_> = tasks
            .iter()
            .map(|task| {
                (task["stopCode"].as_str().unwrap(), task["stoppedReason"].as_str().unwrap())
            })
            .map(|(code, reason)| (code, reason.split(['(', '-']).next().unwrap()))
            .collect();
        let expected = [
            ("ServiceSchedulerInitiated", "Scaling activity initiated by "),
            ("TerminationNotice", "Host EC2 "),
            ("UserInitiated", "a test"),
        ];
        assert_eq!(said, expected.into());
        for task in tasks {
            assert!(task["startedAt"].as_f64().unwrap() <= seconds(started));
            assert!(task["stoppedAt"].as_f64().unwrap() > seconds(started));
        }
        let stopped = &tasks[0];
        assert!(stopped["stoppingAt"].as_f64() < stopped["executionStoppedAt"].as_f64());
        assert!(stopped["executionStoppedAt"].as_f64() < stopped["stoppedAt"].as_f64());
    }

    #[test]
    fn a_task_that_is_told_to_stop_is_desired_stopped_long_before_it_has_stopped() {
        let (mut world, _, standalone) = world();
        let output = call(&mut world, "StopTask", json!({"task": standalone})).unwrap();
        assert_eq!(
            (&output["task"]["desiredStatus"], &output["task"]["lastStatus"]),
            (&json!("STOPPED"), &json!("RUNNING"))
        );

        pass(&mut world, 10);
        assert_eq!(world.clusters["shop"].tasks[&standalone].status, TaskStatus::Stopped);
        let refused = call(&mut world, "StopTask", json!({"task": "x"})).unwrap_err();
        assert_eq!(refused.message, "The referenced task was not found.");
    }
}
