//! A check leaves nothing behind on the gateway.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::gateway::{LAN_9_6, SOUND_1_24, Scene, TOKEN};
use crate::host::User;
use crate::http;
use crate::place::{LAN, LOOPBACK, at};
use crate::ready::Lab;
use crate::report::check;

/// Everything the gateway has written to say what happens to it.
fn log(scene: &Scene) -> String {
    let mut log = scene.gateway.process.printed();
    let product = scene.gateway.setup.version.product();
    let mut files: Vec<_> = fs::read_dir(scene.host().path(&format!("/tmp/{product}")))
        .map(|folder| folder.map(|file| file.unwrap().path()).collect())
        .unwrap_or_default();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "log")) {
        log.push_str(&fs::read_to_string(file).unwrap());
    }
    log
}

/// Devices that are paired, or that ask to be.
fn devices(scene: &Scene) -> String {
    let state = format!(
        "{}/gateway-{}/.{}",
        scene.gateway.setup.user.home(),
        scene.gateway.setup.port,
        scene.gateway.setup.version.product()
    );
    let count = "import json, os, sqlite3, sys\n\
         state = sys.argv[1]\n\
         for name in ('pending', 'paired'):\n\
         \x20   path = f'{state}/devices/{name}.json'\n\
         \x20   print(name, json.load(open(path)) if os.path.exists(path) else {})\n\
         path = f'{state}/state/openclaw.sqlite'\n\
         if os.path.exists(path):\n\
         \x20   base = sqlite3.connect(f'file:{path}?mode=ro', uri=True)\n\
         \x20   for table in ('device_pairing_pending', 'device_pairing_paired'):\n\
         \x20       print(table, base.execute(f'select count(*) from {table}').fetchone())\n";
    scene.host().run(User::Root, &["/usr/bin/python3", "-c", count, &state])
}

/// The log, once the gateway has said all it has to say of its own start.
fn once_quiet(scene: &Scene) -> String {
    let mut last = log(scene);
    for _ in 0..12 {
        sleep(Duration::from_secs(5));
        let now = log(scene);
        if now == last {
            return now;
        }
        last = now;
    }
    panic!("the gateway talks to itself:\n{last}");
}

fn a_hundred_checks_leave_no_trace(scene: &Scene) {
    let before = (once_quiet(scene).lines().count(), devices(scene));
    for _ in 0..100 {
        check(scene.host());
    }
    let log = log(scene);
    let new: Vec<&str> = log.lines().collect::<Vec<_>>().split_off(before.0);
    assert!(new.is_empty(), "the gateway has something to say: {new:#?}");
    assert_eq!(devices(scene), before.1);
}

#[test]
fn a_hundred_checks_leave_no_trace_on_a_gateway_of_2026_1_24() {
    let Some(lab) = Lab::open() else { return };
    let scene = SOUND_1_24.hold(&lab);
    a_hundred_checks_leave_no_trace(&scene);
    let right = format!("Authorization: Bearer {TOKEN}");
    let port = scene.gateway.setup.port;
    let answer = http::ask(scene.host(), at(LOOPBACK, port), "POST /tools/invoke", &[&right]).unwrap();
    assert_eq!(answer.status, 400, "the right token gets in");
}

#[test]
fn a_hundred_checks_leave_no_trace_on_a_gateway_of_2026_9_6_nor_use_its_patience() {
    let Some(lab) = Lab::open() else { return };
    let scene = LAN_9_6.hold(&lab);
    a_hundred_checks_leave_no_trace(&scene);
    // The checks come from the host's own address. Ten wrong tokens a minute from there and the gateway
    // answers nobody there any more: nine are left, and the right one gets in after them.
    let call = |token: &str| {
        let header = format!("Authorization: Bearer {token}");
        let face = at(LAN, scene.gateway.setup.port);
        http::ask(scene.host(), face, "POST /tools/invoke", &[&header]).unwrap().status
    };
    for wrong in 1..=9 {
        assert_eq!(call("wrong"), 401, "wrong token {wrong}");
    }
    assert_eq!(call(TOKEN), 400, "the right token gets in");
}
