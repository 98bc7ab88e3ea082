//! How long a check takes on an idle host with one gateway.

use std::io::Write as _;
use std::time::Duration;

use crate::gateway::SOUND_9_6;
use crate::host::User;
use crate::ready::Lab;
use crate::report::Check;

#[test]
fn a_check_answers_within_a_second() {
    let Some(lab) = Lab::alone() else { return };
    let scene = SOUND_9_6.hold(&lab);
    for user in [User::Root, User::Ana] {
        let mut times: Vec<Duration> = (0..5)
            .map(|_| {
                let report = Check::of(scene.host()).by(user).run();
                report.is("safe");
                report.took
            })
            .collect();
        times.sort_unstable();
        let _ = writeln!(std::io::stderr().lock(), "measured: a check by {} takes {times:?}", user.name());
        assert!(times[2] < Duration::from_secs(1), "a check takes {times:?}");
    }
}
