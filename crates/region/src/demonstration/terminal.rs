//! How the demonstration looks on a terminal: within 80 columns, in colour if somebody watches.
#![expect(clippy::print_stdout, reason = "for people")]

use std::io::IsTerminal;

use textwrap::Options;

use crate::demonstration::story::{Actor, Line};

/// The columns that a terminal has at least.
const COLUMNS: usize = 80;

/// Prints the story.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    colour: bool,
}

/// ANSI's escape sequences (ECMA-48, Select Graphic Rendition).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Bold,
    Dim,
    Red,
    Yellow,
    Cyan,
}

impl Style {
    fn start(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Red => "\x1b[1;31m",
            Self::Yellow => "\x1b[33m",
            Self::Cyan => "\x1b[36m",
        }
    }
}

impl Terminal {
    /// In colour on a terminal that knows colours, unless `NO_COLOR` is set (no-color.org).
    pub fn of_output() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { colour: std::io::stdout().is_terminal() && !no_color && !is_dumb }
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.colour && style != Style::Plain {
            format!("{}{text}\x1b[0m", style.start())
        } else {
            text.to_owned()
        }
    }

    /// A paragraph of its own.
    pub fn paragraph(self, text: &str) {
        println!("{}", wrapped(text, 1, 1));
    }

    /// The heading of an act.
    pub fn act(self, number: usize, title: &str) {
        println!("\n{}\n", self.paint(Style::Bold, &format!(" {number}  {title}")));
    }

    /// A line of the story.
    pub fn line(self, clock: &str, line: &Line) {
        let (actor, style) = match line.actor {
            _ if line.is_bad => (line.actor.word(), Style::Red),
            Actor::Aws => (line.actor.word(), Style::Yellow),
            Actor::Ebb => (line.actor.word(), Style::Cyan),
            Actor::Task => (line.actor.word(), Style::Plain),
            Actor::Person => (line.actor.word(), Style::Bold),
        };
        let text = self.paint(style, &format!("{actor:3}  {}", line.text));
        println!("    {}  {text}", self.paint(Style::Dim, clock));
    }

    /// A longer text, such as a plan or a notice: a label, and the text beside it, line by line.
    pub fn text(self, clock: &str, label: &str, text: &str) {
        let mut lead = format!("    {clock}  {label}  ");
        let columns = lead.chars().count();
        for line in text.lines() {
            let depth = line.len() - line.trim_start().len();
            // The lead is as wide in every line; what wraps goes two columns deeper.
            let body = wrapped(line.trim_start(), columns + depth, columns + depth + 2);
            let body: String = body.chars().skip(columns).collect();
            println!("{}{body}", self.paint(Style::Dim, &lead));
            lead = " ".repeat(columns);
        }
    }

    /// What came of it: `label` is "Result" or "Next".
    pub fn result(self, label: &str, text: &str, is_bad: bool) {
        let style = if is_bad { Style::Red } else { Style::Bold };
        let mut label = format!(" {label:6}");
        for line in text.lines() {
            let body = wrapped(line, 9, 9);
            let body = body.trim_start();
            println!("{}  {}", self.paint(Style::Bold, &label), self.paint(style, body));
            label = " ".repeat(7);
        }
    }
}

/// Wraps a text at the terminal's width, with so many blanks before its first line and its others.
fn wrapped(text: &str, first: usize, others: usize) -> String {
    let (first, others) = (" ".repeat(first), " ".repeat(others));
    let options = Options::new(COLUMNS).initial_indent(&first).subsequent_indent(&others);
    textwrap::fill(text, options)
}
