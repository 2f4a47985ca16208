//! Short names for instances: the end of an id, as much of it as tells them apart.

use std::collections::BTreeSet;

/// How many digits are always shown.
const DIGITS_MIN: usize = 2;

/// How the instances of one page or story are named: "…09".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortIds {
    digits: usize,
}

impl ShortIds {
    /// Names that tell these ids apart.
    pub fn new<'a>(ids: impl IntoIterator<Item = &'a str>) -> Self {
        let ids: BTreeSet<&str> = ids.into_iter().collect();
        let longest = ids.iter().map(|id| id.chars().count()).max().unwrap_or_default();
        let tells_apart = |digits: &usize| {
            ids.iter().map(|id| end(id, *digits)).collect::<BTreeSet<_>>().len() == ids.len()
        };
        Self { digits: (DIGITS_MIN..longest).find(tells_apart).unwrap_or(longest) }
    }

    /// The short name of an id. One that is no longer than its short name would be stays as it is.
    pub fn of(&self, id: &str) -> String {
        let end = end(id, self.digits);
        if end.len() == id.len() { id.to_owned() } else { format!("…{end}") }
    }

    /// A text with every one of these ids in it made short.
    pub fn shorten<'a>(&self, text: &str, ids: impl IntoIterator<Item = &'a str>) -> String {
        ids.into_iter().fold(text.to_owned(), |text, id| text.replace(id, &self.of(id)))
    }
}

/// The last characters of an id.
fn end(id: &str, digits: usize) -> &str {
    let start = id.char_indices().rev().nth(digits.saturating_sub(1)).map_or(0, |(at, _)| at);
    &id[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_cut_to_what_tells_it_from_the_others() {
        for (ids, expected) in [
            (&["i-0a1b09", "i-0a1b10"][..], &["…09", "…10"][..]),
            (&["i-0a1b09", "i-0a2b09"], &["…1b09", "…2b09"]),
            (&["a", "aa", "ä-aa"], &["a", "aa", "…-aa"]),
            (&["i-0a1b09"], &["…09"]),
            (&["é", "ö"], &["é", "ö"]),
            (&[], &[]),
        ] {
            let short = ShortIds::new(ids.iter().copied());
            let names: Vec<_> = ids.iter().map(|id| short.of(id)).collect();
            assert_eq!(names, expected);
        }
    }

    #[test]
    fn ids_in_a_text_are_made_short() {
        let ids = ["i-0a1b09", "i-0a1b10"];
        let short = ShortIds::new(ids);
        assert_eq!(short.shorten("i-0a1b09 goes, i-0a1b10 stays", ids), "…09 goes, …10 stays");
    }
}
