//! Runs a seeded simulation: many seeds on all cores, and those that fail named, so that each can be
//! run again alone, and looked at.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

use jiff::SignedDuration;
use serde_json::Value;

use crate::demonstration::recording::run_between;
use crate::world::World;

/// Runs `simulate` for each seed. `SEED=n` in the environment runs that seed alone, `SEEDS=n` the
/// first n in place of the first `count`; seeds that are `kept`, as they failed once, run as well.
/// `SEEDS=n..m` runs those from n up to, and without, m alone: a part of a long run.
///
/// # Panics
/// If a seed fails, with every failing seed and what it says; or if a variable is no number.
#[expect(clippy::print_stdout, clippy::expect_used, reason = "a test's way to speak")]
pub fn run(count: u64, kept: &[u64], simulate: fn(u64) -> Result<(), String>) {
    let seeds: Vec<u64> = match (from_environment("SEED"), range_from_environment()) {
        (Some(seed), _) => vec![seed],
        (None, Some(range)) => range.collect(),
        (None, None) => {
            let first = from_environment("SEEDS").unwrap_or(count);
            kept.iter().copied().chain(0..first).collect()
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let failures: Vec<String> = thread::scope(|scope| {
        let started: Vec<_> = (0..threads)
            // Dealt out in turn, so that all threads have about as much to do.
            .map(|first| seeds.iter().copied().skip(first).step_by(threads))
            .map(|share| scope.spawn(move || failures_of(share, simulate)))
            .collect();
        started.into_iter().flat_map(|thread| thread.join().expect("no seed panics")).collect()
    });
    assert!(
        failures.is_empty(),
        "{} of {} seeds failed:\n{}",
        failures.len(),
        seeds.len(),
        failures.join("\n")
    );
    println!("{} seeds held", seeds.len());
}

/// Writes a page of what a seed's run made of a world, if `SEED` says which seed it is and `PAGES`
/// names a folder for it.
///
/// # Panics
/// If the page cannot be written.
#[expect(clippy::expect_used, reason = "a test's way to speak")]
pub fn write_page(simulation: &str, before: &World, after: &World) {
    let (Some(seed), Some(folder)) = (from_environment("SEED"), std::env::var_os("PAGES")) else {
        return;
    };
    let run = run_between(before, after, format!("Seed {seed} of {simulation}"));
    let file = Path::new(&folder).join(format!("seed-{seed}-{simulation}.html"));
    std::fs::write(file, ebb_page::run_page(&[run])).expect("PAGES is a folder");
}

/// Checks that people were not told the same twice within an hour over a topic, by notices in the
/// form of JSON: of one kind, with one title, about the same instances.
///
/// # Errors
/// If they were, or if a notice is not such JSON.
pub fn check_notices(world: &World, topic: &str) -> Result<(), String> {
    let mut last = BTreeMap::new();
    for sent in world.published.iter().filter(|sent| sent.topic_arn == topic) {
        let notice: Value =
            serde_json::from_str(&sent.message).map_err(|error| format!("{error}: {sent:?}"))?;
        let said = ["kind", "title", "instances"].map(|key| notice[key].to_string());
        if let Some(before) = last.insert(said, sent.time)
            && sent.time.duration_since(before) < SignedDuration::from_hours(1)
        {
            return Err(format!("people are told twice, at {before} and {}: {notice}", sent.time));
        }
    }
    Ok(())
}

#[expect(clippy::expect_used, reason = "a test's way to speak")]
fn range_from_environment() -> Option<std::ops::Range<u64>> {
    let seeds = std::env::var("SEEDS").ok()?;
    let (first, end) = seeds.split_once("..")?;
    let number = |text: &str| text.parse().expect("SEEDS is a number or a range of them");
    Some(number(first)..number(end))
}

#[expect(clippy::expect_used, reason = "a test's way to speak")]
fn from_environment(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("SEED and SEEDS are numbers"))
}

fn failures_of(
    seeds: impl Iterator<Item = u64>,
    simulate: fn(u64) -> Result<(), String>,
) -> Vec<String> {
    seeds
        .filter_map(|seed| simulate(seed).err().map(|broken| format!("seed {seed}: {broken}")))
        .collect()
}
