//! `guardian gate totp`: a code of an authenticator app beside the passphrase.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use clap::Subcommand;
use jiff::Timestamp;
use qrcodegen::{QrCode, QrCodeEcc};
use serde_json::json;

use super::line_of;
use crate::cli::{Failure, answer, answer_json};
use crate::exit;
use crate::gate::totp::{Kept, Secret, Step};
use crate::sys::durable;
use crate::sys::paths::Paths;

/// Codes that may be typed until one is right.
const TRIES: usize = 3;
/// A clock that is further away than this is not right, in seconds.
const OFF: i64 = 30;

/// What is to be done about it.
#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Make a secret for an app, and ask for codes once it has shown a right one
    On,
    /// Ask for no more codes; whoever is signed in is signed out
    Off,
    /// Say whether codes are asked for
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(what: &What, paths: &Paths) -> Result<u8, Failure> {
    match what {
        What::On => on(paths),
        What::Off => off(&paths.gate_totp()),
        What::Status { json } => status(&paths.gate_totp(), *json),
    }
}

fn on(paths: &Paths) -> Result<u8, Failure> {
    if !paths.gate_passphrase().exists() {
        return Err(Failure::Refused(
            "a code goes with a passphrase, and none is set; first type: guardian gate passphrase".to_owned(),
        ));
    }
    let secret = Secret::fresh().map_err(|failed| Failure::Totp(failed.into()))?;
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
    let uri = secret.uri(&host);
    if io::stdout().is_terminal()
        && let Some(picture) = picture(&uri)
    {
        answer(&picture)?;
    }
    answer(&format!(
        "Take the picture with an authenticator app, or type the secret into it. Nobody can show it again.\n\n  \
         {uri}\n  secret: {}\n\n",
        secret.base32()
    ))?;
    let step = confirmed(&secret)?;
    paths.prepare_gate()?;
    Kept::new(secret, step).write(&paths.gate_totp())?;
    answer(
        "From now on whoever signs in is asked for a code too, and whoever was signed in is signed out. The code \
         just typed is used up: wait for the next.\nIf the app is lost: guardian gate totp off, on this machine.\n",
    )?;
    Ok(exit::OK)
}

/// The step whose code a person types. Nothing is asked for until it was right once: a secret that went
/// wrong on its way into the app must not lock anybody out.
fn confirmed(secret: &Secret) -> Result<Step, Failure> {
    let mut input = io::stdin().lock();
    for _ in 0..TRIES {
        let mut told = io::stderr().lock();
        write!(told, "The code that the app shows: ").and_then(|()| told.flush())?;
        let line = line_of(&mut input)?;
        if line.is_empty() {
            break;
        }
        let now = Step::at(Timestamp::now());
        match (secret.step_of(&line, now), secret.ahead(&line, now)) {
            (Some(step), _) => return Ok(step),
            (None, Some(ahead)) if ahead.abs() > OFF => {
                let side = if ahead > 0 { "behind" } else { "ahead of" };
                writeln!(
                    told,
                    "This machine's clock is about {} seconds {side} the app's: set it right first.",
                    ahead.abs()
                )?;
            }
            _ => writeln!(told, "That is not it.")?,
        }
    }
    Err(Failure::Refused("no right code was typed, so everything is as it was".to_owned()))
}

fn off(file: &Path) -> Result<u8, Failure> {
    // What is there need not make sense to be taken away.
    let was_on = file.exists();
    durable::remove(file).map_err(Failure::Unwritten)?;
    answer(if was_on {
        "Codes are not asked for any more. Whoever was signed in is signed out.\n"
    } else {
        "Codes were not asked for.\n"
    })?;
    Ok(exit::OK)
}

fn status(file: &Path, json: bool) -> Result<u8, Failure> {
    let on = Kept::read(file)?.is_some();
    if json {
        answer_json(&json!({ "schema": 1, "totp": on }))?;
    } else {
        answer(if on {
            "On: the gate asks for the passphrase and a code.\n"
        } else {
            "Off: the gate asks for the passphrase alone. To ask for a code too: guardian gate totp on\n"
        })?;
    }
    Ok(exit::OK)
}

/// The URI as a picture of half blocks, light on dark and dark on light alike: its own background is in it.
fn picture(uri: &str) -> Option<String> {
    const QUIET: i32 = 2;
    let code = QrCode::encode_text(uri, QrCodeEcc::Low).ok()?;
    let mut picture = String::new();
    let across = || -QUIET..code.size() + QUIET;
    for y in across().step_by(2) {
        picture.push_str("\x1b[30;107m");
        for x in across() {
            picture.push(match (code.get_module(x, y), code.get_module(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        picture.push_str("\x1b[0m\n");
    }
    picture.push('\n');
    Some(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_fits_into_a_terminal() {
        let uri = Secret::fresh().unwrap().uri("a-host-with-a-name-as-long-as-they-are");
        let picture = picture(&uri).unwrap();
        let lines: Vec<&str> = picture.lines().filter(|line| !line.is_empty()).collect();
        let wide = lines[0].trim_start_matches("\x1b[30;107m").trim_end_matches("\x1b[0m").chars().count();
        assert!(wide <= 60 && lines.len() <= 30, "{wide} by {}", lines.len());
    }

    /// What a camera sees of a terminal: cells that are twice as high as they are wide, white where the
    /// picture's own background is.
    #[test]
    fn the_picture_is_read_as_the_very_uri() {
        const MODULE: usize = 6;
        let uri = Secret::fresh().unwrap().uri("a-host");
        let picture = picture(&uri).unwrap();
        let lines: Vec<Vec<char>> = picture
            .lines()
            .filter_map(|line| line.strip_prefix("\x1b[30;107m")?.strip_suffix("\x1b[0m"))
            .map(|line| line.chars().collect())
            .collect();
        let is_dark = |x: usize, y: usize| match lines[y / 2][x] {
            '█' => true,
            '▀' => y.is_multiple_of(2),
            '▄' => !y.is_multiple_of(2),
            _ => false,
        };
        let (wide, high) = (lines[0].len() * MODULE, lines.len() * 2 * MODULE);
        let mut seen = rqrr::PreparedImage::prepare_from_greyscale(wide, high, |x, y| {
            if is_dark(x / MODULE, y / MODULE) { 0 } else { 255 }
        });
        let codes = seen.detect_grids();
        assert_eq!(codes.len(), 1);
        assert_eq!(codes[0].decode().unwrap().1, uri);
    }
}
