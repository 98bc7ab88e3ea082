//! The devices of late gateways: a table of their database, which is one of `SQLite`.
//!
//! The file is the gateway's to write, and this runs as root: it is read by code without `unsafe`, from a copy
//! in memory, and nothing of it is locked or changed.

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::Device;
use quantydb_sqlite::{MappedCell, Reader, Row, RowLayout, SliceSource, SqliteError, SqliteValue, WalSource};

use super::{MAX_DEVICES, short};

const TABLE: &str = "device_pairing_paired";

/// The devices in a database and the log of what has not been brought into it yet (`-wal`).
pub fn read(main: &[u8], log: Option<&[u8]>) -> Result<Vec<Device>, Blindness> {
    let malformed = |failed: SqliteError| Blindness::malformed(failed.to_string());
    let source = WalSource::new(SliceSource::new(main), log.map(SliceSource::new)).map_err(malformed)?;
    let reader = Reader::open(source).map_err(malformed)?;
    let schema = reader.schema().map_err(malformed)?;
    let table = schema
        .tables()
        .find(|table| table.name == TABLE)
        .ok_or_else(|| Blindness::malformed(format!("there is no table {TABLE}")))?;
    let columns = table.table_def().map_err(malformed)?;
    let layout = RowLayout::new(&columns);
    let place = |name| {
        columns
            .column_index(name)
            .ok_or_else(|| Blindness::malformed(format!("{TABLE} has no column {name}")))
    };
    let columns = Columns {
        id: place("device_id")?,
        client: place("client_id")?,
        platform: place("platform")?,
        remote: place("remote_ip")?,
        paired: place("approved_at_ms")?,
    };
    let mut devices = Vec::new();
    let root = table.root_page.ok_or_else(|| Blindness::malformed(format!("{TABLE} lies nowhere")))?;
    for row in reader.rows(root).map_err(malformed)? {
        if devices.len() == MAX_DEVICES {
            return Err(Blindness::new(Cause::TooMuch, format!("{TABLE} has more than {MAX_DEVICES} rows")));
        }
        devices.push(columns.device(&layout, &row.map_err(malformed)?)?);
    }
    Ok(devices)
}

/// Where what is to be told stands.
struct Columns {
    id: usize,
    client: usize,
    platform: usize,
    remote: usize,
    paired: usize,
}

impl Columns {
    fn device(&self, layout: &RowLayout, row: &Row) -> Result<Device, Blindness> {
        let text = |column| match layout.cell(row, column) {
            MappedCell::Value(SqliteValue::Text(text)) => Some(text.as_str()),
            _ => None,
        };
        let Some(id) = text(self.id) else {
            return Err(Blindness::malformed(format!("a row of {TABLE} names no device")));
        };
        Ok(Device {
            id: short(id, 16),
            client: text(self.client).map_or_else(|| super::UNNAMED.to_owned(), |client| short(client, 80)),
            platform: text(self.platform).map(|platform| short(platform, 80)).unwrap_or_default(),
            remote: text(self.remote).map(|remote| short(remote, 80)),
            paired: match layout.cell(row, self.paired) {
                MappedCell::Value(SqliteValue::Integer(at)) => u64::try_from(*at).ok(),
                _ => None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAIN: &[u8] = include_bytes!("../../../fixtures/gateway/devices.sqlite");
    const LOG: &[u8] = include_bytes!("../../../fixtures/gateway/devices.sqlite-wal");

    fn clients(devices: &[Device]) -> Vec<&str> {
        devices.iter().map(|device| device.client.as_str()).collect()
    }

    #[test]
    fn a_device_that_is_only_in_the_log_yet_is_told_too() {
        let devices = read(MAIN, Some(LOG)).unwrap();
        assert_eq!(clients(&devices), ["openclaw-control-ui", "cli"]);
        assert_eq!(devices[0].remote.as_deref(), Some("127.0.0.1"));
        assert_eq!(
            devices[1],
            Device {
                id: "bbbbbbbbbbbbbbbb".to_owned(),
                client: "cli".to_owned(),
                platform: "linux".to_owned(),
                remote: None,
                paired: Some(1_795_418_950_000),
            }
        );
        assert!(!format!("{devices:?}").contains("hush"), "no token is told");
        assert_eq!(clients(&read(MAIN, Some(&[])).unwrap()), ["openclaw-control-ui"], "an empty log");
    }

    #[test]
    fn a_log_that_was_torn_counts_up_to_its_last_whole_transaction() {
        let mut torn = LOG.to_vec();
        let last = torn.len() - 1;
        torn[last] ^= 1;
        assert_eq!(clients(&read(MAIN, Some(&torn)).unwrap()), ["openclaw-control-ui"]);
    }

    #[test]
    fn a_database_of_another_shape_is_unknown() {
        let renamed = |from: &[u8], to: &[u8]| {
            let at = MAIN.windows(from.len()).position(|part| part == from).unwrap();
            let mut changed = MAIN.to_vec();
            changed[at..at + to.len()].copy_from_slice(to);
            read(&changed, None).unwrap_err()
        };
        for (from, to) in [
            (&b"  approved_at_ms INTEGER NOT NULL"[..], &b"  approved_at_mz"[..]),
            (b"  remote_ip TEXT", b"  remote_op TEXT"),
            (b"device_pairing_paired", b"device_pairing_pairet"),
            (b"SQLite format 3", b"SQLite format 4"),
        ] {
            assert_eq!(renamed(from, to).cause, Cause::Malformed, "{}", String::from_utf8_lossy(from));
        }
        assert_eq!(read(b"", None).unwrap_err().cause, Cause::Malformed);
        assert_eq!(read(&MAIN[..1024], None).unwrap_err().cause, Cause::Malformed, "cut short");
    }

    proptest! {
        /// Never a panic, and never a device that is not there.
        #[test]
        fn damage_is_borne(at in 0..MAIN.len(), byte: u8, end in 0..=MAIN.len(), in_log: bool) {
            let (mut main, mut log) = (MAIN[..end].to_vec(), LOG.to_vec());
            let damaged = if in_log { &mut log } else { &mut main };
            if let Some(place) = damaged.get_mut(at) {
                *place = byte;
            }
            if let Ok(devices) = read(&main, Some(&log)) {
                prop_assert!(devices.len() <= 2);
            }
        }

        #[test]
        fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), 0..300), log in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes, Some(&log));
            let _ = read(&[&MAIN[..100], &bytes[..]].concat(), Some(&log));
        }
    }
}
