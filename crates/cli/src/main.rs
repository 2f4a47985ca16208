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
        _ => run(&options, &caller)
            .await
            .and_then(|printed| print(&printed, options.color).map(|_| printed.failures)),
    };
    let failures = result.unwrap_or_else(|failure| vec![failure]);
    report(&failures);
    let exit_code = failures.iter().map(|failure| failure.exit_code).max();
    exit_code.map_or(process::ExitCode::SUCCESS, |code| process::ExitCode::from(code as u8))
}

/// The cursor to the first line, and erase the screen (ECMA-48, `CUP` and `ED`).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Draws the result of a command again and again, until somebody ends it, nobody reads it, or it
/// fails.
async fn watch(
    options: &Options,
    caller: &Caller<'_>,
    pause: Duration,
) -> Result<Vec<Failure>, Failure> {
    loop {
        let printed = run(options, caller).await?;
        if io::stdout().is_terminal() {
            // By itself: it is no colour, and is not left out where those are not wanted.
            write(&mut io::stdout(), CLEAR)?;
        }
        if print(&printed, options.color)? == Reader::Gone {
            return Ok(printed.failures);
        }
        report(&printed.failures);
        tokio::time::sleep(pause).await;
    }
}

/// Whether anybody reads the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    There,
    /// As under `| head`: it has seen enough.
    Gone,
}

/// Writes what was asked for.
fn print(printed: &Printed, color: ColorChoice) -> Result<Reader, Failure> {
    let choice = match color {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    };
    write(&mut AutoStream::new(io::stdout(), choice), &printed.text)
}

fn write(stdout: &mut dyn Write, text: &str) -> Result<Reader, Failure> {
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::failed(format!("the output cannot be written: {error}"))),
    }
}

/// Says what could not be done. Who closed the standard error output does not want to know.
fn report(failures: &[Failure]) {
    for failure in failures {
        let _ = writeln!(io::stderr(), "ebb: {}", failure.text);
    }
}
