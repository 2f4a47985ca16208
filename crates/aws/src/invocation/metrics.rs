//! Metrics as one line of CloudWatch's embedded metric format (EMF): printed to standard output,
//! the line becomes metrics without a call.
//!
//! Written here because the maintained crates for it bring some hundred dependencies for this one
//! JSON object. Source: CloudWatch User Guide, `CloudWatch_Embedded_Metric_Format_Specification`.

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

/// The one dimension of every metric: the function's name.
pub const DIMENSION: &str = "function";

/// Metrics in one line: the format takes up to 100. Source: as above.
const METRICS_MAX: usize = 100;

/// Renders metrics as one line. Those past the hundredth are left out.
///
/// `level` is the least log level that Lambda passes on. Lambda drops lines below it, and takes one
/// without a level and a timestamp for INFO (Lambda Developer Guide,
/// `monitoring-cloudwatchlogs-log-level`).
pub fn line(
    namespace: &str,
    function: &str,
    level: &str,
    now: Timestamp,
    metrics: &[Metric],
) -> String {
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
                "Dimensions": [[DIMENSION]],
                "Metrics": definitions,
            }],
        }),
    );
    line.insert("level".to_owned(), json!(level));
    line.insert("timestamp".to_owned(), json!(now.to_string()));
    line.insert(DIMENSION.to_owned(), json!(function));
    line.extend(metrics.iter().map(|metric| (metric.name.to_owned(), json!(metric.value))));
    Value::Object(line).to_string()
}

/// Prints metrics to standard output, where Lambda passes them to CloudWatch.
#[expect(
    clippy::print_stdout,
    reason = "the line must stand alone, without what a log subscriber puts around it"
)]
pub fn print(namespace: &str, function: &str, now: Timestamp, metrics: &[Metric]) {
    println!("{}", line(namespace, function, &lambda_level(), now, metrics));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_one_json_object_that_defines_every_metric_it_carries() {
        let metrics = [
            Metric { name: "Draining", unit: Unit::Count, value: 2.0 },
            Metric { name: "DrainLatency", unit: Unit::Seconds, value: 1.25 },
            Metric { name: "SavingPercent", unit: Unit::Percent, value: 12.5 },
        ];
        let line =
            line("Ebb", "f", "WARN", Timestamp::from_second(1_700_000_000).unwrap(), &metrics);

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
    fn a_line_carries_a_hundred_metrics_at_most() {
        let metrics = [Metric { name: "Draining", unit: Unit::Count, value: 1.0 }; 130];
        let line: Value =
            serde_json::from_str(&line("Ebb", "f", "INFO", Timestamp::UNIX_EPOCH, &metrics))
                .unwrap();
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().len(), 100);
    }
}
