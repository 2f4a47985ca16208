//! The command line of `ebb-region`: its options, their defaults, and the text that explains them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use lexopt::prelude::*;

const PORT: &str = "a port, from 0 to 65535";

pub(crate) const HELP: &str = "\
A simulated AWS Region with an ECS cluster, to try Ebb in. It serves ECS, EC2 Auto Scaling and SNS
on 127.0.0.1.

Usage: ebb-region COMMAND [OPTION...]

Commands:
  serve  Serve the cluster of a shop until Ctrl-C
  demo   Play a Spot interruption, a scale-in and sweeps on it, with the functions that
         `cargo lambda watch` serves, tell what happens, and fail if a task was cut off

Options:
      --port PORT      The port that AWS is served on, 0 for any free one (default: 4599)
      --lambda PORT    The port that `cargo lambda watch` serves the functions on (default: 9000)
      --speed N        How many times as fast as the clock the Region's time runs
                       (default: 1; demo: 20; without Ebb: 60)
      --seed N         The seed of what happens by chance (default: 1)
      --without-hooks  Let the groups terminate their instances at once, without lifecycle hooks
      --without-ebb    Play the same story without Ebb, and show what is lost (demo only)
      --page FILE      Write a page of what happened to this file (demo only)
      --idle           Serve a cluster with far more room than it needs (serve only)
  -h, --help           Show this text
  -V, --version        Show the version";

/// What the command line asks for.
pub(crate) enum Request {
    Run(Arguments),
    Help,
    Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Serve,
    Demo,
}

pub(crate) struct Arguments {
    pub(crate) command: Command,
    pub(crate) port: u16,
    pub(crate) lambda_port: u16,
    pub(crate) speed: f64,
    pub(crate) seed: u64,
    pub(crate) hooks: bool,
    pub(crate) idle: bool,
    pub(crate) ebb: bool,
    pub(crate) page: Option<PathBuf>,
}

/// Reads the command line of this process. An error is a sentence for whoever typed it.
pub(crate) fn request() -> Result<Request, String> {
    let mut parser = lexopt::Parser::from_env();
    let (mut command, mut speed) = (None, None);
    let (mut port, mut lambda_port, mut seed) = (4599, 9000, 1);
    let (mut hooks, mut idle, mut ebb, mut page) = (true, false, true, None);
    while let Some(argument) = parser.next().map_err(sentence)? {
        match argument {
            Short('h') | Long("help") => return Ok(Request::Help),
            Short('V') | Long("version") => return Ok(Request::Version),
            Long("port") => port = number(&mut parser, "--port", PORT)?,
            Long("lambda") => lambda_port = number(&mut parser, "--lambda", PORT)?,
            Long("speed") => speed = Some(positive_number(&mut parser, "--speed")?),
            Long("seed") => seed = number(&mut parser, "--seed", "a whole number from 0")?,
            Long("without-hooks") => hooks = false,
            Long("idle") => idle = true,
            Long("without-ebb") => ebb = false,
            Long("page") => page = Some(parser.value().map_err(sentence)?.into()),
            Value(word) if command.is_none() => command = Some(named_command(&word)?),
            _ => return Err(sentence(argument.unexpected())),
        }
    }
    let command = command.ok_or("a command is missing: serve or demo")?;
    // The demonstration names instances of the shop's cluster, so it would not play on another.
    if idle && command == Command::Demo {
        return Err("--idle is for serve only: demo plays on the ordinary cluster".to_owned());
    }
    if command == Command::Serve && (!ebb || page.is_some()) {
        return Err("--without-ebb and --page are for demo only".to_owned());
    }
    let speed = speed.unwrap_or(match (command, ebb) {
        (Command::Serve, _) => 1.0,
        (Command::Demo, true) => 20.0,
        // Nobody's functions have to keep up.
        (Command::Demo, false) => 60.0,
    });
    Ok(Request::Run(Arguments { command, port, lambda_port, speed, seed, hooks, idle, ebb, page }))
}

fn named_command(word: &OsString) -> Result<Command, String> {
    match word.to_str() {
        Some("serve") => Ok(Command::Serve),
        Some("demo") => Ok(Command::Demo),
        _ => Err(format!("there is no command {word:?}: serve and demo are the two")),
    }
}

/// The value of an option, which lexopt's own errors do not name.
fn number<T: FromStr>(
    parser: &mut lexopt::Parser,
    option: &str,
    expected: &str,
) -> Result<T, String> {
    let value = parser.value().map_err(sentence)?;
    let number = value.to_str().and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("{option} takes {expected}, not {value:?}"))
}

fn positive_number(parser: &mut lexopt::Parser, option: &str) -> Result<f64, String> {
    let expected = "a number above 0";
    let value: f64 = number(parser, option, expected)?;
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(format!("{option} takes {expected}, not {value}"))
    }
}

fn sentence(error: lexopt::Error) -> String {
    error.to_string()
}
