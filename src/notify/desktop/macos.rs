//! Notifications on macOS: by osascript first, which the system itself vouches for, and by
//! `NSUserNotification` through notify-rust where that cannot be run.
//!
//! Neither says whether a message was seen: the user may have switched notifications off for either,
//! and the second is deprecated since macOS 11. So the desktop is never the only alarm there. A
//! message does not take the place of an earlier one: osascript has no way to name it.

use std::time::Duration;

use notify_rust::{Notification, set_application};

use super::{Show, ShowError, osascript};

/// How long osascript may take; the rest of the deadline is for the other way.
const SCRIPT: Duration = Duration::from_secs(3);

/// Shows a message. There is no number by which another could take its place.
pub(super) async fn show(show: &Show) -> Result<Option<u32>, ShowError> {
    let Err(failed) = osascript::tool(&show.message).within(SCRIPT).run().await else { return Ok(None) };
    tracing::warn!("osascript did not show it: {failed}");
    let (title, body) = (show.message.title.clone(), show.message.body.clone());
    let other = move || {
        // Without a name of an application that is there, it may hang.
        let _ = set_application("com.apple.Terminal");
        Notification::new().summary(&title).body(&body).show().map(drop)
    };
    match tokio::task::spawn_blocking(other).await {
        Ok(shown) => shown.map(|()| None).map_err(ShowError::Service),
        Err(_) => Err(ShowError::Child(failed)),
    }
}
