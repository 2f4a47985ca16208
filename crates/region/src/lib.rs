#![doc = include_str!("../README.md")]

pub mod clock;
mod connections;
mod control;
pub mod demonstration;
mod endless_body;
pub mod event_log;
pub mod fault;
mod http_client;
pub mod in_process;
pub mod invoke_api;
pub mod lambda;
pub mod matrix;
mod region;
mod request_log;
pub mod seeds;
pub mod server;
pub mod trial;
pub mod wire;
pub mod world;
mod world_view;

pub use demonstration::scenario;
pub use http_client::RegionHttpClient;
pub use region::{Region, RunEnd};
