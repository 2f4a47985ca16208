//! Whether an XML document is well-formed to its end and has the elements that it must have.
//!
//! Not the SDK's own decoder: that one makes do with a document that breaks off.

use xmlparser::{ElementEnd, Token, Tokenizer};

/// Answers nest about ten deep. What goes deeper is none, and is not read on.
const DEPTH_MAX: usize = 64;

/// What is wrong with a document that must be of the element `root` with the elements of `path` in
/// it, each within the one before.
pub(super) fn problem(body: &[u8], root: &str, path: &[&str]) -> Option<String> {
    let Ok(text) = std::str::from_utf8(body) else { return Some("it is no text".to_owned()) };
    check(text, root, path).err()
}

fn check(text: &str, root: &str, path: &[&str]) -> Result<(), String> {
    // The elements that are open, and how many of the path have been found.
    let (mut open, mut found): (Vec<&str>, usize) = (Vec::new(), 0);
    let mut started = "";
    let mut has_root = false;
    for token in Tokenizer::from(text) {
        match token.map_err(|_| "it is no XML".to_owned())? {
            Token::ElementStart { local, .. } => {
                started = local.as_str();
                if open.is_empty() && (has_root || started != root) {
                    return Err(format!("it is a document of {started}"));
                }
                has_root = true;
                let is_next = path.get(found).is_some_and(|name| *name == started);
                if is_next && open.len() == found + 1 && open.iter().skip(1).eq(&path[..found]) {
                    found += 1;
                }
            }
            Token::ElementEnd { end, .. } => match end {
                ElementEnd::Open if open.len() == DEPTH_MAX => {
                    return Err(format!("it nests more than {DEPTH_MAX} deep"));
                }
                ElementEnd::Open => open.push(started),
                ElementEnd::Close(_, name) => {
                    let closed = open.pop();
                    if closed != Some(name.as_str()) {
                        return Err(format!("its {name} ends where it may not"));
                    }
                }
                ElementEnd::Empty => {}
            },
            _ => {}
        }
    }
    match path.get(found) {
        _ if !has_root || !open.is_empty() => Err("it breaks off".to_owned()),
        Some(name) => Err(format!("it lacks {name}")),
        None => Ok(()),
    }
}
