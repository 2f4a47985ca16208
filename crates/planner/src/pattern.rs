//! Which values of the instances a pattern of the cluster query language matches, within a bound on
//! work: whoever may create a service writes patterns, and must not be able to stop every sweep.
//!
//! Source: ECS Developer Guide, cluster-query-language. It does not say whether a pattern must match
//! the whole of a value.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::{Regex, RegexBuilder};

use crate::inventory::Instance;
use crate::subject::Subject;

/// How large a compiled pattern may be, in bytes: those of people take 256 to 4,096.
const SIZE_MAX: usize = 8 << 10;
/// The least size that is distinguished.
const SIZE_MIN: usize = 64;
/// How deep parentheses may nest in a pattern.
const NEST_MAX: u32 = 32;
/// What compiling a pattern costs, in units of work: as long as matching takes for so many.
const COMPILE_WORK: u64 = 1 << 18;
/// How much work all patterns of a cluster may take. A unit is a byte of compiled pattern for a byte
/// of a value, a quarter of a nanosecond at most: 70 ms in all. The pattern of an instance type on
/// 5,000 instances of ten types takes a thousandth of it.
const WORK_MAX: u64 = 1 << 28;

/// Matches the patterns of one cluster.
pub(crate) struct Patterns<'a> {
    instances: &'a [Instance],
    /// The distinct values of each subject that a pattern asked about.
    values: BTreeMap<Subject, BTreeSet<&'a str>>,
    /// How much work may still be done.
    work_left: u64,
}

impl<'a> Patterns<'a> {
    /// Patterns for these instances, with all work still to be done.
    pub(crate) fn new(instances: &'a [Instance]) -> Self {
        Self { instances, values: BTreeMap::new(), work_left: WORK_MAX }
    }

    /// By value of the subject: whether a pattern matches it; `None` if only a part of it.
    ///
    /// # Errors
    /// Why the pattern was not tried, in a few words.
    pub(crate) fn verdicts(
        &mut self,
        subject: &Subject,
        text: &str,
    ) -> Result<BTreeMap<String, Option<bool>>, String> {
        self.spend(COMPILE_WORK)?;
        let (whole, size) = compile(&format!("^(?:{text})$"))?;
        let (anywhere, _) = compile(text)?;
        let instances = self.instances;
        let values = self.values.entry(subject.clone()).or_insert_with(|| {
            instances.iter().filter_map(|instance| subject.value(instance)).collect()
        });
        let bytes: usize = values.iter().map(|value| value.len() + 1).sum();
        let values = values.clone();
        // Both forms are matched.
        self.spend(2 * (size * bytes) as u64)?;
        Ok(values
            .into_iter()
            .map(|value| {
                let verdict = match (whole.is_match(value), anywhere.is_match(value)) {
                    (true, _) => Some(true),
                    (false, false) => Some(false),
                    (false, true) => None,
                };
                (value.to_owned(), verdict)
            })
            .collect())
    }

    fn spend(&mut self, work: u64) -> Result<(), String> {
        self.work_left = self
            .work_left
            .checked_sub(work)
            .ok_or("the patterns of the cluster take too long to match")?;
        Ok(())
    }
}

/// Compiles a pattern; returns its size as well, rounded up to a power of two.
fn compile(text: &str) -> Result<(Regex, usize), String> {
    let sizes = std::iter::successors(Some(SIZE_MIN), |size| Some(size * 2));
    sizes
        .take_while(|size| *size <= SIZE_MAX)
        .find_map(|size| {
            let mut builder = RegexBuilder::new(text);
            Some((builder.size_limit(size).nest_limit(NEST_MAX).build().ok()?, size))
        })
        .ok_or_else(|| format!("pattern {text:?} is not understood, or too large"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::instance;

    #[test]
    fn patterns_of_people_are_small_enough() {
        for text in [
            "m5*",
            "eu-west-1.*",
            "m[57]g?[.](large|[0-9]{1,2}xlarge)",
            "(m5|m5a|m5d|m5n|c5|c5a|c5d|r5|r5a)[.](large|xlarge|2xlarge|4xlarge|8xlarge|metal)",
        ] {
            assert!(compile(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_pattern_that_grows_is_refused() {
        for text in [".?{1000}{20}", "(?:){1000}{1000}{1000}", "((((a?){9}){9}){9}){9}"] {
            let why = compile(text).map(|(_, size)| size);
            assert!(why.is_err_and(|why| why.contains("too large")), "{text}");
        }
        let nested = format!("{}a{}", "(".repeat(40), ")".repeat(40));
        assert!(compile(&nested).is_err());
    }

    #[test]
    fn work_is_bounded_in_all() {
        let instances = [instance(1)];
        let mut patterns = Patterns::new(&instances);
        let matched = (0..2_000)
            .take_while(|number| {
                patterns.verdicts(&Subject::InstanceId, &format!("i-{number}")).is_ok()
            })
            .count();
        assert!((500..1_100).contains(&matched), "{matched}");

        let mut patterns = Patterns::new(&instances);
        patterns.work_left = COMPILE_WORK + 1;
        let why = patterns.verdicts(&Subject::InstanceId, "i-.*").map(|_| ());
        assert!(why.is_err_and(|why| why.contains("too long to match")));
    }
}
