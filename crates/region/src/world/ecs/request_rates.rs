//! The request rates of ECS: a token bucket for each class of operations, shared by the whole
//! account and Region.
//!
//! Source: ECS API Reference, request-throttling. The buckets of the other services are not
//! published; they do not throttle here.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// The buckets.
#[derive(Debug, Clone)]
pub struct Rates {
    buckets: BTreeMap<Class, Bucket>,
}

/// A class of operations that share a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Reading what belongs to a cluster.
    ClusterResourceRead,
    /// Changing what belongs to a cluster.
    ClusterResourceModify,
    /// Reading clusters.
    ClusterRead,
    /// Reading services.
    ServiceRead,
    /// Changing services.
    ServiceModify,
    /// Reading task definitions.
    TaskDefinitionRead,
    /// Reading capacity providers.
    CapacityProviderRead,
    /// Reading and changing the protection of tasks.
    TaskProtection,
    /// Reading tags.
    TagRead,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    burst: f64,
    per_second: f64,
    tokens: f64,
    filled_at: Timestamp,
}

impl Bucket {
    fn full(class: Class, now: Timestamp) -> Self {
        let (burst, per_second) = class.limits();
        Self { burst, per_second, tokens: burst, filled_at: now }
    }
}

impl Class {
    /// The class of an operation; `None` if its rate is not known.
    pub fn for_operation(operation: &str) -> Option<Self> {
        match operation {
            "DescribeContainerInstances"
            | "ListContainerInstances"
            | "DescribeTasks"
            | "ListTasks"
            | "ListAttributes" => Some(Self::ClusterResourceRead),
            "UpdateContainerInstancesState"
            | "PutAttributes"
            | "DeleteAttributes"
            | "StopTask"
            | "RunTask" => Some(Self::ClusterResourceModify),
            "ListClusters" | "DescribeClusters" => Some(Self::ClusterRead),
            "ListServices" | "DescribeServices" => Some(Self::ServiceRead),
            "UpdateService" => Some(Self::ServiceModify),
            "DescribeTaskDefinition" | "ListTaskDefinitions" => Some(Self::TaskDefinitionRead),
            "DescribeCapacityProviders" => Some(Self::CapacityProviderRead),
            "GetTaskProtection" | "UpdateTaskProtection" => Some(Self::TaskProtection),
            "ListTagsForResource" => Some(Self::TagRead),
            _ => None,
        }
    }

    const ALL: [Self; 9] = [
        Self::ClusterResourceRead,
        Self::ClusterResourceModify,
        Self::ClusterRead,
        Self::ServiceRead,
        Self::ServiceModify,
        Self::TaskDefinitionRead,
        Self::CapacityProviderRead,
        Self::TaskProtection,
        Self::TagRead,
    ];

    /// Burst and sustained calls a second.
    pub const fn limits(self) -> (f64, f64) {
        match self {
            Self::ClusterResourceRead => (100.0, 20.0),
            Self::ClusterResourceModify => (100.0, 40.0),
            Self::ClusterRead
            | Self::TaskDefinitionRead
            | Self::CapacityProviderRead
            | Self::TagRead => (50.0, 20.0),
            Self::ServiceRead => (100.0, 20.0),
            Self::ServiceModify => (50.0, 5.0),
            Self::TaskProtection => (200.0, 80.0),
        }
    }
}

impl Rates {
    /// Full buckets.
    pub fn new(now: Timestamp) -> Self {
        let buckets = Class::ALL.into_iter().map(|class| (class, Bucket::full(class, now)));
        Self { buckets: buckets.collect() }
    }

    /// Takes a token for a call; `false` means that the call is throttled.
    pub fn allow(&mut self, operation: &str, now: Timestamp) -> bool {
        let Some(bucket) =
            Class::for_operation(operation).and_then(|class| self.buckets.get_mut(&class))
        else {
            // An operation whose bucket is not published is never throttled here; a planned fault
            // can still do it.
            return true;
        };
        // Tokens come back bit by bit and are added up when somebody calls, so an idle bucket needs
        // no entry in the agenda.
        let passed = now.duration_since(bucket.filled_at).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + passed * bucket.per_second).min(bucket.burst);
        // Also for a call that is throttled: what has been filled up must not be filled up twice.
        bucket.filled_at = now;
        let allowed = bucket.tokens >= 1.0;
        if allowed {
            bucket.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many of 150 calls at one moment are allowed.
    fn allowed(rates: &mut Rates, time: Timestamp) -> usize {
        (0..150).filter(|_| rates.allow("ListContainerInstances", time)).count()
    }

    #[test]
    fn a_class_allows_its_burst_and_then_its_sustained_rate() {
        let start = Timestamp::UNIX_EPOCH;
        let mut rates = Rates::new(start);

        assert_eq!(allowed(&mut rates, start), 100);
        assert_eq!(allowed(&mut rates, start + Duration::from_secs(2)), 40);
        assert_eq!(
            allowed(&mut rates, start + Duration::from_secs(60)),
            100,
            "the bucket holds no more than the burst"
        );
    }

    #[test]
    fn operations_of_one_class_share_a_bucket_and_classes_do_not() {
        let start = Timestamp::UNIX_EPOCH;
        let mut rates = Rates::new(start);
        while rates.allow("ListContainerInstances", start) {}

        for operation in ["DescribeContainerInstances", "ListTasks", "DescribeTasks"] {
            assert!(!rates.allow(operation, start));
        }
        for operation in [
            "UpdateContainerInstancesState",
            "DescribeServices",
            "GetTaskProtection",
            "DescribeClusters",
            "DescribeCapacityProviders",
            "DescribeTaskDefinition",
        ] {
            assert!(rates.allow(operation, start));
        }
        for (operation, remaining) in [
            ("GetTaskProtection", 199),
            ("ListServices", 99),
            ("ListClusters", 49),
            ("DescribeTaskDefinition", 49),
        ] {
            let allowed = (0..500).filter(|_| rates.allow(operation, start)).count();
            assert_eq!(allowed, remaining, "{operation}");
        }
    }
}
