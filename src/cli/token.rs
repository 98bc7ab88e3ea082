//! `guardian token`: credentials for programs that go through the gate.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::allow::until;
use super::{Failure, Folders, answer, answer_json};
use crate::config::Config;
use crate::exit;
use crate::gate::token::{Token, Tokens};
use crate::gate::{setup, tls};
use crate::page::printable;
use crate::status::page::second;

/// The options of `guardian token`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a token; it is printed once
    New {
        /// What it is for
        name: String,
        /// When it ends: `2026-12-31T00:00:00Z`, or a length of time from now, such as `2h` or `30d`
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Answer with JSON
        #[arg(long)]
        json: bool,
    },
    /// List the tokens, without their secrets
    List {
        /// Answer with JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a token back; what was opened with it ends within two seconds
    Revoke {
        /// Which
        name: String,
    },
}

#[derive(Serialize)]
struct New<'a> {
    name: &'a str,
    token: &'a str,
    expires: Option<Timestamp>,
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    created: Timestamp,
    expires: Option<Timestamp>,
}

pub(super) fn run(arguments: &Arguments, named: Option<&Path>, folders: &Folders) -> Result<u8, Failure> {
    let paths = folders.of_a_gate("token")?;
    let file = paths.gate_tokens();
    let now = Timestamp::now();
    match &arguments.what {
        What::New { name, expires, json } => {
            let expires = expires.as_deref().map(|text| until(text, now)).transpose()?;
            paths.prepare_gate()?;
            let mut tokens = Tokens::read(&file)?;
            let token = tokens.add(name, now, expires)?;
            tokens.write(&file)?;
            if *json {
                answer_json(&New { name, token: &token, expires })?;
            } else {
                tell(&format!(
                    "The token of {}, {}. It is shown this once:",
                    printable(name),
                    ends(expires, now)
                ));
                answer(&format!("{token}\n"))?;
                // A policy that cannot be read takes nothing from the token.
                tell(&usage(Config::load(named).ok().as_ref(), &tls::made(&paths.gate())));
            }
        }
        What::List { json } => {
            let tokens = Tokens::read(&file)?;
            if *json {
                let listed: Vec<Listed<'_>> = tokens.list().iter().map(Listed::from).collect();
                answer_json(&listed)?;
            } else {
                answer(&listing(tokens.list(), now))?;
            }
        }
        What::Revoke { name } => {
            let mut tokens = Tokens::read(&file)?;
            tokens.revoke(name)?;
            tokens.write(&file)?;
            answer(&format!("{} opens nothing any more.\n", printable(name)))?;
        }
    }
    Ok(exit::OK)
}

impl<'a> From<&'a Token> for Listed<'a> {
    fn from(token: &'a Token) -> Self {
        Self { name: &token.name, created: token.created, expires: token.expires }
    }
}

/// Says something to a person beside the answer, which is for programs too.
fn tell(text: &str) {
    // The token is on its way all the same.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// How a program sends it. curl reads the field from its input, for everybody can read a program's arguments, and what
/// the shell has put into them; `printf` is the shell's own.
fn usage(config: Option<&Config>, made: &Path) -> String {
    let mut text = String::from(
        "\nA program sends it with every request: `Guardian-Token: gdn_…`, which leaves `Authorization` to the gateway's\n\
         own token; or `Authorization: Bearer gdn_…`.",
    );
    if let Some(address) = config.and_then(setup::address) {
        let own =
            config.and_then(|it| it.settings.gate.tls.as_ref()).is_some_and(|it| it.certificate.is_none());
        // A client that trusts anybody would show the token to anybody.
        let trust = if own {
            format!("--cacert '{}' ", printable(&made.display().to_string()))
        } else {
            String::new()
        };
        // Writing into a string cannot fail.
        let _ = write!(
            text,
            " To try it, with the token in TOKEN:\n  \
             printf 'Guardian-Token: %s\\n' \"$TOKEN\" | curl -i {trust}-H @- {address}/"
        );
    }
    text
}

fn ends(expires: Option<Timestamp>, now: Timestamp) -> String {
    match expires {
        None => "no end".to_owned(),
        Some(end) if end > now => format!("until {}", second(end)),
        Some(end) => format!("ended {}", second(end)),
    }
}

fn listing(tokens: &[Token], now: Timestamp) -> String {
    if tokens.is_empty() {
        return "There are no tokens.\n".to_owned();
    }
    let mut text = String::new();
    for token in tokens {
        let end = ends(token.expires, now);
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{}  made {}, {end}", printable(&token.name), second(token.created));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_token_is_sent_is_said_with_the_address_of_this_gate() {
        let made = Path::new("/var/lib/guardian/gate/certificate.pem");
        let of = |text: &str| usage(Some(&Config::of_text("guardian.toml".as_ref(), text).unwrap()), made);
        let plain = of("");
        for part in [
            "`Guardian-Token: gdn_…`",
            "`Authorization: Bearer gdn_…`",
            "printf 'Guardian-Token: %s\\n' \"$TOKEN\" | curl -i -H @- http://localhost:18700/",
        ] {
            assert!(plain.contains(part), "{part}: {plain}");
        }
        let moved = of("[gate]\nlisten = [\"100.64.7.7:8443\"]\nhosts = [\"box.ts.net\"]\n[gate.tls]\n");
        assert!(
            moved.contains("curl -i --cacert '/var/lib/guardian/gate/certificate.pem' -H")
                && moved.ends_with(" https://box.ts.net:8443/"),
            "{moved}"
        );
        assert!(!usage(None, made).contains("curl"), "of a policy that cannot be read nothing is known");
    }
}
