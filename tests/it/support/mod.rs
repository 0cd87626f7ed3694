//! Starts the program and speaks to it.

pub(crate) mod books;
mod cli;
mod client;
mod engines;
mod pages;
pub(crate) mod postgres;
pub(crate) mod preload;
mod process;
pub(crate) mod raw;
mod scrape;
mod seccomp;
mod server;
mod signer;
mod stores;
mod wait;
mod world;

pub(crate) use cli::{BAD_CONFIGURATION, PASSWORD, Ran, add_user, run, run_command};
pub(crate) use client::{Answer, Api, Request, assert_members, assert_uuid_v7, euros, time_of, with};
pub(crate) use engines::on_both_engines;
pub(crate) use pages::{pages, whole_list};
pub(crate) use process::Process;
pub(crate) use scrape::Scrape;
pub(crate) use seccomp::forbid_rings;
pub(crate) use server::{Server, activated_command, ledger_command, variable};
pub(crate) use signer::Signer;
pub(crate) use stores::{Store, on_both_stores};
pub(crate) use wait::{SetsAtEnd, wait_until};
pub(crate) use world::{FUNDS, LAST_SEQ, World, act, assert_replays, new_data, path_of};
