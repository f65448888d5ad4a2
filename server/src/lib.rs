//! The server: the only process that opens Postgres.
//!
//! `db` remembers, `judge`, `picture` and the `bisect` crate decide, `tasks` move
//! things one step at a time, `api` and `web` talk to programs and people.

pub mod access;
pub mod answer;
pub mod api;
pub mod bisect_log;
mod campaign;
pub mod check;
mod confounders;
pub mod custom;
pub mod db;
pub mod difference;
pub mod diverge;
pub mod error;
mod exactness;
pub mod export;
mod forecast;
pub mod fstests;
mod functions;
pub mod git_http;
pub mod identity;
pub mod judge;
pub mod kconfig;
pub mod known;
pub mod ladder;
pub mod luck;
pub mod maintainers;
pub mod matrix;
pub mod oidc;
pub mod outgoing;
mod patchwork;
pub mod pg;
pub mod picture;
mod relevance;
pub mod repo;
pub mod report;
pub mod reproduce;
pub mod rule;
pub mod run;
pub mod scale;
pub mod search;
pub mod state;
pub mod status;
pub mod store;
pub mod suites;
pub mod survey;
pub mod tasks;
pub mod two_point;
pub mod view;
pub mod walk;
pub mod web;

pub use run::{ServerConfig, run};
