//! One set of SDK clients, with the time-outs and attempts of a function that has two minutes at
//! most.
//!
//! The SDK sets no read or attempt time-out by itself: a connection that never answers would hang
//! for as long as the function may run.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_ecs::config::retry::RetryPartition;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::answers::{Allows, CheckedHttpClient};
use crate::auto_scaling::AutoScaling;
use crate::cloudwatch::CloudWatch;
use crate::ec2::Ec2;
use crate::ecs::Ecs;
use crate::environment;
use crate::functions::Functions;
use crate::invocation::{Clock, Problem};
use crate::last_failure::LastFailure;
use crate::load_balancing::LoadBalancing;
use crate::pricing::Pricing;
use crate::sns::Topics;
use crate::zonal_shift::ZonalShifts;

/// For one attempt, connection included. An ECS call takes well under a second; one that takes
/// longer than this is lost, and a new attempt is likely to succeed sooner.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
/// For one call with all its attempts and pauses: an interruption notice leaves two minutes, so
/// several calls in a row may fail this way.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(12);
/// Half of an attempt: what cannot be connected to by then leaves no time for an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The SDK tries again after throttles, 5xx, time-outs and broken connections, with jitter, after
/// 0.25 s at first and twice as long each time after that.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// A client for each service that Ebb calls. Cheap to clone: they share connections and
/// credentials.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Amazon ECS.
    pub ecs: Ecs,
    /// EC2 Auto Scaling.
    pub auto_scaling: AutoScaling,
    /// Amazon CloudWatch.
    pub cloudwatch: CloudWatch,
    /// Amazon EC2.
    pub ec2: Ec2,
    /// AWS Lambda.
    pub functions: Functions,
    /// Elastic Load Balancing.
    pub load_balancing: LoadBalancing,
    /// The AWS Price List.
    pub pricing: Pricing,
    /// Amazon SNS.
    pub topics: Topics,
    /// ARC's zonal shift.
    pub zonal_shifts: ZonalShifts,
    region: String,
    last_failure: LastFailure,
}

impl Clients {
    /// Builds the clients from one configuration. What its HTTP client receives is checked to be
    /// the answer of the operation that was called.
    pub fn new(config: &SdkConfig) -> Self {
        Self::allowing(Allows::Everything, config)
    }

    /// The same for whoever may only look: a call of any operation but the
    /// [reads](crate::READ_OPERATIONS) fails, and is not sent.
    pub fn read_only(config: &SdkConfig) -> Self {
        Self::allowing(Allows::Reads, config)
    }

    fn allowing(allows: Allows, config: &SdkConfig) -> Self {
        let config = &checked(config, allows);
        let last_failure = LastFailure::default();
        let ecs = aws_sdk_ecs::config::Builder::from(config)
            .retry_partition(retry_partition())
            .interceptor(last_failure.clone());
        let auto_scaling = aws_sdk_autoscaling::config::Builder::from(config)
            .retry_partition(retry_partition())
            .interceptor(last_failure.clone());
        let topics = aws_sdk_sns::config::Builder::from(config)
            .retry_partition(retry_partition())
            .interceptor(last_failure.clone());
        Self {
            ecs: Ecs::new(aws_sdk_ecs::Client::from_conf(ecs.build())),
            auto_scaling: AutoScaling::new(aws_sdk_autoscaling::Client::from_conf(
                auto_scaling.build(),
            )),
            cloudwatch: CloudWatch::new(config),
            ec2: Ec2::new(config),
            functions: Functions::new(config),
            load_balancing: LoadBalancing::new(config),
            pricing: Pricing::new(config),
            region: config.region().map(ToString::to_string).unwrap_or_default(),
            topics: Topics::new(aws_sdk_sns::Client::from_conf(topics.build())),
            zonal_shifts: ZonalShifts::new(config),
            last_failure,
        }
    }

    /// The Region that the clients call; empty if none is configured.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// That the time of an invocation was not enough for its calls, and why the last one that failed
    /// in it did.
    pub fn out_of_time(&self, clock: Clock) -> Problem {
        self.last_failure.out_of_time(clock)
    }

    /// Builds the clients as they run in Lambda: credentials, Region and `AWS_ENDPOINT_URL` from
    /// environment variables, TLS by rustls.
    pub fn from_environment() -> Self {
        let config = environment::sdk_config(environment::variable)
            .behavior_version(behavior_version())
            .retry_config(retries())
            .timeout_config(timeouts())
            .http_client(https_client());
        Self::new(&config.build())
    }
}

/// An HTTP client with TLS by rustls.
pub fn https_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// The configuration with an HTTP client that hands on nothing but answers. Without a client no
/// call can be made: the SDK is built without one of its own.
fn checked(config: &SdkConfig, allows: Allows) -> SdkConfig {
    match config.http_client() {
        Some(client) => {
            let checked = CheckedHttpClient::new(client, allows);
            config.clone().into_builder().http_client(checked).build()
        }
        None => config.clone(),
    }
}

/// A retry bucket per client. By default all clients of a service share one, and one client's
/// throttling would affect the others.
fn retry_partition() -> RetryPartition {
    RetryPartition::custom("ebb").build()
}

/// The SDK's configuration for people, from profiles too: complete but for the HTTP client.
pub fn config_loader() -> ConfigLoader {
    aws_config::defaults(behavior_version()).retry_config(retries()).timeout_config(timeouts())
}

/// Pinned: `latest()` would change its meaning with an update of the SDK.
fn behavior_version() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(ATTEMPTS)
        .with_initial_backoff(FIRST_PAUSE)
        .with_max_backoff(LONGEST_PAUSE)
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build()
}
