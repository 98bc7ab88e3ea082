//! Where the log goes: to standard error, and never to standard output.
//!
//! Where that is systemd's journal each line says how grave it is in the way of `sd-daemon(3)`, so that
//! `journalctl -p warning` finds it. The journal's own protocol would add fields, and a socket that may
//! fail; what would be in them stands in the line.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{self, Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Who says how much (`guardian=debug,hyper=info`). Nothing by default but warnings.
const VARIABLE: &str = "GUARDIAN_LOG";

/// From now on.
pub(super) fn to_stderr() {
    let named = env::var(VARIABLE).ok().map(|named| named.parse::<Targets>());
    let misread = matches!(named, Some(Err(_)));
    let filter = named.and_then(Result::ok).unwrap_or_else(|| Targets::new().with_default(Level::WARN));
    let stderr = io::stderr();
    let named = env::var("JOURNAL_STREAM").ok();
    let lines = Lines {
        format: format::format().without_time(),
        journal: named.is_some_and(|named| is_stream(&stderr, &named)),
    };
    let colours = stderr.is_terminal();
    tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_writer(io::stderr)
        .with_ansi(colours)
        .event_format(lines)
        .finish()
        .with(filter)
        .init();
    if misread {
        tracing::warn!("{VARIABLE} is not understood: warnings alone are shown; write guardian=debug");
    }
}

/// Whether this is the stream that `JOURNAL_STREAM` names (`systemd.exec(5)`), by device and inode: what
/// was handed on to somebody whose standard error goes elsewhere says nothing.
fn is_stream(file: impl AsFd, named: &str) -> bool {
    fstat(file).is_ok_and(|stat| format!("{}:{}", stat.st_dev, stat.st_ino) == named)
}

/// Events as lines, with what the journal wants to know of each.
struct Lines<F> {
    format: Format<F, ()>,
    journal: bool,
}

impl<S, N, F> FormatEvent<S, N> for Lines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    Format<F, ()>: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if !self.journal {
            return self.format.format_event(context, writer, event);
        }
        let mut text = String::new();
        self.format.format_event(context, Writer::new(&mut text), event)?;
        // The journal takes each line for an entry of its own.
        for line in text.lines() {
            writeln!(writer, "<{}>{line}", priority(*event.metadata().level()))?;
        }
        Ok(())
    }
}

/// A level as `syslog(3)` counts.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, part: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(part)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(journal: bool) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = Lines { format: format::format().without_time(), journal };
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .event_format(lines)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(why = 7, "worst");
            tracing::warn!("first\n<0>second");
            tracing::info!("known");
            tracing::debug!("much");
        });
        let text = kept.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn in_the_journal_every_line_says_how_grave_it_is() {
        let text = logged(true);
        let graves: Vec<&str> = text.lines().map(|line| &line[..3]).collect();
        assert_eq!(graves, ["<3>", "<4>", "<4>", "<6>", "<7>"], "{text}");
        assert!(text.contains("worst why=7") && text.contains("\n<4><0>second\n"), "{text}");
    }

    #[test]
    fn elsewhere_no_line_does() {
        let text = logged(false);
        assert!(!text.starts_with('<') && text.contains("worst why=7"), "{text}");
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        let file = tempfile::tempfile().unwrap();
        let stat = fstat(&file).unwrap();
        let of = |device: u64, inode: u64| format!("{device}:{inode}");
        assert!(is_stream(&file, &format!("{}:{}", stat.st_dev, stat.st_ino)));
        assert!(!is_stream(&file, &of(1, 2)) && !is_stream(&file, "") && !is_stream(&file, "junk"));
    }
}
