//! What operators ask for by tags. Reading those is left to `ebb-aws`, and what follows to the
//! planner.

use std::collections::BTreeMap;

use ebb_planner::{HOLD_TAG, KEEP_TAG, KEEP_TASKS_TAG};

/// The tags of a cluster, a group or a service, by their keys.
pub type Tags = BTreeMap<String, String>;

/// The time until which its cluster or group is held, as somebody wrote it.
pub fn hold_until(tags: &Tags) -> Option<&String> {
    find(tags, HOLD_TAG)
}

/// Whether its group is to be kept as large as it is.
pub fn is_kept(tags: &Tags) -> bool {
    find(tags, KEEP_TAG).is_some()
}

/// Whether its service's tasks are to stay where they are.
pub fn keeps_tasks(tags: &Tags) -> bool {
    find(tags, KEEP_TASKS_TAG).is_some()
}

/// The value of a tag. It counts as well where it is spelt as the attributes of container instances
/// must be, `ebb.keep` for `ebb:keep`: who mixes them up does not mean it less.
fn find<'t>(tags: &'t Tags, key: &str) -> Option<&'t String> {
    tags.get(key).or_else(|| tags.get(&key.replacen(':', ".", 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(tags: &[(&str, &str)]) -> Tags {
        tags.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn each_tag_is_known_in_both_spellings_and_no_other_is() {
        for (key, kept, keeps_its_tasks) in [
            ("ebb:keep", true, false),
            ("ebb.keep", true, false),
            ("ebb:keep-tasks", false, true),
            ("ebb.keep-tasks", false, true),
            ("keep", false, false),
            ("Ebb:Keep", false, false),
        ] {
            let tags = tags(&[(key, ""), ("Name", "ebb:keep")]);
            assert_eq!((is_kept(&tags), keeps_tasks(&tags)), (kept, keeps_its_tasks), "{key}");
            assert_eq!(hold_until(&tags), None, "{key}");
        }
        for key in ["ebb:hold-until", "ebb.hold-until"] {
            let tags = tags(&[(key, "forever")]);
            assert_eq!(hold_until(&tags).map(String::as_str), Some("forever"), "{key}");
        }
    }
}
