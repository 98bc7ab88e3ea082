//! Notifications as the freedesktop.org specification has them, over D-Bus
//! (<https://specifications.freedesktop.org/notification-spec/>).

use notify_rust::{Hint, Notification, Timeout, Urgency as Level};

use super::{Show, ShowError};
use crate::notify::message::Urgency;

/// Shows a message, and answers with its number. A critical one stays until somebody takes it away.
pub(super) async fn show(show: &Show) -> Result<Option<u32>, ShowError> {
    let (level, timeout, icon) = match show.message.urgency {
        Urgency::Critical => (Level::Critical, Timeout::Never, "dialog-warning"),
        Urgency::Normal => (Level::Normal, Timeout::Default, "dialog-information"),
    };
    let mut notification = Notification::new();
    notification
        .appname("Guardian")
        .summary(&unmarked(&show.message.title))
        .body(&unmarked(&show.message.body))
        .icon(icon)
        .urgency(level)
        .hint(Hint::Category("network".to_owned()))
        .timeout(timeout);
    if let Some(id) = show.replaces {
        notification.id(id);
    }
    let handle = notification.show_async().await.map_err(ShowError::Service)?;
    Ok(Some(handle.id()))
}

/// Text without the signs that some desktops take for markup, and others show as they are.
fn unmarked(text: &str) -> String {
    let sign = |c| match c {
        '<' => '‹',
        '>' => '›',
        '&' => '+',
        other => other,
    };
    text.chars().map(sign).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_in_a_message_is_markup() {
        assert_eq!(super::unmarked("<a href=\"x\">&amp;</a>"), "‹a href=\"x\"›+amp;‹/a›");
    }
}
