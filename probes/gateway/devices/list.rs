//! The devices of early gateways: `devices/paired.json`.

use guardian_rules::fact::Device;
use serde_json::Value;

use super::{MAX_DEVICES, UNNAMED, short};

/// Reads `paired.json`: an object with a device for each id.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Vec<Device>> {
    let list: serde_json::Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    if list.len() > MAX_DEVICES {
        return None;
    }
    let text =
        |device: &Value, key: &str| device.get(key).and_then(Value::as_str).map(|text| short(text, 80));
    let devices = list.iter().map(|(id, device)| Device {
        id: short(id, 16),
        client: text(device, "clientId").unwrap_or_else(|| UNNAMED.to_owned()),
        platform: text(device, "platform").unwrap_or_default(),
        remote: text(device, "remoteIp"),
        paired: device.get("approvedAtMs").or_else(|| device.get("createdAtMs")).and_then(Value::as_u64),
    });
    Some(devices.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_without_their_tokens() {
        let devices = parse(super::super::tests::TWO.as_bytes()).unwrap();
        assert_eq!(
            devices.iter().map(|it| it.client.as_str()).collect::<Vec<_>>(),
            ["clawdbot-control-ui", "cli"]
        );
        assert_eq!(devices[0].paired, Some(1_795_418_940_564));
        assert!(!format!("{devices:?}").contains("hush"));
        assert_eq!(parse(b"[]"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = parse(&bytes);
        }
    }
}
