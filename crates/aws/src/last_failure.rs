//! Why calls fail while the SDK still tries: kept for a function that runs out of time meanwhile,
//! and would otherwise know nothing of an outage of DNS, TLS or the network but that time was up.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::FinalizerInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use tokio::time::Instant;

use crate::invocation::{Clock, Problem, error_chain};

/// The last attempt of any call that failed.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastFailure {
    attempt: Arc<Mutex<Option<Attempt>>>,
}

#[derive(Debug)]
struct Attempt {
    failed: Instant,
    /// The operation and the error.
    text: String,
}

impl LastFailure {
    /// That the time of an invocation was not enough, and what it went to if calls failed in it.
    pub(crate) fn out_of_time(&self, clock: Clock) -> Problem {
        let attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
        match attempt.as_ref().filter(|attempt| clock.covers(attempt.failed)) {
            Some(Attempt { text, .. }) => {
                Problem::other(format!("ran out of time; the last call that failed: {text}"))
            }
            None => Problem::other("ran out of time"),
        }
    }
}

#[dyn_dispatch_hint]
impl Intercept for LastFailure {
    fn name(&self) -> &'static str {
        "LastFailure"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(Err(error)) = context.output_or_error() {
            let operation = config.load::<Metadata>().map_or("a call", Metadata::name);
            let text = format!("{operation}: {}", error_chain(error));
            let attempt = Attempt { failed: Instant::now(), text };
            *self.attempt.lock().unwrap_or_else(PoisonError::into_inner) = Some(attempt);
        }
        Ok(())
    }
}
