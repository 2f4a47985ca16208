//! The longer demonstration: what operators may rule, played on a simulated Region by the functions
//! themselves, in virtual time, so that days take seconds. `make demo STORY=rules` runs it.
//!
//! Each chapter has a Region of its own, and ends with what came of it. The program fails if a task
//! was cut off or a rule was broken.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod chapter;
mod fallback;
mod night;
mod replacement;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ebb_page::run_page;
use ebb_region::demonstration::terminal::Terminal;

use crate::chapter::Chapter;

#[derive(Parser)]
struct Options {
    /// Write a page of what happened to this file.
    #[arg(long)]
    page: Option<PathBuf>,
    /// The seed of what happens by chance.
    #[arg(long, default_value_t = 3)]
    seed: u64,
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> ExitCode {
    match play(&Options::parse()).await {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("The story ended early: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn play(options: &Options) -> Result<ExitCode, String> {
    let terminal = Terminal::of_output();
    terminal.paragraph(
        "A simulated Region, and Ebb's functions in this process. Its clock is that of a wall in \
         Berlin; nobody waits for it.",
    );
    let mut chapters = vec![night::play(options.seed).await?];
    chapters.push(replacement::play(options.seed).await?);
    chapters.push(fallback::play(options.seed).await?);

    println!();
    let is_bad = chapters.iter().any(Chapter::is_bad);
    let results: Vec<_> = chapters.iter().map(Chapter::result).collect();
    terminal.result("Result", &results.join("\n"), is_bad);
    let mut next = String::new();
    if let Some(file) = &options.page {
        let runs: Vec<_> = chapters.into_iter().map(Chapter::into_run).collect();
        let shown = file.display();
        std::fs::write(file, run_page(&runs)).map_err(|error| format!("{shown}: {error}"))?;
        next = format!("{shown}  what happened, to look at in a browser\n");
    }
    next.push_str("docs/configuration.md  each setting\ndocs/runbook.md        how to stop it");
    terminal.result("Next", &next, false);
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
