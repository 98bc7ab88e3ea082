//! Guardian sees whether a Moltbot gateway (Clawdbot, Moltbot, OpenClaw) is exposed.

mod age;
mod cli;
mod config;
mod exit;
mod page;
mod report;
mod round;

use std::process::ExitCode;

fn main() -> ExitCode {
    exit::code(cli::run())
}
