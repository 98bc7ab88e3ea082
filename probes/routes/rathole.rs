//! What rathole is told to carry: the services of a client's TOML. A server's carry the other way.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::routes::Understood;

#[derive(Deserialize)]
struct File {
    client: Option<Client>,
}

#[derive(Deserialize)]
struct Client {
    #[serde(default)]
    services: BTreeMap<String, Service>,
}

#[derive(Deserialize)]
struct Service {
    local_addr: String,
    #[serde(rename = "type", default)]
    kind: Option<String>,
}

/// The services of a client.
#[must_use]
pub fn interpret(text: &str) -> Understood {
    let Ok(file) = toml::from_str::<File>(text) else { return Understood::default() };
    let mut found = Understood { instructions: Vec::new(), whole: true };
    let services = file.client.into_iter().flat_map(|client| client.services.into_values());
    for service in services.filter(|service| service.kind.as_deref() != Some("udp")) {
        found.carry("local_addr = ", &service.local_addr);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> (Vec<String>, bool) {
        let found = interpret(text);
        (found.instructions.into_iter().map(|it| it.text).collect(), found.whole)
    }

    #[test]
    fn the_services_of_a_client_are_read() {
        assert_eq!(
            told(include_str!("../../fixtures/rathole/client.toml")),
            (vec!["local_addr = 127.0.0.1:18789".to_owned()], true)
        );
    }

    #[test]
    fn a_server_carries_nothing_from_here() {
        let text =
            "[server]\nbind_addr = \"0.0.0.0:2333\"\n[server.services.x]\nbind_addr = \"0.0.0.0:5202\"";
        assert_eq!(told(text), (vec![], true));
    }

    #[test]
    fn what_is_not_understood_leaves_it_unknown() {
        for text in ["{}", "[client.services.x]\nlocal_addr = 1", "[client.services.x]\nlocal_addr = \"x\""] {
            assert_eq!(told(text), (vec![], false), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_borne(text in "(\\[client\\.services\\.x\\]|local_addr|type|udp|[ =\n\":.]|[0-9.]{1,5}|é){0,40}") {
            let _ = interpret(&text);
        }
    }
}
