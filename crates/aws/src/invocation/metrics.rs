//! Metrics as one line of CloudWatch's embedded metric format (EMF): printed to standard output,
//! the line becomes metrics without a call.
//!
//! Written here because the maintained crates for it bring some hundred dependencies for this one
//! JSON object. Source: CloudWatch User Guide, `CloudWatch_Embedded_Metric_Format_Specification`.

use std::env;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::invocation::logging::lambda_level;

/// A metric of one invocation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name in CloudWatch.
    pub name: &'static str,
    /// Its unit.
    pub unit: Unit,
    /// Its value.
    pub value: f64,
}

/// CloudWatch's units, as far as they are used. Source: CloudWatch API, `MetricDatum.Unit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "AWS's words")]
pub enum Unit {
    Count,
    Seconds,
    Percent,
}

impl Unit {
    /// CloudWatch's word for it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Seconds => "Seconds",
            Self::Percent => "Percent",
        }
    }
}

/// The dimensions of metrics, the function's name first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimensions<'a> {
    /// The function alone.
    Function,
    /// The function and the cluster with this name: for what is counted elsewhere for the function
    /// as a whole.
    Cluster(&'a str),
    /// Both: CloudWatch keeps the metric once for the function, and once for the cluster.
    FunctionAndCluster(&'a str),
}

impl<'a> Dimensions<'a> {
    /// The name of the dimension that has the function.
    pub(crate) const FUNCTION: &'static str = "function";
    /// The name of the one that has the cluster.
    pub(crate) const CLUSTER: &'static str = "cluster";

    /// The sets of dimensions, one for each metric that CloudWatch makes.
    fn sets(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Function => &[&[Self::FUNCTION]],
            Self::Cluster(_) => &[&[Self::FUNCTION, Self::CLUSTER]],
            Self::FunctionAndCluster(_) => &[&[Self::FUNCTION], &[Self::FUNCTION, Self::CLUSTER]],
        }
    }

    fn cluster(self) -> Option<&'a str> {
        match self {
            Self::Function => None,
            Self::Cluster(name) | Self::FunctionAndCluster(name) => Some(name),
        }
    }
}

/// Whose metrics they are, and where they go.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The CloudWatch namespace.
    pub namespace: &'a str,
    /// The function's name.
    pub function: &'a str,
    /// What the metrics are kept by.
    pub dimensions: Dimensions<'a>,
}

/// Lambda sets it for each function (Lambda Developer Guide, `configuration-envvars`), and so does
/// cargo-lambda.
const FUNCTION_NAME: &str = "AWS_LAMBDA_FUNCTION_NAME";

/// Metrics in one line: the format takes up to 100. Source: as above.
const METRICS_MAX: usize = 100;

/// Renders metrics as one line. Those past the hundredth are left out.
///
/// `level` is the least log level that Lambda passes on. Lambda drops lines below it, and takes one
/// without a level and a timestamp for INFO (Lambda Developer Guide,
/// `monitoring-cloudwatchlogs-log-level`).
pub fn line(source: Source<'_>, level: &str, now: Timestamp, metrics: &[Metric]) -> String {
    let Source { namespace, function, dimensions } = source;
    let metrics = &metrics[..metrics.len().min(METRICS_MAX)];
    let definitions: Vec<_> = metrics
        .iter()
        .map(|metric| json!({"Name": metric.name, "Unit": metric.unit.as_str()}))
        .collect();
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": now.as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": namespace,
                "Dimensions": dimensions.sets(),
                "Metrics": definitions,
            }],
        }),
    );
    line.insert("level".to_owned(), json!(level));
    line.insert("timestamp".to_owned(), json!(now.to_string()));
    line.insert(Dimensions::FUNCTION.to_owned(), json!(function));
    if let Some(cluster) = dimensions.cluster() {
        line.insert(Dimensions::CLUSTER.to_owned(), json!(cluster));
    }
    line.extend(metrics.iter().map(|metric| (metric.name.to_owned(), json!(metric.value))));
    Value::Object(line).to_string()
}

/// Prints metrics to standard output, where Lambda passes them to CloudWatch. Where no Lambda runs the
/// function nothing is printed: a simulation that fails would be buried under them.
#[expect(
    clippy::print_stdout,
    reason = "the line must stand alone, without what a log subscriber puts around it"
)]
pub fn print(source: Source<'_>, now: Timestamp, metrics: &[Metric]) {
    if env::var_os(FUNCTION_NAME).is_some() {
        println!("{}", line(source, &lambda_level(), now, metrics));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(dimensions: Dimensions<'_>) -> Source<'_> {
        Source { namespace: "Ebb", function: "f", dimensions }
    }

    #[test]
    fn the_line_is_one_json_object_that_defines_every_metric_it_carries() {
        let metrics = [
            Metric { name: "Draining", unit: Unit::Count, value: 2.0 },
            Metric { name: "DrainLatency", unit: Unit::Seconds, value: 1.25 },
            Metric { name: "SavingPercent", unit: Unit::Percent, value: 12.5 },
        ];
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let line = line(source(Dimensions::Function), "WARN", now, &metrics);

        let expected = json!({
            "_aws": {
                "Timestamp": 1_700_000_000_000_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "Ebb",
                    "Dimensions": [["function"]],
                    "Metrics": [
                        {"Name": "Draining", "Unit": "Count"},
                        {"Name": "DrainLatency", "Unit": "Seconds"},
                        {"Name": "SavingPercent", "Unit": "Percent"},
                    ],
                }],
            },
            "level": "WARN",
            "timestamp": "2023-11-14T22:13:20Z",
            "function": "f",
            "Draining": 2.0,
            "DrainLatency": 1.25,
            "SavingPercent": 12.5,
        });
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
        assert!(!line.contains('\n'));
    }

    #[test]
    fn each_dimension_of_a_set_is_in_the_line() {
        for (dimensions, sets) in [
            (Dimensions::Function, json!([["function"]])),
            (Dimensions::Cluster("shop"), json!([["function", "cluster"]])),
            (
                Dimensions::FunctionAndCluster("shop"),
                json!([["function"], ["function", "cluster"]]),
            ),
        ] {
            let line = line(source(dimensions), "INFO", Timestamp::UNIX_EPOCH, &[]);
            let line: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Dimensions"], sets);
            for set in sets.as_array().unwrap() {
                for dimension in set.as_array().unwrap() {
                    let value = line[dimension.as_str().unwrap()].as_str();
                    assert!(matches!(value, Some("f" | "shop")), "{line}");
                }
            }
        }
    }

    #[test]
    fn a_line_carries_a_hundred_metrics_at_most() {
        let metrics = [Metric { name: "Draining", unit: Unit::Count, value: 1.0 }; 130];
        let line: Value = serde_json::from_str(&line(
            source(Dimensions::Function),
            "INFO",
            Timestamp::UNIX_EPOCH,
            &metrics,
        ))
        .unwrap();
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().len(), 100);
    }
}
