//! Variables in a setting.

/// Bytes of a setting with its variables replaced. Whoever writes a configuration chooses how often a long value
/// stands in it: no more is kept than any setting that is read here has.
pub(super) const MAX_LENGTH: usize = 4096;

/// What a variable stands for.
pub(super) type Lookup<'v> = dyn Fn(&str) -> Option<&'v str> + 'v;

/// Why a setting is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// A variable is not known.
    Unknown,
    /// It is too long, or would be.
    Long,
}

/// The text with `${NAME}` replaced and `$${NAME}` unescaped. Only names of capital letters, digits and underscores are
/// variables.
pub(super) fn substituted(text: &str, lookup: &Lookup<'_>) -> Result<String, Refused> {
    // Looking for the ends of names takes the square of it.
    if text.len() > MAX_LENGTH {
        return Err(Refused::Long);
    }
    let mut whole = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let name = from.get(2..).and_then(|name| name.split_once('}')).map(|(name, _)| name);
        let Some(name) = name.filter(|name| is_variable(name)) else {
            append(&mut whole, before)?;
            append(&mut whole, "${")?;
            rest = from.get(2..).unwrap_or_default();
            continue;
        };
        if let Some(before) = before.strip_suffix('$') {
            append(&mut whole, before)?;
            append(&mut whole, from.get(..name.len() + 3).unwrap_or_default())?;
        } else {
            append(&mut whole, before)?;
            append(&mut whole, lookup(name).ok_or(Refused::Unknown)?)?;
        }
        rest = from.get(name.len() + 3..).unwrap_or_default();
    }
    append(&mut whole, rest)?;
    Ok(whole)
}

fn append(whole: &mut String, part: &str) -> Result<(), Refused> {
    if whole.len().saturating_add(part.len()) > MAX_LENGTH {
        return Err(Refused::Long);
    }
    whole.push_str(part);
    Ok(())
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase() || first == '_')
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_of_the_longest_length_is_understood_and_a_longer_one_is_not() {
        let long = "x".repeat(MAX_LENGTH - 1);
        let replaced = |text: &str| substituted(text, &|_| Some(&long)).map(|whole| whole.len());
        assert_eq!(replaced("${A}."), Ok(MAX_LENGTH));
        assert_eq!(replaced("${A}.."), Err(Refused::Long));
        assert_eq!(replaced("${A}${A}"), Err(Refused::Long));
        assert_eq!(replaced(&"x".repeat(MAX_LENGTH + 1)), Err(Refused::Long));
    }

    #[test]
    fn in_a_setting_that_is_too_long_no_variable_is_looked_for() {
        let asked = std::cell::Cell::new(false);
        let lookup = |_: &str| {
            asked.set(true);
            Some("")
        };
        assert_eq!(substituted(&"${A}".repeat(MAX_LENGTH), &lookup), Err(Refused::Long));
        assert!(!asked.get());
    }

    proptest::proptest! {
        #[test]
        fn any_text_with_variables_is_replaced_within_bounds_or_refused(
            text in r"([${}A-Za-z_]|\$\{|\$\{A\}|é){0,40}", length in 0..6000_usize,
        ) {
            let value = "é".repeat(length);
            if let Ok(whole) = substituted(&text, &|_| Some(&value)) {
                proptest::prop_assert!(whole.len() <= MAX_LENGTH);
            }
            let _ = substituted(&text, &|_| None);
        }
    }
}
