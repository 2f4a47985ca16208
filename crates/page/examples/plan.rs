//! Prints the page of the made-up cluster of the tests: `make pictures` takes a picture of it.
#![expect(clippy::unwrap_used, reason = "made-up names that are right")]
#![expect(clippy::print_stdout, reason = "what it is for")]

#[path = "../tests/it/samples.rs"]
mod samples;

fn main() {
    println!("{}", samples::page_of(&samples::inventory()));
}
