//! A desktop session of Ana's on a host of the lab: a display, a bus, and what shows notifications.

use std::time::Duration;

use serde_json::Value;

use crate::host::{Host, User};
use crate::running::Running;

/// Long enough for anything that happens within a session.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A display and a bus.
pub(crate) struct Session<'a> {
    _bus: Running,
    _display: Running,
    folder: &'static str,
    pub(crate) host: &'a Host,
}

impl<'a> Session<'a> {
    /// With its bus in a folder of Ana's.
    pub(crate) fn begin(host: &'a Host, folder: &'static str) -> Self {
        let mut display =
            host.start(User::Ana, Host::command("Xvfb").args([":7", "-screen", "0", "640x480x24"]));
        display.wait_until("the display", SOON, || host.path("/tmp/.X11-unix/X7").exists());
        let mut bus = Host::command("dbus-daemon");
        bus.args(["--session", "--nofork", "--nopidfile", "--address", &format!("unix:path={folder}/bus")]);
        let mut bus = host.start(User::Ana, &mut bus);
        bus.wait_until("the bus", SOON, || host.path(&format!("{folder}/bus")).exists());
        Self { _bus: bus, _display: display, folder, host }
    }

    /// Where its bus is, as programs are told.
    pub(crate) fn address(&self) -> String {
        format!("unix:path={}/bus", self.folder)
    }

    /// The service that shows notifications. It prints what it shows.
    pub(crate) fn service(&self) -> Running {
        let mut dunst = Host::command("dunst");
        dunst.arg("-print").env("DISPLAY", ":7").env("DBUS_SESSION_BUS_ADDRESS", self.address());
        // What it keeps of its fonts is not to lie in a home that is compared.
        dunst.env("XDG_CACHE_HOME", "/tmp/cache-of-a-desktop");
        let mut service = self.host.start(User::Ana, &mut dunst);
        service.wait_until("the service", SOON, || {
            let names =
                ["org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "ListNames"];
            self.busctl("call", &names).to_string().contains("org.freedesktop.Notifications")
        });
        service
    }

    /// The first message of Guardian's that a service has shown: its headline, and what is below.
    pub(crate) fn first_message(service: &Running) -> Option<(String, String)> {
        let printed = service.printed();
        let of_guardian = printed.split_once("appname: 'Guardian'")?.1;
        let (headline, rest) = of_guardian.split_once("summary: '")?.1.split_once("'\n")?;
        let (text, _) = rest.split_once("body: '")?.1.split_once("'\n")?;
        Some((headline.to_owned(), text.to_owned()))
    }

    fn busctl(&self, verb: &str, about: &[&str]) -> Value {
        let address = format!("--address={}", self.address());
        let command = [&["busctl", &address, "--json=short", verb], about].concat();
        serde_json::from_str(&self.host.run(User::Ana, &command)).unwrap()
    }

    fn dunst(&self, verb: &str, what: &str) -> Value {
        let name = "org.freedesktop.Notifications";
        self.busctl(verb, &[name, "/org/freedesktop/Notifications", "org.dunstproject.cmd0", what])["data"]
            .take()
    }

    /// How many notifications are shown.
    pub(crate) fn shown(&self) -> u64 {
        self.dunst("get-property", "displayedLength").as_u64().unwrap()
    }

    /// Takes away what is shown, and returns all that was ever taken away, the last first.
    pub(crate) fn take_away(&self) -> Vec<Value> {
        let name = "org.freedesktop.Notifications";
        let address = format!("--address={}", self.address());
        let close = ["/org/freedesktop/Notifications", "org.dunstproject.cmd0", "NotificationCloseAll"];
        self.host.run(User::Ana, &[&["busctl", &address, "call", name], &close[..]].concat());
        self.dunst("call", "NotificationListHistory")[0].as_array().unwrap().clone()
    }
}
