//! Whether a JSON document is one object with the member that it must have.

use std::collections::BTreeMap;

use serde_json::error::Category;
use serde_json::value::RawValue;

/// The object's members, each checked to be well-formed and not read any further.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// What is wrong with a document that must have a list under `key`, of texts or of objects: those
/// begin with `item_start`.
pub(super) fn list_problem(body: &[u8], key: &str, item_start: char) -> Option<String> {
    let list = match member(body, key) {
        Ok(list) => list,
        Err(problem) => return Some(problem),
    };
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(list.get()) else {
        return Some(format!("its {key} is no list"));
    };
    let is_item = |item: &&RawValue| item.get().starts_with(item_start);
    (!items.iter().all(is_item)).then(|| format!("an item of its {key} is of another type"))
}

/// What is wrong with a document that must have an object under `key`.
pub(super) fn object_problem(body: &[u8], key: &str) -> Option<String> {
    match member(body, key) {
        Ok(object) if object.get().starts_with('{') => None,
        Ok(_) => Some(format!("its {key} is no object")),
        Err(problem) => Some(problem),
    }
}

fn member<'a>(body: &'a [u8], key: &str) -> Result<&'a RawValue, String> {
    let members: Members<'_> =
        serde_json::from_slice(body).map_err(|error| match error.classify() {
            Category::Eof => "it breaks off".to_owned(),
            Category::Data => "it is no JSON object".to_owned(),
            Category::Syntax | Category::Io => "it is no JSON".to_owned(),
        })?;
    members.get(key).copied().ok_or_else(|| format!("it lacks {key}"))
}
