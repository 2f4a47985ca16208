//! A request: which operation it calls, by which protocol and from which invocation, and how it
//! takes effect.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::answer::{Answer, Refusal};
use super::broken_answer::broken;
use super::{
    autoscaling_calls, aws_json, cloudwatch_calls, ec2_calls, ec2_member_calls, ecs_calls,
    lambda_calls, load_balancing_calls, pricing_calls, query_protocol, sns_calls, sqs_calls,
    sts_calls, zonal_shift_calls,
};
use crate::fault::Fault;
use crate::lambda::hop_in_trace;
use crate::world::delivery::Hop;
use crate::world::{Call, World};

/// A request, read as far as to know which operation it calls.
#[derive(Debug, Clone)]
pub struct Request {
    protocol: Protocol,
    operation: String,
    body: Bytes,
    hop: Option<Hop>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Json,
    Query,
    /// The body is what the path names, if the request has none.
    Rest,
}

impl Request {
    /// Reads a request for a path with its query. `None` if it is not one of AWS's.
    pub fn read(path: &str, headers: &HeaderMap, body: Bytes) -> Option<Self> {
        let hop = text_header(headers, "x-amzn-trace-id").and_then(hop_in_trace);
        if let Some(function) = lambda_calls::function_in(path) {
            let operation = "GetFunctionConfiguration".to_owned();
            return Some(Self { protocol: Protocol::Rest, operation, body: function.into(), hop });
        }
        if let Some(operation) = zonal_shift_calls::operation(path, !body.is_empty()) {
            let query = path.split_once('?').map(|(_, query)| query.to_owned());
            let body = if body.is_empty() { query.unwrap_or_default().into() } else { body };
            let operation = operation.to_owned();
            return Some(Self { protocol: Protocol::Rest, operation, body, hop });
        }
        let target = text_header(headers, "x-amz-target");
        if let Some(target) = target {
            let (service, operation) = target.split_once('.')?;
            let known = [
                "AmazonEC2ContainerServiceV20141113",
                cloudwatch_calls::SERVICE,
                pricing_calls::SERVICE,
                sqs_calls::SERVICE,
            ];
            let operation = known.contains(&service).then(|| operation.to_owned())?;
            return Some(Self { protocol: Protocol::Json, operation, body, hop });
        }
        let operation = query_protocol::operation(&body)?;
        Some(Self { protocol: Protocol::Query, operation, body, hop })
    }

    /// Says which invocation calls, if one does and its trace does not say so.
    #[must_use]
    pub(crate) fn called_from(self, hop: Option<Hop>) -> Self {
        // The trace wins, as it is what AWS would see.
        Self { hop: self.hop.or(hop), ..self }
    }

    /// The operation, such as `ListContainerInstances`.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// Lets the call take effect on the world, under its request rates. `fault` is what befalls it,
    /// if anything does; a fault of the connection, and an answer that does not end, are the
    /// caller's to play.
    pub fn call(&self, world: &mut World, fault: Option<Fault>) -> Answer {
        let result = match fault {
            Some(Fault::Throttle) => Err(self.throttled()),
            Some(Fault::ServerError) => Err(self.server_error()),
            Some(Fault::Denied) => Err(self.denied()),
            Some(Fault::ResourceContention) => Err(resource_contention()),
            Some(Fault::ScalingActivityInProgress) => Err(scaling_activity_in_progress()),
            Some(Fault::EmptyAnswer | Fault::EmptyObject | Fault::HtmlPage) => {
                Err(self.not_reached())
            }
            Some(
                Fault::Timeout
                | Fault::ConnectionReset
                | Fault::AnswerLost
                | Fault::FilterIgnored
                | Fault::EmptyPage
                | Fault::NullList
                | Fault::TruncatedAnswer
                | Fault::EndlessAnswer,
            )
            | None => {
                // A call that a fault refuses takes no token: the fault stands for trouble of its
                // own.
                let now = world.now();
                if world.rates.allow(&self.operation, now) {
                    self.run(world, fault)
                } else {
                    Err(self.throttled())
                }
            }
        };
        // Refused calls are recorded too, so that it can be counted how often AWS was asked.
        let error = result.as_ref().err().map(|refusal| refusal.code.clone());
        world.calls.push(Call { time: world.now(), operation: self.operation.clone(), error });
        let request_id = world.uuid();
        let answer = match self.protocol {
            Protocol::Json if self.operation == cloudwatch_calls::GET_METRIC_DATA => {
                cloudwatch_calls::answer(request_id, result)
            }
            Protocol::Json => aws_json::answer(request_id, result),
            Protocol::Query => query_protocol::answer(request_id, &self.operation, result),
            Protocol::Rest => lambda_calls::answer(request_id, result),
        };
        broken(answer, &self.operation, fault)
    }

    fn run(&self, world: &mut World, fault: Option<Fault>) -> Result<String, Refusal> {
        if !(world.lag.is_on() && self.is_read()) {
            return self.take_effect(world, fault);
        }
        let (question, is_next_page) = self.question();
        world.read_lagged(&question, is_next_page, |world| self.take_effect(world, fault))
    }

    fn is_read(&self) -> bool {
        ["List", "Describe", "Get"].iter().any(|verb| self.operation.starts_with(verb))
    }

    /// What the call asks, and whether for a further page: every page is of the same question.
    fn question(&self) -> (String, bool) {
        let (input, is_next_page) = match self.protocol {
            Protocol::Json => aws_json::question(&self.body),
            Protocol::Query => query_protocol::question(&self.body),
            Protocol::Rest => (self.body().to_owned(), false),
        };
        (format!("{} {input}", self.operation), is_next_page)
    }

    fn take_effect(&self, world: &mut World, fault: Option<Fault>) -> Result<String, Refusal> {
        match self.protocol {
            Protocol::Json => match self.operation.as_str() {
                cloudwatch_calls::GET_METRIC_DATA => {
                    cloudwatch_calls::get_metric_data(world, &self.body)
                }
                "GetProducts" => pricing_calls::get_products(&self.body),
                "SendMessage" => sqs_calls::send_message(world, &self.body),
                operation => ecs_calls::run(world, operation, &self.body, fault),
            },
            Protocol::Rest => match self.operation.as_str() {
                "ListManagedResources" => {
                    zonal_shift_calls::list_managed_resources(world, self.body(), fault)
                }
                "StartZonalShift" => zonal_shift_calls::start_zonal_shift(world, self.body()),
                _ => lambda_calls::get_function_configuration(world, self.body()),
            },
            Protocol::Query => {
                let form = query_protocol::Form::read(&self.body);
                form.check(&self.operation)?;
                match self.operation.as_str() {
                    "DescribeInstanceTypes" => ec2_calls::describe_instance_types(&form),
                    "DescribeInstanceStatus" => ec2_calls::describe_instance_status(world, &form),
                    "DescribeLaunchTemplates" => ec2_calls::describe_launch_templates(world, &form),
                    "DescribeInstances" => ec2_member_calls::members(world, &form)
                        .unwrap_or_else(|| ec2_calls::describe_instances(world, &form)),
                    "DescribeInstanceAttribute" => {
                        ec2_member_calls::describe_instance_attribute(world, &form)
                    }
                    "DescribeSpotPriceHistory" => ec2_calls::describe_spot_prices(world, &form),
                    "DescribeSubnets" => ec2_calls::describe_subnets(world, &form),
                    "DescribeTargetGroups" => {
                        load_balancing_calls::describe_target_groups(world, &form)
                    }
                    "Publish" => sns_calls::publish(world, &form, self.hop),
                    "GetCallerIdentity" => Ok(sts_calls::get_caller_identity()),
                    "CreateTopic" => sns_calls::create_topic(world, &form),
                    operation => autoscaling_calls::run(world, operation, &form),
                }
            }
        }
    }

    fn is_of_lambda(&self) -> bool {
        self.operation == "GetFunctionConfiguration"
    }

    /// The body: what is asked for, where the protocol has that in the path.
    pub(crate) fn body(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    fn throttled(&self) -> Refusal {
        let code = match self.protocol {
            Protocol::Json => "ThrottlingException",
            Protocol::Query => "Throttling",
            Protocol::Rest if self.is_of_lambda() => "TooManyRequestsException",
            Protocol::Rest => "ThrottlingException",
        };
        Refusal::new(code, "Rate exceeded")
    }

    /// Something in between answers, with an HTTP 200.
    fn not_reached(&self) -> Refusal {
        Refusal::new("NotReached", format!("{} does not reach AWS", self.operation))
    }

    fn server_error(&self) -> Refusal {
        let code = match self.protocol {
            Protocol::Json => "ServerException",
            Protocol::Query => "InternalFailure",
            Protocol::Rest if self.is_of_lambda() => "ServiceException",
            Protocol::Rest => "InternalServerException",
        };
        Refusal {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..Refusal::new(code, "Service Unavailable. Please try again later.")
        }
    }

    /// The services say no in their own ways. Sources: the SDK's models of ECS
    /// (`AccessDeniedException`) and SNS (`AuthorizationErrorException`); Auto Scaling as quoted in
    /// nomad-autoscaler#952.
    fn denied(&self) -> Refusal {
        let (code, status) = match (self.protocol, self.operation.as_str()) {
            (Protocol::Json, _) => ("AccessDeniedException", StatusCode::BAD_REQUEST),
            (Protocol::Rest, _) => ("AccessDeniedException", StatusCode::FORBIDDEN),
            (Protocol::Query, operation) if query_protocol::is_of_ec2(operation) => {
                ("UnauthorizedOperation", StatusCode::FORBIDDEN)
            }
            (Protocol::Query, "Publish" | "CreateTopic") => {
                ("AuthorizationError", StatusCode::FORBIDDEN)
            }
            (Protocol::Query, _) => ("AccessDenied", StatusCode::FORBIDDEN),
        };
        Refusal {
            status,
            ..Refusal::new(code, format!("User is not authorized to perform: {}", self.operation))
        }
    }
}

fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// An HTTP 500, although the model calls it the sender's fault. Source: Auto Scaling API model,
/// `ResourceContentionFault`.
fn resource_contention() -> Refusal {
    let message = "You already have a pending update to an Amazon EC2 Auto Scaling resource (for \
                   example, an Auto Scaling group, instance, or load balancer).";
    Refusal {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        ..Refusal::new("ResourceContention", message)
    }
}

fn scaling_activity_in_progress() -> Refusal {
    let message =
        "The operation can't be performed because there are scaling activities in progress.";
    Refusal::new("ScalingActivityInProgress", message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;
    use serde_json::{Value, json};

    use super::*;
    use crate::world::autoscaling::{Group, LifecycleState};
    use crate::world::ecs::{NewInstance, Status, TaskSpec};
    use crate::world::lag::Lag;

    /// Four container instances of a group, in a Region whose reads lag behind.
    fn world(seed: u64) -> World {
        let mut world = World::new("2025-03-04T05:00:00Z".parse().unwrap(), 1);
        world.lag = Lag::up_to(Duration::from_secs(5), seed);
        let ids: Vec<_> = (1..=4).map(|number| format!("i-{number}")).collect();
        for id in &ids {
            world.add_instance("shop", NewInstance::new(id));
        }
        world.add_group("group", Group::with_instances("shop", ids));
        pass(&mut world, 60_000);
        world
    }

    fn pass(world: &mut World, milliseconds: u64) {
        world.advance(world.now() + Duration::from_millis(milliseconds));
    }

    fn ecs(world: &mut World, operation: &str, mut input: Value) -> Value {
        input["cluster"] = json!("shop");
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-target", HeaderValue::from_str(&target).unwrap());
        let request = Request::read("/", &headers, input.to_string().into()).unwrap();
        serde_json::from_str(&request.call(world, None).body).unwrap()
    }

    fn auto_scaling(world: &mut World, form: &'static str) -> String {
        let request = Request::read("/", &HeaderMap::new(), Bytes::from_static(form.as_bytes()));
        request.unwrap().call(world, None).body
    }

    #[test]
    fn a_change_answers_truly_and_what_is_described_after_it_may_be_as_before() {
        let mut world = world(1);
        let id = world.container_instance("i-1").unwrap().1.id.clone();
        let drain = json!({"containerInstances": [id], "status": "DRAINING"});
        let drained = ecs(&mut world, "UpdateContainerInstancesState", drain);
        pass(&mut world, 20);
        let described =
            ecs(&mut world, "DescribeContainerInstances", json!({"containerInstances": [id]}));

        assert_eq!(drained["containerInstances"][0]["status"], "DRAINING");
        assert_eq!(described["containerInstances"][0]["status"], "ACTIVE");
        assert_eq!(world.status_of("i-1"), Some(Status::Draining));
    }

    /// It has left one list and has not come to the other: two questions, two answers.
    #[test]
    fn a_task_that_is_told_to_stop_may_be_on_neither_list_for_a_moment() {
        let on_neither = (0..100).filter(|&seed| {
            let mut world = world(seed);
            let id = world.container_instance("i-1").unwrap().1.id.clone();
            let task = world.run_task("shop", &id, "report", TaskSpec::default());
            pass(&mut world, 60_000);
            world.stop_task("shop", &task);
            pass(&mut world, 1_000);
            ["RUNNING", "STOPPED"].iter().all(|desired_status| {
                let input = json!({"containerInstance": id, "desiredStatus": desired_status});
                ecs(&mut world, "ListTasks", input)["taskArns"] == json!([])
            })
        });
        assert!((5..=30).contains(&on_neither.count()));
    }

    #[test]
    fn an_instance_that_waits_for_its_hook_may_still_be_described_as_in_service() {
        let mut world = world(1);
        world.set_lifecycle_state("i-1", LifecycleState::TerminatingWait);
        pass(&mut world, 20);
        let form = "Action=DescribeAutoScalingInstances&InstanceIds.member.1=i-1";

        assert!(auto_scaling(&mut world, form).contains("InService"));
        pass(&mut world, 5_000);
        assert!(auto_scaling(&mut world, form).contains("Terminating:Wait"));
    }

    /// An instance that leaves makes the later ones move up by one.
    #[test]
    fn the_pages_of_a_list_are_from_one_moment_so_that_none_that_stays_is_missed() {
        for seed in 0..50 {
            let mut world = world(seed);
            let ids: Vec<_> = world.clusters["shop"].instances.keys().cloned().collect();
            world.set_status("shop", &ids[0], Status::Inactive);
            let (mut listed, mut token) = (String::new(), None);
            loop {
                pass(&mut world, 1_500);
                let input = match token {
                    Some(token) => json!({"maxResults": 1, "nextToken": token}),
                    None => json!({"maxResults": 1}),
                };
                let page = ecs(&mut world, "ListContainerInstances", input);
                listed.push_str(&page["containerInstanceArns"].to_string());
                token = page.get("nextToken").cloned();
                if token.is_none() {
                    break;
                }
            }
            assert!(ids[1..].iter().all(|id| listed.contains(id)), "seed {seed}: {listed}");
        }
    }
}
