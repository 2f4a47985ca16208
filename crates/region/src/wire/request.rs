//! A request: which operation it calls, by which protocol and from which invocation, and how it
//! takes effect.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::answer::{Answer, Refusal};
use super::broken_answer::broken;
use super::{autoscaling_calls, aws_json, ecs_calls, query_protocol, sns_calls};
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
}

impl Request {
    /// Reads a request. `None` if it is not one of AWS's.
    pub fn read(headers: &HeaderMap, body: Bytes) -> Option<Self> {
        let hop = text_header(headers, "x-amzn-trace-id").and_then(hop_in_trace);
        let target = text_header(headers, "x-amz-target");
        if let Some(target) = target {
            let operation = target.strip_prefix("AmazonEC2ContainerServiceV20141113.")?.to_owned();
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
            Protocol::Json => aws_json::answer(request_id, result),
            Protocol::Query => query_protocol::answer(request_id, &self.operation, result),
        };
        broken(answer, &self.operation, fault)
    }

    fn run(&self, world: &mut World, fault: Option<Fault>) -> Result<String, Refusal> {
        match self.protocol {
            Protocol::Json => ecs_calls::run(world, &self.operation, &self.body, fault),
            Protocol::Query => {
                let form = query_protocol::Form::read(&self.body);
                match self.operation.as_str() {
                    "Publish" => sns_calls::publish(world, &form, self.hop),
                    operation => autoscaling_calls::run(world, operation, &form),
                }
            }
        }
    }

    fn throttled(&self) -> Refusal {
        let code = match self.protocol {
            Protocol::Json => "ThrottlingException",
            Protocol::Query => "Throttling",
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
            (Protocol::Query, "Publish") => ("AuthorizationError", StatusCode::FORBIDDEN),
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
