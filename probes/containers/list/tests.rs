//! Lists as engines tell them.

use proptest::prelude::*;

use super::*;

const DOCKER: &[u8] = include_bytes!("../../../fixtures/containers/docker.json");
const PODMAN: &[u8] = include_bytes!("../../../fixtures/containers/podman.json");

#[test]
fn the_published_tcp_ports_are_read_with_the_containers_own_ends() {
    let published = read(DOCKER).unwrap();
    let on: Vec<String> = published.iter().map(|it| it.on.to_string()).collect();
    assert_eq!(on, ["0.0.0.0:8080", "[::]:8080", "127.0.0.1:8088"], "neither UDP nor what is only exposed");
    let first = &published[0];
    assert_eq!(
        (first.container.as_str(), first.image.as_str()),
        ("boring_feynman", "ghcr.io/openclaw/openclaw:latest")
    );
    let ends: Vec<String> = first.ends.iter().map(ToString::to_string).collect();
    assert_eq!(ends, ["172.18.0.2:18789", "[fd00:18::2]:18789"]);
    assert!(first.is_named_like_a_gateway && !published[2].is_named_like_a_gateway);
}

#[test]
fn podman_says_nothing_of_every_address() {
    let [only] = read(PODMAN).unwrap().try_into().unwrap();
    assert_eq!((only.on.to_string().as_str(), only.container.as_str()), ("0.0.0.0:8080", "box"));
    assert_eq!(only.ends, ["10.88.0.2:18789".parse::<SocketAddr>().unwrap()]);
    assert!(!only.is_named_like_a_gateway);
}

#[test]
fn a_gateway_is_told_by_its_name_image_or_command() {
    for (name, image, command) in
        [("my-Clawdbot", "x", "x"), ("x", "hub/MOLTBOT:1", "x"), ("x", "x", "/opt/openclaw run")]
    {
        let list = serde_json::json!([{"Names": [name], "Image": image, "Command": command,
            "Ports": [{"PrivatePort": 1, "PublicPort": 2}]}]);
        assert!(read(list.to_string().as_bytes()).unwrap()[0].is_named_like_a_gateway);
    }
}

#[test]
fn what_is_no_list_is_malformed() {
    for answer in ["", "{}", "[1]", "null", "<html>"] {
        assert_eq!(read(answer.as_bytes()).unwrap_err().cause, guardian_rules::blindness::Cause::Malformed);
    }
    assert_eq!(read(b"[]").unwrap(), []);
}

proptest! {
    #[test]
    fn nothing_that_is_answered_breaks_the_reader(bytes: Vec<u8>, at in 0..600_usize, byte: u8) {
        let _ = read(&bytes);
        let mut damaged = DOCKER.to_vec();
        damaged[at] = byte;
        let _ = read(&damaged);
    }
}
