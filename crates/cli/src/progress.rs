//! What is being waited for, as a line on the terminal that goes away again.

use std::io::{Write, stderr};
use std::time::Duration;

use tokio::time::{Instant, interval};

/// What takes no longer than this needs no line.
const APPEARS_AFTER: Duration = Duration::from_millis(500);
/// How often the line is drawn anew.
const REDRAWN_EVERY: Duration = Duration::from_millis(500);
/// Back to the beginning of the line, and erase it (ECMA-48, `EL`).
const ERASE: &str = "\r\x1b[2K";

/// Says on the standard error output what is being waited for, and for how long already.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Whether anybody sees it: the standard error output is a terminal.
    pub is_shown: bool,
}

impl Progress {
    /// Waits for something.
    pub async fn during<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        if !self.is_shown {
            return work.await;
        }
        let begun = Instant::now();
        let mut ticks = interval(REDRAWN_EVERY);
        let mut work = std::pin::pin!(work);
        let done = loop {
            tokio::select! {
                biased;
                done = &mut work => break done,
                _ = ticks.tick() => {
                    if begun.elapsed() >= APPEARS_AFTER {
                        draw(&format!("{ERASE}{what}, {} s", begun.elapsed().as_secs()));
                    }
                }
            }
        };
        draw(ERASE);
        done
    }
}

/// A terminal that is gone does not stop the work.
fn draw(text: &str) {
    let mut terminal = stderr().lock();
    let _ = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
}
