//! The file that a look at clusters is kept in, for bug reports, for what would be if, and to try
//! policies on. `docs/recordings.md` documents it.
//!
//! Its types are its own, in `format`, so that the planner's may change: what is between the two is
//! in `snapshot`, and taking names out in `anonymous`.

mod anonymous;
mod earlier;
mod format;
mod launchable;
mod replaceable;
mod snapshot;

use serde::Deserialize;

pub use self::anonymous::anonymize;
pub use self::format::{Recording, VERSION};
use crate::failure::Failure;

/// What every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Recording {
    /// Reads a recording, of this version or an earlier one.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn read(text: &str) -> Result<Self, Failure> {
        let unreadable = |error: serde_json::Error| {
            Failure::input(format!(
                "it is a recording of `ebb record`, but not a whole one: {error}"
            ))
        };
        let Versioned { version } = serde_json::from_str(text)
            .map_err(|_| Failure::input("it is no recording of `ebb record`"))?;
        match version {
            VERSION => serde_json::from_str(text).map_err(unreadable),
            1 => earlier::from_version_1(text).map_err(unreadable),
            _ => Err(Failure::input(format!(
                "it is of version {version}, and this `ebb` reads versions 1 to {VERSION}: take a \
                 newer `ebb`"
            ))),
        }
    }

    /// The recording as it is written, one cluster's instance a line too long for people: it is for
    /// programs.
    ///
    /// # Errors
    /// None that a value can cause: the members are texts and numbers.
    pub fn to_json(&self) -> Result<String, Failure> {
        serde_json::to_string_pretty(self)
            .map_err(|error| Failure::failed(format!("the recording cannot be written: {error}")))
    }
}
