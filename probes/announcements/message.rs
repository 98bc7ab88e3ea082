//! Questions and answers of service discovery: RFC 6763 in messages of RFC 1035.

use std::collections::{BTreeMap, BTreeSet};

use simple_dns::header_buffer;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, ResourceRecord, TYPE};

/// The kinds of service that gateways announce themselves as, one a name of the product.
pub const KINDS: [&str; 3] = ["_clawdbot-gw._tcp", "_moltbot-gw._tcp", "_openclaw-gw._tcp"];

/// Records of one message; a gateway's answer has seven.
const MAX_RECORDS: u16 = 64;

/// Names kept of what an announcement tells, and characters of each.
const MAX_TELLS: usize = 16;
const MAX_TELL: usize = 32;

/// A service as it is announced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// One of [`KINDS`].
    pub kind: String,
    /// The port that it leads to.
    pub port: Option<u16>,
    /// The names of its attributes, but for those that every announcement has.
    pub tells: Vec<String>,
}

/// A question for services of a kind. Empty if it cannot be written, which no kind of ours is.
#[must_use]
pub fn question(id: u16, kind: &str) -> Vec<u8> {
    let name = format!("{kind}.local");
    let mut packet = Packet::new_query(id);
    let class = QCLASS::CLASS(CLASS::IN);
    packet.questions.push(Question::new(Name::new_unchecked(&name), QTYPE::TYPE(TYPE::PTR), class, false));
    packet.build_bytes_vec().unwrap_or_default()
}

/// The services in an answer.
#[must_use]
pub fn services(message: &[u8]) -> BTreeSet<Service> {
    read(message).unwrap_or_default()
}

fn read(message: &[u8]) -> Option<BTreeSet<Service>> {
    // The library makes room for as many as the head says there are.
    let counts = [
        header_buffer::questions(message).ok()?,
        header_buffer::answers(message).ok()?,
        header_buffer::name_servers(message).ok()?,
        header_buffer::additional_records(message).ok()?,
    ];
    if counts.iter().any(|count| *count > MAX_RECORDS) {
        return None;
    }
    let packet = Packet::parse(message).ok()?;
    if !packet.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let records: Vec<&ResourceRecord<'_>> =
        packet.answers.iter().chain(&packet.additional_records).filter(|record| record.ttl > 0).collect();
    let mut instances: BTreeMap<String, &str> = BTreeMap::new();
    for record in &records {
        if let RData::PTR(instance) = &record.rdata
            && let Some(kind) = kind_of(&record.name)
        {
            instances.insert(instance.0.to_string(), kind);
        }
    }
    let of = |(instance, kind): (String, &str)| {
        let mut service = Service { kind: kind.to_owned(), port: None, tells: Vec::new() };
        for record in records.iter().filter(|record| record.name.to_string() == instance) {
            match &record.rdata {
                RData::SRV(place) => service.port = Some(place.port),
                RData::TXT(attributes) => service.tells = tells(attributes.iter_raw().map(|(name, _)| name)),
                _ => {}
            }
        }
        service
    };
    Some(instances.into_iter().map(of).collect())
}

fn kind_of(name: &Name<'_>) -> Option<&'static str> {
    let name = name.to_string();
    KINDS
        .into_iter()
        .find(|kind| name.strip_suffix(".local").is_some_and(|service| service.eq_ignore_ascii_case(kind)))
}

/// Names of attributes, as words: whoever announces chooses them.
fn tells<'a>(names: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let word = |name: &[u8]| -> String {
        let plain = name.iter().take(MAX_TELL).map(|byte| char::from(*byte));
        plain.map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '?' }).collect()
    };
    // They say no more than that it is a gateway, and the kind and the port have said so.
    let is_news =
        |name: &String| !name.is_empty() && !["role", "transport", "gatewayPort"].contains(&name.as_str());
    let names: BTreeSet<String> = names.take(4 * MAX_TELLS).map(word).filter(is_news).collect();
    names.into_iter().take(MAX_TELLS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &[u8] = include_bytes!("../../fixtures/mdns/openclaw-2026.1.29.bin");

    #[test]
    fn the_question_of_this_host_is_one_that_responders_understand() {
        let question = question(7, "_openclaw-gw._tcp");
        assert_eq!(question, b"\0\x07\0\0\0\x01\0\0\0\0\0\0\x0c_openclaw-gw\x04_tcp\x05local\0\0\x0c\0\x01");
    }

    #[test]
    fn the_answer_of_a_gateway_says_what_it_announces() {
        let service = Service {
            kind: "_openclaw-gw._tcp".to_owned(),
            port: Some(18789),
            tells: vec!["displayName".to_owned(), "lanHost".to_owned()],
        };
        assert_eq!(services(ANSWER), BTreeSet::from([service]));
    }

    #[test]
    fn questions_other_services_and_farewells_are_no_announcement() {
        assert!(services(&question(7, "_openclaw-gw._tcp")).is_empty());
        let other: Vec<u8> =
            String::from_utf8_lossy(ANSWER).replace("_openclaw-gw", "_openclaw-xx").into_bytes();
        assert!(services(&other).is_empty());
    }

    #[test]
    fn a_head_that_promises_thousands_of_records_is_not_believed() {
        let mut message = ANSWER.to_vec();
        message[10] = 0xff;
        assert!(services(&message).is_empty());
    }

    #[test]
    fn what_an_announcement_tells_is_shown_as_words() {
        let names: [&[u8]; 4] = [b"cliPath", b"role", b"\x1b[2J\nsafe", b""];
        assert_eq!(tells(names.into_iter()), ["??2J?safe", "cliPath"]);
        let many: Vec<String> = (0..1000).map(|number| format!("{number}")).collect();
        assert_eq!(tells(many.iter().map(String::as_bytes)).len(), MAX_TELLS);
    }

    proptest! {
        #[test]
        fn anything_never_panics(message: Vec<u8>, place in 0_usize..347, byte: u8) {
            let _ = services(&message);
            let mut damaged = ANSWER.to_vec();
            if let Some(there) = damaged.get_mut(place) {
                *there = byte;
            }
            let _ = services(&damaged);
        }
    }
}
