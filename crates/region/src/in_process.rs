//! Functions that run in this process, for tests and benchmarks.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::Region;
use crate::lambda::{Invoked, Lambda};

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

    /// Adds a function of this project: from itself, its payload, the time and its deadline to its
    /// answer.
    #[must_use]
    pub fn handling<T, F, H, A, E>(
        self,
        name: &str,
        region: &Region,
        function: &Arc<T>,
        handle: H,
    ) -> Self
    where
        T: Send + Sync + 'static,
        H: Fn(Arc<T>, Value, Timestamp, Timestamp) -> F + Send + Sync + 'static,
        F: Future<Output = Result<A, E>> + Send + 'static,
        A: Serialize,
        E: Display,
    {
        let (clock, function) = (region.clone(), Arc::clone(function));
        self.with(name, move |payload, deadline| {
            // The time is read when the invocation begins, not when its future is first polled.
            let handled = handle(Arc::clone(&function), payload, clock.now(), deadline);
            async move {
                let answer = handled.await.map_err(|error| error.to_string())?;
                serde_json::to_value(answer).map_err(|error| error.to_string())
            }
        })
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
