//! What the documents point to is there: files, headings, targets of make. And README stays short.

use std::fs;

use crate::documents::{read, repository};

/// Every document that people read, by its path in the repository.
fn documents() -> Vec<String> {
    let mut documents: Vec<_> = ["", "docs", "docs/decisions", "events", "infra"]
        .into_iter()
        .flat_map(|folder| {
            fs::read_dir(repository().join(folder)).unwrap().map(move |entry| (folder, entry))
        })
        .map(|(folder, entry)| format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy()))
        .map(|path| path.trim_start_matches('/').to_owned())
        .filter(|path| path.ends_with(".md"))
        .collect();
    documents.sort();
    documents
}

/// The document without its blocks of code.
fn prose(document: &str) -> String {
    read(document).split("```").step_by(2).collect()
}

/// Where the links and the pictures of a document point to within the repository.
fn links(document: &str) -> Vec<String> {
    let prose = prose(document);
    let targets = prose.split("](").skip(1).filter_map(|after| after.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).filter(|target| !target.contains("://")).collect()
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(document: &str) -> Vec<String> {
    let prose = prose(document);
    let headings = prose.lines().filter_map(|line| line.strip_prefix('#'));
    headings.map(|heading| anchor(heading.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

/// The path that a link in a document leads to, without `..`.
fn target_path(document: &str, path: &str) -> String {
    let mut parts: Vec<_> = document.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn every_link_leads_to_a_file_and_every_anchor_to_a_heading() {
    for document in documents() {
        for link in links(&document) {
            let (path, fragment) = link.split_once('#').unwrap_or((link.as_str(), ""));
            let target = match path {
                "" => document.clone(),
                path => target_path(&document, path),
            };
            assert!(repository().join(&target).exists(), "{document} links to {link}");
            let is_heading = || anchors(&target).iter().any(|anchor| anchor == fragment);
            assert!(fragment.is_empty() || is_heading(), "{document} links to {link}");
        }
    }
}

/// The size in bytes up to which a stranger reads README to the end.
const README_BYTES_MAX: usize = 8_192;

#[test]
fn the_readme_is_short() {
    let bytes = read("README.md").len();
    assert!(bytes <= README_BYTES_MAX, "README.md has {bytes} bytes");
}

/// The targets of make that a document names, in its prose and in its blocks of code.
fn make_targets(document: &str) -> Vec<String> {
    let (text, prose) = (read(document), prose(document));
    let blocks = text.split("```").skip(1).step_by(2).flat_map(str::lines);
    let codes = blocks.chain(prose.split('`').skip(1).step_by(2));
    let commands = codes.filter_map(|code| code.strip_prefix("make "));
    let targets = commands.filter_map(|command| command.split_whitespace().next());
    targets.map(str::to_owned).collect()
}

#[test]
fn every_command_that_a_document_names_is_a_target_of_make() {
    let makefile = read("Makefile");
    for document in documents() {
        for target in make_targets(&document) {
            let is_target = makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
            assert!(is_target, "{document} names `make {target}`");
        }
    }
}
