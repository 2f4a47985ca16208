//! Which Auto Scaling group stands in for which Spot group, as an operator's setting says.
//!
//! What the `spot-drainer` raises by it is decided in [`crate::spot::fallback`], and how the
//! `scale-in-reaper` brings it back in [`crate::reaper::fallback`].

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::ids::GroupName;
use crate::settings::{Format, Problem, group_name};

/// The fallback group of each Spot group. No group is named twice, in whatever part, so that each
/// fallback group comes back to what one Spot group needs, and none stands in for another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FallbackGroups(BTreeMap<GroupName, GroupName>);

impl FallbackGroups {
    /// The fallback group of a Spot group, if it has one.
    pub fn fallback_of(&self, spot_group: &GroupName) -> Option<&GroupName> {
        self.0.get(spot_group)
    }

    /// Every Spot group that has a fallback group, and that.
    pub fn pairs(&self) -> impl Iterator<Item = (&GroupName, &GroupName)> {
        self.0.iter()
    }

    /// Whether no Spot group has one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a group is named, in either part.
    pub fn names(&self, group: &GroupName) -> bool {
        self.0.contains_key(group) || self.0.values().any(|fallback| fallback == group)
    }
}

/// A JSON object such as `{"shop-spot": "shop-on-demand"}`. Each wrong pair and each group that is
/// named twice is a problem of its own.
pub(crate) struct FallbackPairs;

const MAP_EXPECTED: &str = "a JSON object of Spot groups and the fallback group of each, such as \
    {\"shop-spot\": \"shop-on-demand\"}";
const PAIR_EXPECTED: &str = "two names of Auto Scaling groups: each 1 to 255 printable characters \
    without a colon";
const ITSELF: &str = "another group: none is its own fallback";
const TWO_FALLBACKS: &str = "one fallback group for each Spot group";
const SHARED: &str = "a fallback group of its own for each Spot group: a shared one would not know \
    when to come back";
const CHAIN: &str =
    "a Spot group or a fallback group, and not both: no fallback group has one itself";

impl Format for FallbackPairs {
    type Value = FallbackGroups;

    fn read(
        &self,
        variable: &'static str,
        text: &str,
        _region: Option<&str>,
    ) -> Result<Self::Value, Vec<Problem>> {
        let Ok(Pairs(pairs)) = serde_json::from_str(text) else {
            let (value, expected) = (text.to_owned(), MAP_EXPECTED);
            return Err(vec![Problem { variable, value, expected }]);
        };
        let (mut groups, mut wrong) = (BTreeMap::new(), Vec::new());
        for (spot, fallback) in pairs {
            let names = (group_name(&spot), fallback.as_str().and_then(group_name));
            let (Some(spot), Some(fallback)) = names else {
                wrong.push((format!("{spot}: {fallback}"), PAIR_EXPECTED));
                continue;
            };
            if spot == fallback {
                wrong.push((spot.to_string(), ITSELF));
            } else if groups.values().any(|earlier| *earlier == fallback) {
                wrong.push((fallback.to_string(), SHARED));
            } else if groups.insert(spot.clone(), fallback).is_some() {
                wrong.push((spot.to_string(), TWO_FALLBACKS));
            }
        }
        let chained = groups.values().filter(|fallback| groups.contains_key(*fallback));
        wrong.extend(chained.map(|group| (group.to_string(), CHAIN)));
        // All or nothing: with a pair left out, a Spot group would have no fallback and nobody would
        // know.
        if wrong.is_empty() {
            return Ok(FallbackGroups(groups));
        }
        let problem = |(value, expected)| Problem { variable, value, expected };
        Err(wrong.into_iter().map(problem).collect())
    }
}

/// The members of a JSON object, one that is there twice included: as a map, it would be there once.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const VARIABLE: &str = "FALLBACK_AUTO_SCALING_GROUPS";

    fn read(text: &str) -> Result<FallbackGroups, Vec<(String, &'static str)>> {
        FallbackPairs.read(VARIABLE, text, None).map_err(|problems| {
            problems.into_iter().map(|problem| (problem.value, problem.expected)).collect()
        })
    }

    #[test]
    fn each_spot_group_has_its_fallback_group() {
        let groups = read(r#"{"shop spot": "shop on-demand", "till-spot": "till-od"}"#).unwrap();
        let [shop, till, absent] = ["shop spot", "till-spot", "till-od"].map(GroupName::new);
        assert_eq!(groups.fallback_of(&shop), Some(&GroupName::new("shop on-demand")));
        assert_eq!(groups.fallback_of(&till), Some(&absent));
        assert_eq!(groups.fallback_of(&absent), None);
        assert!(groups.names(&absent) && !groups.names(&GroupName::new("shop")));
        assert_eq!(read("{}"), Ok(FallbackGroups::default()));
    }

    #[test]
    fn what_is_no_map_of_names_is_refused() {
        for text in ["", "a=b", "[]", "\"a\"", "null", r#"{"a": "b""#] {
            assert_eq!(read(text), Err(vec![(text.to_owned(), MAP_EXPECTED)]), "{text}");
        }
        for (text, value) in [
            (r#"{"a": 1}"#, "a: 1"),
            (r#"{"": "b"}"#, ": \"b\""),
            (r#"{"a": " b"}"#, "a: \" b\""),
            (r#"{"a": ["b"]}"#, "a: [\"b\"]"),
            (r#"{"arn:a": "b"}"#, "arn:a: \"b\""),
        ] {
            assert_eq!(read(text), Err(vec![(value.to_owned(), PAIR_EXPECTED)]), "{text}");
        }
    }

    #[test]
    fn a_group_that_is_named_twice_is_refused_with_what_is_wrong_about_it() {
        for (text, group, expected) in [
            (r#"{"a": "a"}"#, "a", ITSELF),
            (r#"{"a": "b", "a": "c"}"#, "a", TWO_FALLBACKS),
            (r#"{"a": "c", "b": "c"}"#, "c", SHARED),
            (r#"{"a": "b", "a": "b"}"#, "b", SHARED),
            (r#"{"a": "b", "b": "c"}"#, "b", CHAIN),
            (r#"{"b": "c", "a": "b"}"#, "b", CHAIN),
        ] {
            assert_eq!(read(text), Err(vec![(group.to_owned(), expected)]), "{text}");
        }
        let circle = read(r#"{"a": "b", "b": "a", "c": "c", "d": 1}"#).unwrap_err();
        assert_eq!(
            circle.iter().map(|(_, expected)| *expected).collect::<Vec<_>>(),
            [ITSELF, PAIR_EXPECTED, CHAIN, CHAIN],
            "every problem is named"
        );
    }

    proptest! {
        /// A map is read if and only if it names each group once.
        #[test]
        fn a_map_is_read_if_it_names_each_group_once(
            pairs in prop::collection::vec((0..8_u8, 0..8_u8), 0..5)
        ) {
            let members: Vec<_> =
                pairs.iter().map(|(spot, fallback)| format!("\"g{spot}\":\"g{fallback}\"")).collect();
            let named: BTreeSet<_> = pairs.iter().flat_map(|&(a, b)| [a, b]).collect();
            let groups = read(&format!("{{{}}}", members.join(",")));
            prop_assert_eq!(groups.is_ok(), named.len() == 2 * pairs.len());
            if let Ok(groups) = groups {
                prop_assert_eq!(groups.pairs().count(), pairs.len());
            }
        }
    }
}
