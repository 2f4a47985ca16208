//! Whether a JSON document is one object with the member that it must have.

use std::collections::BTreeMap;

use serde_json::error::Category;
use serde_json::value::RawValue;

/// The object's members, each checked to be well-formed and not read any further.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// What is wrong with a document that must have a list of texts under `key`.
pub(super) fn texts_problem(body: &[u8], key: &str) -> Option<String> {
    check_items(body, key, |item| {
        if is_text(item) { Ok(()) } else { Err(format!("an item of its {key} is no text")) }
    })
    .err()
}

/// What is wrong with a document that must have a list of objects under `key`, each with `texts`.
pub(super) fn structures_problem(body: &[u8], key: &str, texts: &[&str]) -> Option<String> {
    check_items(body, key, |item| check_structure(item, &format!("an item of its {key}"), texts))
        .err()
}

/// What is wrong with a document that must have an object under `key`, with `texts`.
pub(super) fn structure_problem(body: &[u8], key: &str, texts: &[&str]) -> Option<String> {
    let structure = member(body, key);
    structure.and_then(|structure| check_structure(structure, &format!("its {key}"), texts)).err()
}

/// What is wrong with a document that must be an object with `texts`.
pub(super) fn document_problem(body: &[u8], texts: &[&str]) -> Option<String> {
    texts.iter().find_map(|text| match member(body, text) {
        Ok(value) if is_text(value) => None,
        Ok(_) => Some(format!("its {text} is no text")),
        Err(problem) => Some(problem),
    })
}

fn check_items(
    body: &[u8],
    key: &str,
    check: impl Fn(&RawValue) -> Result<(), String>,
) -> Result<(), String> {
    let list = member(body, key)?;
    let items: Vec<&RawValue> =
        serde_json::from_str(list.get()).map_err(|_| format!("its {key} is no list"))?;
    items.into_iter().try_for_each(check)
}

fn check_structure(value: &RawValue, name: &str, texts: &[&str]) -> Result<(), String> {
    let members: Members<'_> =
        serde_json::from_str(value.get()).map_err(|_| format!("{name} is no object"))?;
    let has = |text: &str| members.get(text).is_some_and(|value| is_text(value));
    match texts.iter().find(|text| !has(text)) {
        Some(text) => Err(format!("{name} lacks {text}")),
        None => Ok(()),
    }
}

fn is_text(value: &RawValue) -> bool {
    value.get().starts_with('"') && value.get() != "\"\""
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
