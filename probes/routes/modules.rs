//! Web servers that relay only by a module: what of it they have loaded, as their memory shows (`/proc/PID/maps`).

/// Whether a web server can carry a request to a gateway; none if that cannot be told. A module for applications (`FastCGI` and
/// its kin) is no way to a gateway, which does not speak that.
pub(super) fn relays(program: &str, maps: &str) -> Option<bool> {
    let files = maps.lines().filter_map(|line| line.split_once('/').map(|(_, path)| path));
    let has = |module: &str| files.clone().any(|path| path.contains(module));
    match program {
        // One into which all modules were built shows none.
        "apache2" | "httpd" | "lighttpd" if !has("/mod_") => None,
        "apache2" | "httpd" => {
            let ways = ["mod_proxy_http", "mod_proxy_wstunnel", "mod_proxy_connect", "mod_proxy_express"];
            Some(ways.into_iter().any(has))
        }
        "lighttpd" => Some(has("/mod_proxy") || has("/mod_wstunnel") || has("/mod_sockproxy")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(files: &[&str]) -> String {
        let line = |file: &&str| format!("7f1c2a000000-7f1c2a004000 r-xp 00000000 08:01 4711   {file}\n");
        format!(
            "5589f0000000-5589f0010000 rw-p 00000000 00:00 0   [heap]\n{}",
            files.iter().map(line).collect::<String>()
        )
    }

    #[test]
    fn a_web_server_relays_with_its_module_alone() {
        let apache = "/usr/sbin/apache2";
        let of = |program, files: &[&str]| relays(program, &maps(files));
        assert_eq!(of("apache2", &[apache, "/usr/lib/apache2/modules/mod_mpm_event.so"]), Some(false));
        let fcgi = ["/usr/lib/apache2/modules/mod_proxy.so", "/usr/lib/apache2/modules/mod_proxy_fcgi.so"];
        assert_eq!(of("apache2", &fcgi), Some(false), "for PHP");
        for way in [
            "mod_proxy_http.so",
            "mod_proxy_http2.so",
            "mod_proxy_wstunnel.so (deleted)",
            "mod_proxy_connect.so",
        ] {
            assert_eq!(of("httpd", &[&format!("/usr/lib/httpd/modules/{way}")]), Some(true), "{way}");
        }
        assert_eq!(of("lighttpd", &["/usr/sbin/lighttpd", "/usr/lib/lighttpd/mod_fastcgi.so"]), Some(false));
        assert_eq!(of("lighttpd", &["/usr/sbin/lighttpd", "/usr/lib/lighttpd/mod_proxy.so"]), Some(true));
    }

    #[test]
    fn what_shows_no_modules_or_is_another_program_is_not_known() {
        assert_eq!(relays("apache2", &maps(&["/usr/sbin/apache2"])), None);
        assert_eq!(relays("httpd", ""), None);
        assert_eq!(relays("lighttpd", ""), None);
        assert_eq!(relays("lighttpd", &maps(&["/usr/sbin/lighttpd", "/usr/lib/libc.so.6"])), None);
        assert_eq!(relays("traefik", &maps(&["/usr/bin/traefik"])), None);
    }
}
