//! Fields by which somebody between a client and the gate says who the client is.

/// Fields that proxies and networks set to say who a client is, by how their names begin. What
/// begins so and is no such field is not missed by a gateway.
const STARTS: [&[u8]; 22] = [
    b"x-forwarded",
    b"forwarded",
    b"x-real-",
    b"tailscale-",
    b"x-tailscale-",
    b"x-client-",
    b"x-cluster-client-",
    b"x-original-",
    b"x-rewrite-",
    b"x-host",
    b"x-remote-",
    b"x-auth-",
    b"x-authenticated-",
    b"x-authentik-",
    b"x-webauth-",
    b"x-envoy-",
    b"x-goog-",
    b"x-ms-client-",
    b"x-pomerium-",
    b"remote-",
    b"cf-",
    b"true-client-",
];
/// And those of other shapes.
const NAMES: [&[u8]; 6] =
    [b"via", b"client-ip", b"fastly-client-ip", b"fly-client-ip", b"x-user", b"x-email"];

/// The letters that any of them begins with: most fields begin with another.
const INITIALS: &[u8] = b"cfrtvx";

/// Whether a field of this name, in whatever case, says who a client is.
pub(crate) fn is_identity(name: &[u8]) -> bool {
    let is = |known: &&[u8]| name.eq_ignore_ascii_case(known);
    let starts =
        |known: &&[u8]| name.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known));
    let begins = name.first().is_some_and(|initial| INITIALS.contains(&initial.to_ascii_lowercase()));
    begins && (STARTS.iter().any(starts) || NAMES.iter().any(is))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_of_them_is_missed_for_its_first_letter_or_its_case() {
        for name in STARTS.iter().chain(&NAMES) {
            assert!(is_identity(name) && is_identity(&name.to_ascii_uppercase()), "{name:?}");
        }
        assert!(!is_identity(b"") && !is_identity(b"accept") && !is_identity(b"x"));
    }
}
