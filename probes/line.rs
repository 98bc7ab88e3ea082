//! What others wrote, made fit for a sentence.

/// Characters kept of it.
const LENGTH: usize = 200;

/// One short line without control characters, and without those that reorder or hide what stands
/// beside them.
#[must_use]
pub fn line(text: &str) -> String {
    let mut kept = text.chars().map(|c| if is_plain(c) { c } else { '\u{fffd}' });
    let mut line: String = kept.by_ref().take(LENGTH).collect();
    if kept.next().is_some() {
        line.push('…');
    }
    line
}

fn is_plain(c: char) -> bool {
    // Directions, joiners and separators of Unicode's general punctuation, and the byte order mark.
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_pass_for_a_line_of_its_own_is_replaced() {
        assert_eq!(line("web\n\x1b[2Ksafe\u{202e}"), "web\u{fffd}\u{fffd}[2Ksafe\u{fffd}");
        assert_eq!(line("ordinary — name"), "ordinary — name");
    }

    proptest! {
        #[test]
        fn a_line_is_short_and_plain(text in any::<String>(), count in 0..3_usize) {
            let line = line(&text.repeat(count * 300));
            prop_assert!(line.chars().count() <= LENGTH + 1);
            prop_assert!(line.chars().all(is_plain));
        }
    }
}
