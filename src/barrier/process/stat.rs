//! The file `/proc/PID/stat` (`proc_pid_stat(5)`).

/// `PF_KTHREAD` of `<linux/sched.h>`. Being a child of process 2 would not tell it: in a container
/// that is a process like any other.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) name: String,
    pub(super) parent: u32,
    /// Not a zombie. One whose first thread has ended while others run shows as one, but lives.
    pub(super) alive: bool,
    pub(super) kernel: bool,
    /// Start in clock ticks after boot.
    pub(super) ticks: u64,
}

impl Stat {
    /// Reads it. The name is whatever the process likes, brackets and spaces too, so it ends at the
    /// last bracket.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let (front, rest) = text.rsplit_once(')')?;
        let (_, name) = front.split_once('(')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Numbered as in the manual page, where the state is the third.
        let number = |nth: usize| fields.get(nth - 3)?.parse::<u64>().ok();
        let ended = matches!(*fields.first()?, "Z" | "X" | "x");
        Some(Self {
            name: name.to_owned(),
            parent: u32::try_from(number(4)?).ok()?,
            alive: !ended || number(20)? > 1,
            kernel: number(9)? & KERNEL_THREAD != 0,
            ticks: number(22)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(name: &str, state: &str, flags: u64, threads: u64) -> String {
        format!(
            "812 ({name}) {state} 800 812 812 0 -1 {flags} 1 2 3 4 5 6 7 8 20 0 {threads} 0 157105 9 9 9 9\n"
        )
    }

    fn read(text: &str) -> Option<Stat> {
        Stat::read(text.as_bytes())
    }

    #[test]
    fn parent_and_start_are_read_whatever_the_name_is() {
        for name in ["openclaw-gatewa", "a b", "x) Z 1 (y", ")", "(", ""] {
            let stat = read(&line(name, "S", 4_194_304, 11)).unwrap();
            let wanted =
                Stat { name: name.to_owned(), parent: 800, alive: true, kernel: false, ticks: 157_105 };
            assert_eq!(stat, wanted);
        }
    }

    #[test]
    fn a_zombie_is_gone_unless_other_threads_of_it_run() {
        assert!(!read(&line("x", "Z", 0, 1)).unwrap().alive);
        assert!(!read(&line("x", "X", 0, 0)).unwrap().alive);
        assert!(read(&line("x", "Z", 0, 2)).unwrap().alive);
        assert!(read(&line("x", "T", 0, 1)).unwrap().alive, "one that is stopped lives");
    }

    #[test]
    fn a_thread_of_the_kernel_shows_in_its_flags() {
        assert!(read(&line("kthreadd", "S", 0x0020_8040, 1)).unwrap().kernel);
    }

    #[test]
    fn a_line_that_is_cut_is_none() {
        let whole = line("x", "S", 0, 1);
        for end in 0..whole.find("157105").unwrap() {
            assert_eq!(read(&whole[..end]), None);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_borne(text in "([0-9]{0,20}|\\(|\\)| |[A-Z]|-){0,60}") {
            let _ = read(&text);
        }
    }
}
