//! What CloudWatch knows of metrics: what functions print in the embedded metric format.
//!
//! Source: CloudWatch User Guide, `CloudWatch_Embedded_Metric_Format_Specification`. How CloudWatch is
//! asked is left to [`crate::wire`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

/// The metrics of the Region.
#[derive(Debug, Clone)]
pub struct Metrics {
    data: BTreeMap<Metric, Vec<(Timestamp, f64)>>,
    /// How many sums stand on a page of an answer.
    pub page_max: usize,
}

/// A metric. Each set of dimensions is another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its dimensions: all of them, and no others.
    pub dimensions: BTreeMap<String, String>,
}

impl Default for Metrics {
    /// The page is as long as AWS's. Source: CloudWatch API, `GetMetricData.MaxDatapoints`.
    fn default() -> Self {
        Self { data: BTreeMap::new(), page_max: 100_800 }
    }
}

impl Metrics {
    /// Takes in a line that a function has printed. One that holds no metrics is a line of its log.
    pub fn read(&mut self, line: &str) {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let milliseconds = line["_aws"]["Timestamp"].as_i64().unwrap_or_default();
        let Ok(time) = Timestamp::from_millisecond(milliseconds) else { return };
        for directive in list(&line["_aws"]["CloudWatchMetrics"]) {
            for definition in list(&directive["Metrics"]) {
                let name = text(&definition["Name"]);
                let Some(value) = line[name].as_f64() else { continue };
                for set in list(&directive["Dimensions"]) {
                    let dimensions = list(set).iter().map(text);
                    let dimensions =
                        dimensions.map(|name| (name.to_owned(), text(&line[name]).to_owned()));
                    let metric = Metric {
                        namespace: text(&directive["Namespace"]).to_owned(),
                        name: name.to_owned(),
                        dimensions: dimensions.collect(),
                    };
                    self.data.entry(metric).or_default().push((time, value));
                }
            }
        }
    }

    /// The sum of each period from `begin` on and before `end` in which data came in, the latest
    /// first.
    pub(crate) fn sums(&self, metric: &Metric, [begin, end, period]: [i64; 3]) -> Vec<(i64, f64)> {
        let mut sums = BTreeMap::new();
        for (time, value) in self.data.get(metric).into_iter().flatten() {
            let period_begin = time.as_second().div_euclid(period) * period;
            if (begin..end).contains(&period_begin) {
                *sums.entry(period_begin).or_default() += value;
            }
        }
        sums.into_iter().rev().collect()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(dimensions: &[(&str, &str)]) -> Metric {
        let dimensions = dimensions.iter().map(|(name, value)| (*name, *value));
        Metric {
            namespace: "Ebb".to_owned(),
            name: "Draining".to_owned(),
            dimensions: dimensions.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        }
    }

    #[test]
    fn a_line_counts_for_each_set_of_its_dimensions_and_for_no_other() {
        let mut metrics = Metrics::default();
        for (second, value) in [(0, 1), (3_599, 2), (3_600, 4), (7_200, 8)] {
            metrics.read(&format!(
                r#"{{"_aws": {{"Timestamp": {}, "CloudWatchMetrics": [{{"Namespace": "Ebb",
                    "Dimensions": [["f"], ["f", "c"]], "Metrics": [{{"Name": "Draining"}}]}}]}},
                    "f": "spot", "c": "shop", "Draining": {value}}}"#,
                second * 1_000,
            ));
        }
        metrics.read("Draining: nothing");
        let hours = [0, 7_200, 3_600];
        for dimensions in [&[("f", "spot")][..], &[("f", "spot"), ("c", "shop")]] {
            assert_eq!(metrics.sums(&metric(dimensions), hours), [(3_600, 4.0), (0, 3.0)]);
        }
        for dimensions in [&[][..], &[("c", "shop")], &[("f", "spot"), ("c", "depot")]] {
            assert_eq!(metrics.sums(&metric(dimensions), hours), []);
        }
    }
}
