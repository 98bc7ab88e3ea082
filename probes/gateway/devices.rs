//! Devices that a gateway has paired: whoever was paired while a gateway was exposed stays in when
//! the exposure ends.
//!
//! 2026.1 keeps them in `devices/paired.json` of its state folder, later versions in a database,
//! which is not read here.

use std::path::Path;

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::Device;
use serde_json::Value;

use crate::file::{Links, Unread, View};
use crate::line::line;

/// A list of devices has some hundred bytes a device.
const MAX_SIZE: u64 = 1024 * 1024;
/// A list of more is none: nobody has as many, and one is not to hide among them.
const MAX_DEVICES: usize = 1000;

/// The devices of the gateway whose state is in this folder, the latest first.
pub fn paired(state: &Path) -> Result<Vec<Device>, Blindness> {
    let view = View::own().map_err(|failed| Blindness::denied(failed.to_string()))?;
    paired_as_seen(&view, state)
}

/// The same as a process sees its files.
pub(super) fn paired_as_seen(view: &View, state: &Path) -> Result<Vec<Device>, Blindness> {
    let list = state.join("devices/paired.json");
    match view.read(&list, MAX_SIZE, Links::Follow) {
        Ok(content) => parse(&content.bytes)
            .ok_or_else(|| Blindness::malformed(format!("{} is not a list of devices", list.display()))),
        Err(Unread::Absent) if view.metadata(&state.join("state/openclaw.sqlite")).is_ok() => {
            Err(Blindness::new(Cause::ToolMissing, "they are in the gateway's database"))
        }
        Err(Unread::Absent) => Ok(Vec::new()),
        Err(unread) => Err(unread.blindness(&list)),
    }
}

/// Reads `paired.json`: an object with a device for each id.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Vec<Device>> {
    let list: serde_json::Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    if list.len() > MAX_DEVICES {
        return None;
    }
    let text = |device: &Value, key: &str| {
        device.get(key).and_then(Value::as_str).map(|text| line(&text.chars().take(80).collect::<String>()))
    };
    let mut devices: Vec<Device> = list
        .iter()
        .map(|(id, device)| Device {
            id: line(&id.chars().take(16).collect::<String>()),
            client: text(device, "clientId").unwrap_or_else(|| "an unnamed client".to_owned()),
            platform: text(device, "platform").unwrap_or_default(),
            remote: text(device, "remoteIp"),
            paired: device.get("approvedAtMs").or_else(|| device.get("createdAtMs")).and_then(Value::as_u64),
        })
        .collect();
    devices.sort_by_key(|device| std::cmp::Reverse(device.paired));
    Some(devices)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"{
        "aa": {"deviceId": "aa", "clientId": "clawdbot-control-ui", "platform": "linux",
               "remoteIp": "127.0.0.1", "tokens": {"operator": {"token": "hush"}},
               "createdAtMs": 1795418940563, "approvedAtMs": 1795418940564},
        "bb": {"clientId": "cli", "createdAtMs": 1795418950000}
    }"#;

    #[test]
    fn devices_are_told_latest_first_and_without_their_tokens() {
        let devices = parse(TWO.as_bytes()).unwrap();
        assert_eq!(
            devices.iter().map(|it| it.client.as_str()).collect::<Vec<_>>(),
            ["cli", "clawdbot-control-ui"]
        );
        assert_eq!(devices[1].paired, Some(1_795_418_940_564));
        assert!(!format!("{devices:?}").contains("hush"));
    }

    #[test]
    fn a_state_without_devices_has_none_and_one_with_a_database_is_unknown() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(paired(state.path()), Ok(Vec::new()));
        std::fs::create_dir(state.path().join("state")).unwrap();
        std::fs::write(state.path().join("state/openclaw.sqlite"), "").unwrap();
        assert_eq!(paired(state.path()).unwrap_err().cause, Cause::ToolMissing);
        std::fs::create_dir(state.path().join("devices")).unwrap();
        std::fs::write(state.path().join("devices/paired.json"), TWO).unwrap();
        assert_eq!(paired(state.path()).unwrap().len(), 2);
        std::fs::write(state.path().join("devices/paired.json"), "[]").unwrap();
        assert_eq!(paired(state.path()).unwrap_err().cause, Cause::Malformed);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
