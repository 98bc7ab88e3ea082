//! The devices of late gateways: a table of their database, which is one of `SQLite`.
//!
//! The file is the gateway's to write, and this runs as root: it is read by code without `unsafe`, from a copy
//! in memory, and nothing of it is locked or changed.

use guardian_rules::blindness::{Blindness, Cause};
use guardian_rules::fact::Device;
use quantydb_sqlite::{MappedCell, Reader, Row, RowLayout, SliceSource, SqliteError, SqliteValue, WalSource};

use super::bounded::{Bounded, fits};
use super::{MAX_DEVICES, short};

const TABLE: &str = "device_pairing_paired";
/// The schema of a new gateway's database and its devices are 0.3 MiB (2026.9.6).
const BUDGET: u64 = 2 * 1024 * 1024;
/// The table's definition has some hundred bytes.
const LONGEST_DEFINITION: usize = 64 * 1024;

/// The devices in a database and the log of what has not been brought into it yet (`-wal`).
pub fn read(main: &[u8], log: Option<&[u8]>) -> Result<Vec<Device>, Blindness> {
    // What it says may be what is in the file.
    let malformed = |failed: SqliteError| Blindness::malformed(short(&failed.to_string(), 160));
    if log.is_some_and(|log| !fits(main, log)) {
        return Err(Blindness::malformed("its log has pages of another size"));
    }
    let most = main.len() + log.map_or(0, <[u8]>::len);
    let source = WalSource::new(SliceSource::new(main), log.map(SliceSource::new)).map_err(malformed)?;
    let source = Bounded::new(source, u64::try_from(most).unwrap_or(u64::MAX), BUDGET);
    let reader = Reader::open(source).map_err(malformed)?;
    let schema = reader.schema().map_err(malformed)?;
    let table = schema
        .tables()
        .find(|table| table.name == TABLE)
        .ok_or_else(|| Blindness::malformed(format!("there is no table {TABLE}")))?;
    if table.sql.as_ref().is_some_and(|sql| sql.len() > LONGEST_DEFINITION) {
        return Err(Blindness::new(Cause::TooMuch, format!("the definition of {TABLE} is too long")));
    }
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

    /// A log of one frame that holds this page, and says that the database has so many pages.
    fn log(page_size: u32, page: &[u8], pages: u32) -> Vec<u8> {
        fn sum((mut one, mut two): (u32, u32), bytes: &[u8]) -> (u32, u32) {
            for pair in bytes.chunks_exact(8) {
                let word = |at: usize| u32::from_be_bytes(pair[at..at + 4].try_into().unwrap());
                one = one.wrapping_add(word(0)).wrapping_add(two);
                two = two.wrapping_add(word(4)).wrapping_add(one);
            }
            (one, two)
        }
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let mut log = words(&[0x377f_0683, 3_007_000, page_size, 0, 7, 8]);
        let first = sum((0, 0), &log);
        log.extend(words(&[first.0, first.1, 1, pages, 7, 8]));
        let frame = sum(sum(first, &words(&[1, pages])), page);
        log.extend(words(&[frame.0, frame.1]));
        log.extend(page);
        log
    }

    /// The fixture's first page with one row of the schema that is said to be so long.
    fn with_a_row_of(total: u64) -> Vec<u8> {
        let mut page = MAIN[..1024].to_vec();
        let mut cell: Vec<u8> = (0..9).rev().map(|at| ((total >> (7 * at)) & 0x7f) as u8 | 0x80).collect();
        *cell.last_mut().unwrap() &= 0x7f;
        cell.push(1);
        page[100..108].copy_from_slice(&[0x0d, 0, 0, 0, 1, 0x01, 0x00, 0]);
        page[108..110].copy_from_slice(&0x0100_u16.to_be_bytes());
        page[0x0100..0x0100 + cell.len()].copy_from_slice(&cell);
        page
    }

    /// It is read as root, and whoever runs the gateway writes it.
    #[test]
    fn sizes_that_a_database_lies_about_make_no_room() {
        for total in [200_u64 << 40, 1 << 33, 1 << 27] {
            let page = with_a_row_of(total);
            let lying = log(1024, &page, u32::MAX);
            let why = read(MAIN, Some(&lying)).unwrap_err();
            assert!(why.detail.contains("larger than its files"), "{why:?}");
            assert_eq!(read(&page, None).unwrap_err().cause, Cause::Malformed);
        }
        let honest = log(1024, &MAIN[..1024], 4);
        assert_eq!(clients(&read(MAIN, Some(&honest)).unwrap()), ["openclaw-control-ui"], "the log is taken");
        let huge_pages = log(0x8000_0000, &[], 1);
        assert!(read(MAIN, Some(&huge_pages)).unwrap_err().detail.contains("another size"));
        assert!(!fits(b"", b""));
    }

    #[test]
    fn no_more_is_read_than_devices_take() {
        let source = WalSource::new(SliceSource::new(MAIN), None::<SliceSource<'_>>).unwrap();
        let source = Bounded::new(source, 4096, 1000);
        let reader = Reader::open(source).unwrap();
        assert!(reader.schema().unwrap_err().to_string().contains("more in it"));
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
