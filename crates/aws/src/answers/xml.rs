//! Whether an XML document is well-formed to its end and has the elements that it must have.
//!
//! Not the SDK's own decoder: that one makes do with a document that breaks off.

use xmlparser::{ElementEnd, Token, Tokenizer};

/// Answers nest about ten deep. What goes deeper is none, and is not read on.
const DEPTH_MAX: usize = 64;

/// What is wrong with a document that must be of the element `root` with the elements of `path` in
/// it, each within the one before, and with `texts` in each member of the last one.
pub(super) fn problem(body: &[u8], root: &str, path: &[&str], texts: &[&str]) -> Option<String> {
    let Ok(text) = std::str::from_utf8(body) else { return Some("it is no text".to_owned()) };
    Reading { root, path, texts, open: Vec::new(), path_depth: 0, member_texts: Vec::new() }
        .check(text)
        .err()
}

/// How far a document has been read.
struct Reading<'a> {
    root: &'a str,
    path: &'a [&'a str],
    texts: &'a [&'a str],
    /// The elements that are open, the root first.
    open: Vec<&'a str>,
    /// How many elements of the path have been found, the root included.
    path_depth: usize,
    /// Which texts the member that is being read has.
    member_texts: Vec<&'a str>,
}

impl<'a> Reading<'a> {
    fn check(mut self, document: &'a str) -> Result<(), String> {
        let mut name = "";
        for token in Tokenizer::from(document) {
            match token.map_err(|_| "it is no XML".to_owned())? {
                Token::ElementStart { local, .. } => {
                    name = local.as_str();
                    self.start(name)?;
                }
                Token::ElementEnd { end: ElementEnd::Empty, .. } => self.end(name)?,
                Token::ElementEnd { end: ElementEnd::Close(_, name), .. } => {
                    self.end(name.as_str())?;
                }
                Token::Text { text } if !text.as_str().trim().is_empty() => self.text(),
                _ => {}
            }
        }
        match self.path.get(self.path_depth.saturating_sub(1)) {
            _ if self.path_depth == 0 || !self.open.is_empty() => Err("it breaks off".to_owned()),
            Some(name) => Err(format!("it lacks {name}")),
            None => Ok(()),
        }
    }

    fn start(&mut self, name: &'a str) -> Result<(), String> {
        if self.open.is_empty() && (self.path_depth > 0 || name != self.root) {
            return Err(format!("it is a document of {name}"));
        }
        if self.open.len() == DEPTH_MAX {
            return Err(format!("it nests more than {DEPTH_MAX} deep"));
        }
        self.open.push(name);
        if self.open.len() == self.path_depth + 1 && self.is_on_path(self.path_depth) {
            self.path_depth += 1;
        } else if self.is_in_list(1) {
            self.member_texts.clear();
        }
        Ok(())
    }

    /// A text is one of a member's if its element stands right in the member.
    fn text(&mut self) {
        if self.is_in_list(2) {
            self.member_texts.extend(self.open.last());
        }
    }

    fn end(&mut self, name: &str) -> Result<(), String> {
        if self.is_in_list(1)
            && let Some(text) = self.texts.iter().find(|text| !self.member_texts.contains(text))
        {
            return Err(format!("an item of its {} lacks {text}", self.list()));
        }
        if self.open.pop() == Some(name) {
            Ok(())
        } else {
            Err(format!("its {name} ends where it may not"))
        }
    }

    /// Whether the element that is open is this many levels below the list.
    fn is_in_list(&self, levels: usize) -> bool {
        self.open.len() == self.path.len() + 1 + levels && self.is_on_path(self.path.len())
    }

    /// Whether what is open begins with the root and the first elements of the path, as many as are
    /// asked for. `false` if it has fewer.
    fn is_on_path(&self, len: usize) -> bool {
        let path = self.path.get(..len);
        path.is_some_and(|path| self.open.iter().skip(1).take(len).eq(path))
    }

    fn list(&self) -> &str {
        self.path.last().copied().unwrap_or(self.root)
    }
}
