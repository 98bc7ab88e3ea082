//! What a tunnel said of what it publishes.

use std::net::SocketAddr;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::{Access, Audience, Guest, Publication, Tunnel, TunnelKind};

/// Publications of one tunnel; more are unknown.
const MAX_PUBLICATIONS: usize = 1024;

/// Characters kept of a public address.
const MAX_TEXT: usize = 120;

/// What is known to be published, and why there may be more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Known to be published.
    pub publications: Vec<Publication>,
    /// Why this may not be all.
    pub unclear: Option<Blindness>,
}

impl Told {
    /// Nothing is known.
    #[must_use]
    pub fn unknown(why: Blindness) -> Self {
        Self { publications: Vec::new(), unclear: Some(why) }
    }

    /// One more publication.
    pub(super) fn publish(&mut self, path: &str, audience: Audience, public: &str, to_port: u16) {
        if self.publications.len() >= MAX_PUBLICATIONS {
            self.doubt(Blindness::new(
                Cause::TooMuch,
                format!("it publishes more than {MAX_PUBLICATIONS} ports"),
            ));
            return;
        }
        let public = shown(public);
        self.publications.push(Publication { path: path.to_owned(), audience, public, to_port, guest: None });
    }

    /// One more publication, of a guest of this host. What is there is asked later.
    pub(super) fn publish_guest(&mut self, path: &str, audience: Audience, public: &str, at: SocketAddr) {
        let before = self.publications.len();
        self.publish(path, audience, public, at.port());
        if let Some(publication) = self.publications.get_mut(before) {
            publication.guest = Some(Guest { at, access: Access::Unknown(Blindness::never_ran()) });
        }
    }

    /// It may publish more. The first reason stands.
    pub(super) fn doubt(&mut self, why: Blindness) {
        self.unclear.get_or_insert(why);
    }

    /// What two answers of the same tunnel say together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        let new: Vec<Publication> =
            other.publications.into_iter().filter(|it| !self.publications.contains(it)).collect();
        self.publications.extend(new);
        self.unclear = self.unclear.or(other.unclear);
        self
    }

    /// The facts: what is known accuses, whatever else is not known.
    #[must_use]
    pub fn facts(self, pid: u32, program: &str, kind: TunnelKind) -> Vec<Tunnel> {
        let fact = |publishes| Tunnel { pid, program: program.to_owned(), kind, publishes };
        let known =
            (!self.publications.is_empty() || self.unclear.is_none()).then_some(Ok(self.publications));
        known.into_iter().chain(self.unclear.map(Err)).map(fact).collect()
    }
}

/// What a tunnel says of an address, as a report may show it: visible ASCII, so that nothing in it
/// reads as a sentence, and short.
fn shown(text: &str) -> String {
    text.chars().take(MAX_TEXT).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publishing(port: u16) -> Told {
        let mut told = Told::default();
        told.publish("ngrok", Audience::Internet, "https://x.example", port);
        told
    }

    #[test]
    fn what_is_known_and_what_is_not_are_two_facts() {
        let facts = |told: Told| -> Vec<_> {
            told.facts(7, "ngrok", TunnelKind::Public).into_iter().map(|fact| fact.publishes).collect()
        };
        let why = || Blindness::timed_out("no answer");
        assert_eq!(facts(Told::default()), [Ok(Vec::new())]);
        assert_eq!(facts(Told::unknown(why())), [Err(why())]);
        assert_eq!(facts(publishing(1)), [Ok(publishing(1).publications)]);
        let both = publishing(1).and(Told::unknown(why()));
        assert_eq!(facts(both), [Ok(publishing(1).publications), Err(why())]);
    }

    #[test]
    fn an_address_cannot_pass_for_a_sentence() {
        assert_eq!(
            shown("https://x.example/\u{1b}[2J all is\nwell \u{202e}"),
            "https://x.example/?[2J?all?is?well??"
        );
        assert_eq!(shown(&"a".repeat(1000)).len(), MAX_TEXT);
    }

    #[test]
    fn more_than_can_be_kept_is_unknown() {
        let mut told = Told::default();
        for port in 0..2000 {
            told.publish("ngrok", Audience::Internet, "x", port);
        }
        assert_eq!(told.publications.len(), MAX_PUBLICATIONS);
        assert_eq!(told.unclear.unwrap().cause, Cause::TooMuch);
    }
}
