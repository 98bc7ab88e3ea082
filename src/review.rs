//! What the review before a recovery found, as a checklist.

use serde::{Deserialize, Serialize};

/// The checklist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReviewReport {
    /// Its items, in the order in which they are shown.
    pub(crate) items: Vec<ReviewItem>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReviewItem {
    /// What has to be so.
    pub(crate) title: String,
    /// Whether it is so; none if it cannot be told.
    pub(crate) passed: Option<bool>,
    /// What was seen, and what to do about it.
    pub(crate) detail: String,
}

impl ReviewReport {
    /// What is not so. An item that cannot be told is not among them.
    pub(crate) fn failed(&self) -> impl Iterator<Item = &ReviewItem> {
        self.items.iter().filter(|item| item.passed == Some(false))
    }
}
