//! ECS's tags, as the decisions take them.

use aws_sdk_ecs::types::Tag;
use ebb_core::reaper::tags::Tags;

/// Tags by their keys; one without a value is an empty text.
pub(super) fn tags(described: &[Tag]) -> Tags {
    let with_key = described.iter().filter_map(|tag| Some((tag.key()?, tag.value())));
    with_key.map(|(key, value)| (key.to_owned(), value.unwrap_or_default().to_owned())).collect()
}
