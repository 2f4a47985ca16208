//! Where an event is from: an account and a Region, as EventBridge's envelope and a function's ARN
//! name them.
//!
//! Whether it matters is left to the decisions.

use serde_json::Value;

/// An account and a Region. What is not known is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The id of the account.
    pub account: Option<String>,
    /// The Region, such as `eu-west-1`.
    pub region: Option<String>,
}

impl Origin {
    /// Where a function is: its account stands in its ARN, and its Region in `AWS_REGION` (Lambda
    /// Developer Guide, configuration-envvars). What is no ARN, as under `cargo lambda watch`, names
    /// no account.
    pub fn of_function(arn: &str, region: Option<String>) -> Self {
        let account = arn.split(':').nth(4).map(str::to_owned);
        Self { account, region }
    }

    /// Where the thing is that an ARN names; what is no ARN names neither.
    pub fn of_arn(arn: &str) -> Self {
        let parts: Vec<_> = arn.split(':').collect();
        let part = |index: usize| {
            let is_arn = parts.first() == Some(&"arn");
            parts
                .get(index)
                .filter(|part| is_arn && !part.is_empty())
                .map(|part| (*part).to_owned())
        };
        Self { account: part(4), region: part(3) }
    }

    pub(crate) fn of_event(body: &Value) -> Self {
        let [account, region] =
            ["account", "region"].map(|key| body.get(key)?.as_str().map(str::to_owned));
        Self { account, region }
    }

    /// Says why what is from here is foreign in `home`, if it is. What is not known on either side
    /// is taken to be the same: an event's `detail` alone names neither.
    pub fn why_foreign(&self, home: &Self) -> Option<String> {
        let parts =
            [("account", &self.account, &home.account), ("Region", &self.region, &home.region)];
        parts.into_iter().find_map(|(name, own, home)| match (own, home) {
            (Some(own), Some(home)) if own != home => {
                Some(format!("it is from {name} {own}, and the function is in {home}"))
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:lambda:eu-west-1:111122223333:function:ebb-spot-drainer";

    #[test]
    fn an_event_is_foreign_if_account_or_region_is_another() {
        let home = Origin::of_function(ARN, Some("eu-west-1".to_owned()));
        for (event, foreign) in [
            (json!({"account": "111122223333", "region": "eu-west-1"}), None),
            (json!({"account": 7}), None),
            (json!({}), None),
            (json!({"account": "444455556666", "region": "eu-west-1"}), Some("account")),
            (json!({"account": "111122223333", "region": "us-east-1"}), Some("Region")),
        ] {
            let why = Origin::of_event(&event).why_foreign(&home);
            assert_eq!(why.is_some(), foreign.is_some(), "{event}: {why:?}");
            assert!(why.unwrap_or_default().contains(foreign.unwrap_or_default()), "{event}");
        }
    }

    #[test]
    fn an_arn_names_account_and_region() {
        let origin = Origin::of_arn(ARN);
        assert_eq!(origin.account.as_deref(), Some("111122223333"));
        assert_eq!(origin.region.as_deref(), Some("eu-west-1"));
        for name in ["shop", "", "arn:aws", "a:b:c:d:e"] {
            assert_eq!(Origin::of_arn(name), Origin::default(), "{name}");
        }
    }

    #[test]
    fn a_function_that_does_not_know_where_it_is_finds_nothing_foreign() {
        let event = Origin::of_event(&json!({"account": "444455556666", "region": "us-east-1"}));
        assert_eq!(event.why_foreign(&Origin::of_function("function-arn", None)), None);
    }
}
