use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use guardian_rules::fact::ConfigState;

use super::*;

fn at(seconds: u64) -> Moment {
    Moment::after_boot(Duration::from_secs(seconds))
}

/// Homes of which some do not answer until they are let go.
struct Homes {
    names: &'static [&'static str],
    hanging: Vec<(&'static str, Receiver<()>)>,
}

impl Homes {
    fn of(names: &'static [&'static str]) -> Self {
        Self { names, hanging: Vec::new() }
    }

    fn hanging(mut self, name: &'static str) -> (Self, Sender<()>) {
        let (go, going) = channel();
        self.hanging.push((name, going));
        (self, go)
    }

    fn look(self) -> impl FnOnce(BTreeSet<PathBuf>) -> io::Result<Look> {
        let Self { names, hanging } = self;
        // Whoever waits for one of them holds nobody up.
        let hanging = Mutex::new(hanging);
        move |but| {
            let homes = move || names.iter().map(PathBuf::from).filter(|home| !but.contains(home)).collect();
            Look::begin(homes, move |home| {
                let going = {
                    let mut hanging = hanging.lock().unwrap();
                    let place = hanging.iter().position(|(name, _)| Path::new(name) == home);
                    place.map(|place| hanging.remove(place).1)
                };
                // Ends when its sender does, too.
                let _ = going.map(|going| going.recv());
                vec![AtRest { path: home.to_owned(), state: ConfigState::Absent }]
            })
        }
    }
}

fn never(_: BTreeSet<PathBuf>) -> io::Result<Look> {
    panic!("it is too early, or one is under way")
}

/// Takes in what comes until it is so; no other look is begun.
fn until(resting: &mut Resting, is_so: impl Fn(&Resting) -> bool) {
    let began = std::time::Instant::now();
    while !is_so(resting) {
        assert!(began.elapsed() < Duration::from_secs(20), "{resting:?}");
        std::thread::sleep(Duration::from_millis(1));
        resting.take_in();
    }
}

/// The look under way is seen to be in this home.
fn enters(resting: &mut Resting, now: Moment, home: &str) {
    until(resting, |it| it.look.as_ref().and_then(Look::at).as_deref() == Some(Path::new(home)));
    resting.turn_with(now, never);
}

fn found(resting: &Resting) -> Vec<&str> {
    resting.found.keys().filter_map(|home| home.to_str()).collect()
}

#[test]
fn each_home_is_told_as_soon_as_it_was_looked_into_and_one_that_is_there_no_more_is_forgotten() {
    let mut resting = Resting::default();
    let (homes, go) = Homes::of(&["/a", "/b"]).hanging("/b");
    resting.turn_with(at(1), homes.look());
    enters(&mut resting, at(1), "/b");
    assert_eq!(found(&resting), ["/a"]);
    drop(go);
    until(&mut resting, |it| it.look.is_none());
    assert_eq!(found(&resting), ["/a", "/b"]);
    resting.turn_with(at(5), never);
    resting.turn_with(at(6), Homes::of(&["/b"]).look());
    until(&mut resting, |it| it.look.is_none());
    assert_eq!(found(&resting), ["/b"]);
    assert_eq!(resting.trouble().count(), 0);
}

#[test]
fn a_home_that_does_not_answer_is_named_and_hides_no_other() {
    let mut resting = Resting::default();
    let (homes, go) = Homes::of(&["/a", "/b", "/c"]).hanging("/b");
    resting.turn_with(at(1), homes.look());
    enters(&mut resting, at(1), "/b");
    resting.turn_with(at(30), never);
    assert_eq!(resting.trouble().count(), 0, "it may be slow");
    // Nobody enters it a second time, and the others are seen, again and again.
    for now in [31, 36, 41] {
        resting.turn_with(at(now), Homes::of(&["/a", "/b", "/c"]).look());
        until(&mut resting, |it| it.look.is_none());
        assert_eq!(found(&resting), ["/a", "/c"]);
        let said: Vec<String> = resting.trouble().collect();
        assert!(said.len() == 1 && said[0].starts_with("/b: no answer"), "{said:?}");
        assert_eq!(resting.hanging.len(), 1);
    }
    drop(go);
    until(&mut resting, |it| it.hanging.is_empty());
    assert_eq!(found(&resting), ["/a", "/b", "/c"]);
    assert_eq!(resting.trouble().count(), 0);
}

#[test]
fn what_was_found_in_a_home_stays_while_it_does_not_answer() {
    let mut resting = Resting::default();
    resting.turn_with(at(1), Homes::of(&["/a", "/b"]).look());
    until(&mut resting, |it| it.look.is_none());
    let (homes, _go) = Homes::of(&["/a", "/b"]).hanging("/a");
    resting.turn_with(at(6), homes.look());
    enters(&mut resting, at(7), "/a");
    resting.turn_with(at(50), Homes::of(&["/b"]).look());
    until(&mut resting, |it| it.look.is_none());
    assert_eq!(found(&resting), ["/a", "/b"]);
}

#[test]
fn a_look_that_was_left_behind_goes_into_no_other_home() {
    let (go, going) = channel::<()>();
    let going = Mutex::new(going);
    let homes = || ["/a", "/b"].map(PathBuf::from).into();
    let look = Look::begin(homes, move |_| {
        let _ = going.lock().unwrap().recv();
        Vec::new()
    })
    .unwrap();
    while look.at().is_none() {
        std::thread::yield_now();
    }
    assert!(!look.ends_with(Path::new("/b")));
    assert!(look.ends_with(Path::new("/a")));
    drop(go);
    assert_eq!(look.told.iter().collect::<Vec<_>>(), [(PathBuf::from("/a"), Vec::new())]);
}

#[test]
fn a_look_for_which_there_is_no_thread_is_told_and_tried_again() {
    let mut resting = Resting::default();
    resting.turn_with(at(1), Homes::of(&["/a"]).look());
    until(&mut resting, |it| it.look.is_none());
    resting.turn_with(at(6), |_| Err(io::ErrorKind::WouldBlock.into()));
    let said: Vec<String> = resting.trouble().collect();
    assert!(said.len() == 1 && said[0].contains("cannot be looked into"), "{said:?}");
    assert_eq!(found(&resting), ["/a"]);
    resting.turn_with(at(10), never);
    resting.turn_with(at(11), Homes::of(&["/a"]).look());
    assert_eq!(resting.trouble().count(), 0);
}

#[test]
fn that_the_homes_cannot_be_listed_is_told() {
    let mut resting = Resting::default();
    let (go, going) = channel::<()>();
    let homes = move || {
        let _ = going.recv();
        BTreeSet::new()
    };
    resting.turn_with(at(1), |_| Look::begin(homes, |_| Vec::new()));
    resting.turn_with(at(2), never);
    resting.turn_with(at(40), never);
    assert_eq!(resting.trouble().count(), 1);
    drop(go);
    until(&mut resting, |it| it.look.is_none());
    resting.turn_with(at(46), Homes::of(&["/a"]).look());
    assert_eq!(resting.trouble().count(), 0);
}
