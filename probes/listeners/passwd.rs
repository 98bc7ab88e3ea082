//! The names of this host's users, from passwd(5). The name service is not asked: it may live
//! elsewhere and never answer.

use std::fs::File;
use std::io::Read;

/// The text of /etc/passwd, up to a mebibyte; empty if it cannot be read: users are numbers then.
#[must_use]
pub fn read() -> String {
    const LIMIT: u64 = 1 << 20;
    let mut text = Vec::new();
    if let Ok(file) = File::open("/etc/passwd") {
        let _ = file.take(LIMIT).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// A user's name in that text.
#[must_use]
pub fn name_of(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_number_between_broken_lines() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n\nbroken\n:x:5:5::/:\nwww-data:x:33:33::/var/www:\n";
        assert_eq!(name_of(passwd, 0), Some("root"));
        assert_eq!(name_of(passwd, 33), Some("www-data"));
        assert_eq!(name_of(passwd, 5), None);
    }

    #[test]
    fn this_host_knows_root() {
        assert_eq!(name_of(&read(), 0), Some("root"));
    }
}
