//! What a byte of a head may be part of.

/// Whether all bytes are such: every one is looked at, which is faster than to stop at the first that is not.
pub(super) fn all(bytes: &[u8], is_such: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & is_such(*byte))
}

/// RFC 9110, 5.6.2.
pub(super) fn is_token(byte: u8) -> bool {
    TOKENS.get(usize::from(byte)).is_some_and(|is| *is)
}

/// For each byte whether a token may hold it.
#[expect(clippy::indexing_slicing, reason = "before the program is there")]
static TOKENS: [bool; 256] = {
    let mut tokens = [false; 256];
    let mut byte = 0_u8;
    while byte.is_ascii() {
        let is_mark = matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        if is_mark || byte.is_ascii_alphanumeric() {
            tokens[byte as usize] = true;
        }
        byte += 1;
    }
    tokens
};

/// RFC 9110, 5.5: what a field's value may hold.
pub(super) const fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// What a target may hold (RFC 3986), and `{`, `}`, `|`, `^` and a grave accent, which browsers send.
pub(super) const fn is_target(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\' | b'<' | b'>' | b'"')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte there is, against the RFCs' own lists.
    #[test]
    fn each_byte_is_of_its_classes_and_of_no_other() {
        let tokens = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        for byte in 0..=u8::MAX {
            assert_eq!(is_token(byte), tokens.contains(&byte), "{byte}");
            assert_eq!(is_text(byte), byte == 9 || (32..=126).contains(&byte) || byte >= 128, "{byte}");
            let target = (33..=126).contains(&byte) && !b"#\\<>\"".contains(&byte);
            assert_eq!(is_target(byte), target, "{byte}");
        }
    }

    #[test]
    fn one_byte_that_is_not_such_is_enough_wherever_it_is() {
        assert!(all(b"", is_token) && all(b"accept", is_token));
        for at in 0..6 {
            let mut name = *b"accept";
            name[at] = b' ';
            assert!(!all(&name, is_token), "{at}");
        }
    }
}
