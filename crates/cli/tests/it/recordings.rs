//! Recordings: what is written, and what is read of this and of earlier versions.
