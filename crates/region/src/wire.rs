//! The protocols: an HTTP request becomes a call on the world, what comes of it becomes an HTTP
//! answer.
//!
//! ECS and the Price List speak awsJson1.1, CloudWatch awsJson1.0, Lambda and ARC's zonal shift restJson1, Auto Scaling, EC2,
//! Elastic Load Balancing, SNS and STS the query protocol with XML answers. Every call takes its token
//! from the request rates first, and may be befallen by a planned fault.

mod answer;
mod autoscaling_calls;
mod aws_json;
mod broken_answer;
mod cloudwatch_calls;
mod ec2_calls;
mod ec2_member_calls;
mod ecs_calls;
mod lambda_calls;
mod load_balancing_calls;
mod members;
mod pricing_calls;
mod query_protocol;
mod request;
mod sns_calls;
mod sqs_calls;
mod sts_calls;
mod zonal_shift_calls;

pub use self::answer::Answer;
pub use self::request::Request;
