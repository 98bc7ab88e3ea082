//! `guardian token`: what a program gets, and what a person is told.

use crate::place::{Place, code, said, told};

#[test]
fn standard_output_is_the_token_alone_and_a_person_is_told_how_it_is_sent() {
    for policy in ["", "moed = 1\n"] {
        let place = Place::new().with_config(policy);
        let output = place.guardian(&["token", "new", "phone"]);
        assert_eq!(code(&output), 0, "{}", told(&output));
        let token = said(&output);
        assert!(token.starts_with("gdn_") && token.lines().count() == 1 && token.ends_with('\n'), "{token}");
        assert!(told(&output).contains("`Guardian-Token: gdn_…`"), "{}", told(&output));
        assert_eq!(told(&output).contains("curl -i"), policy.is_empty(), "{}", told(&output));
        assert!(!told(&output).contains(token.trim()), "shown once");
    }
    let json = Place::new().with_config("").guardian(&["token", "new", "phone", "--json"]);
    assert_eq!(told(&json), "");
}
