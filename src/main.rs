//! Guardian sees whether a Moltbot gateway (Clawdbot, Moltbot, OpenClaw) is exposed.

mod age;
mod at_rest;
mod barrier;
mod breaker;
mod bulkhead;
mod cli;
mod config;
#[cfg(test)]
mod contract;
mod control;
mod doubt;
mod drill;
mod enforce;
mod exit;
mod exposition;
mod gate;
mod install;
mod journal;
mod lease;
mod lock;
mod memory;
mod metrics;
mod notify;
mod page;
mod powers;
mod report;
mod review;
mod round;
mod status;
mod supervise;
mod sys;
mod trip;
mod undo;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    exit::code(cli::run())
}
