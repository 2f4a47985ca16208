//! Wiring: options, one command, its output and the exit code.

use std::io::{self, IsTerminal, Write};
use std::process;
use std::time::Duration;

use anstream::AutoStream;
use clap::{ColorChoice, Parser};
use ebb::failure::Failure;
use ebb::options::{Command, DrainsOptions, Options};
use ebb::progress::Progress;
use ebb::{Caller, Printed, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> process::ExitCode {
    let options = Options::parse();
    ebb_aws::init_warnings();
    let caller = Caller {
        environment: &|variable| std::env::var(variable).ok(),
        account: None,
        progress: Progress { is_shown: io::stderr().is_terminal() },
    };
    let result = match &options.command {
        Command::Drains(DrainsOptions { watch: Some(seconds), .. }) => {
            watch(&options, &caller, Duration::from_secs(*seconds)).await
        }
        _ => run(&options, &caller).await.and_then(|printed| print(&printed, options.color)),
    };
    let failures = result.unwrap_or_else(|failure| vec![failure]);
    for failure in &failures {
        // Who closed the standard error output does not want to know.
        let _ = writeln!(io::stderr(), "ebb: {}", failure.text);
    }
    let exit_code = failures.iter().map(|failure| failure.exit_code).max();
    exit_code.map_or(process::ExitCode::SUCCESS, |code| process::ExitCode::from(code as u8))
}

/// The cursor to the first line, and erase the screen (ECMA-48, `CUP` and `ED`).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Draws the result of a command again and again, until somebody ends it, or it fails.
async fn watch(
    options: &Options,
    caller: &Caller<'_>,
    pause: Duration,
) -> Result<Vec<Failure>, Failure> {
    loop {
        let printed = run(options, caller).await?;
        let clear = if io::stdout().is_terminal() { CLEAR } else { "" };
        let text = format!("{clear}{}", printed.text);
        for failure in print(&Printed { text, ..printed }, options.color)? {
            let _ = writeln!(io::stderr(), "ebb: {}", failure.text);
        }
        tokio::time::sleep(pause).await;
    }
}

/// Writes what was asked for, and returns what could not be done.
fn print(printed: &Printed, color: ColorChoice) -> Result<Vec<Failure>, Failure> {
    let choice = match color {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    };
    let mut stdout = AutoStream::new(io::stdout(), choice);
    match stdout.write_all(printed.text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(printed.failures.clone()),
        // As under `| head`: it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(printed.failures.clone()),
        Err(error) => Err(Failure::failed(format!("the output cannot be written: {error}"))),
    }
}
