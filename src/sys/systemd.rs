//! Whether this host runs systemd.

use std::path::Path;

/// `sd_booted(3)`: where there is no systemd there are no services of it to start or stop.
pub(crate) fn booted() -> bool {
    Path::new("/run/systemd/system").exists()
}
