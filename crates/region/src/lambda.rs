//! What runs the functions: in process for tests, or through Lambda's Invoke API for `cargo lambda watch`.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::timeout;

use crate::Region;
use crate::world::delivery::Invocation;

/// What an invocation comes to.
pub type Invoked = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// Runs functions.
pub trait Lambda: Sync {
    /// Runs a function by name on a payload; it must end by the deadline. `Err` is the error that the function
    /// returned, or that it could not be run.
    fn invoke(&self, function: &str, payload: Value, deadline: Timestamp) -> Invoked;
}

/// Functions in this process.
#[derive(Clone, Default)]
pub struct InProcess {
    functions: BTreeMap<String, Arc<dyn Fn(Value, Timestamp) -> Invoked + Send + Sync>>,
}

impl InProcess {
    /// Adds a function: from its payload and deadline to what it returns.
    #[must_use]
    pub fn with<F, I>(mut self, name: &str, function: F) -> Self
    where
        F: Fn(Value, Timestamp) -> I + Send + Sync + 'static,
        I: Future<Output = Result<Value, String>> + Send + 'static,
    {
        let boxed = move |payload, deadline| Box::pin(function(payload, deadline)) as Invoked;
        self.functions.insert(name.to_owned(), Arc::new(boxed));
        self
    }
}

impl Lambda for InProcess {
    fn invoke(&self, function: &str, payload: Value, deadline: Timestamp) -> Invoked {
        match self.functions.get(function) {
            Some(function) => function(payload, deadline),
            None => Box::pin(std::future::ready(Err(format!("there is no function {function}")))),
        }
    }
}

/// Runs an invocation and cuts it off, wherever it is, when the function's time is up.
pub(crate) fn run(
    lambda: &dyn Lambda,
    region: &Region,
    invocation: Invocation,
    time: Duration,
) -> impl Future<Output = (Invocation, Result<Value, String>)> + Send + use<> {
    let invoked = lambda.invoke(&invocation.function, invocation.payload.clone(), region.now() + time);
    let time = region.clock().scaled(time);
    async move {
        let result = timeout(time, invoked).await;
        (invocation, result.unwrap_or_else(|_| Err("Task timed out".to_owned())))
    }
}
