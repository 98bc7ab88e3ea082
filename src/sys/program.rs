//! The pages of the program itself that this process holds.

#[cfg(any(target_os = "linux", test))]
use std::ops::Range;

/// Gives back the pages of code and constants that were read to start with. The kernel maps sixteen of them
/// around each that is touched, so that starting brings in most of the program, and nothing takes a page
/// back while there is memory to be had. What is used goes on being used: it is mapped again when it is
/// touched, from the file that is in memory anyway.
///
/// Elsewhere than on Linux nothing is done.
pub(crate) fn give_back() {
    #[cfg(target_os = "linux")]
    {
        let (Ok(program), Ok(smaps)) =
            (std::fs::read_link("/proc/self/exe"), std::fs::read_to_string("/proc/self/smaps"))
        else {
            return;
        };
        let Some(program) = program.to_str() else { return };
        for pages in untouched(&smaps, program) {
            let Some(at) = std::ptr::NonNull::new(std::ptr::with_exposed_provenance_mut(pages.start)) else {
                continue;
            };
            // SAFETY: these are pages of this very program's file, which is mapped for as long as the process
            // lives. By what the kernel has just said it may not write to them and never has, so that what is
            // read there after this call, also by a thread that runs that code, is read from the file again and
            // is what was there before (madvise(2), MADV_DONTNEED).
            let given = unsafe {
                nix::sys::mman::madvise(at, pages.len(), nix::sys::mman::MmapAdvise::MADV_DONTNEED)
            };
            if let Err(failed) = given {
                tracing::debug!("pages of the program are kept: {failed}");
            }
        }
    }
}

/// The mappings of the program that are private and cannot be written, and of which no page differs from the
/// file (`proc_pid_smaps(5)`).
#[cfg(any(target_os = "linux", test))]
fn untouched(smaps: &str, program: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut of: Option<Range<usize>> = None;
    let mut none_in_memory = false;
    for line in smaps.lines() {
        if let Some(mapping) = Mapping::read(line) {
            of = (mapping.is_read_only && mapping.file == program).then_some(mapping.pages);
            none_in_memory = false;
        } else if let Some(size) = line.strip_prefix("Anonymous:") {
            none_in_memory = size.trim() == "0 kB";
        } else if let Some(size) = line.strip_prefix("Swap:") {
            // Told after the other. Pages that differ may be out of memory, too.
            let none_out_of_it = size.trim() == "0 kB";
            found.extend(of.take().filter(|_| none_in_memory && none_out_of_it));
        }
    }
    found
}

/// The first line of a mapping.
#[cfg(any(target_os = "linux", test))]
struct Mapping<'a> {
    pages: Range<usize>,
    is_read_only: bool,
    file: &'a str,
}

#[cfg(any(target_os = "linux", test))]
impl<'a> Mapping<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let mut rest = line;
        let mut next = || {
            let (field, after) = rest.split_once(' ')?;
            rest = after.trim_start_matches(' ');
            Some(field)
        };
        let (start, end) = next()?.split_once('-')?;
        let number = |digits| usize::from_str_radix(digits, 16).ok();
        let pages = number(start)?..number(end)?;
        let is_read_only = matches!(next()?, "r-xp" | "r--p") && !pages.is_empty();
        let (_offset, _device, _inode) = (next()?, next()?, next()?);
        Some(Self { pages, is_read_only, file: rest })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mapping(line: &str, anonymous: &str) -> String {
        format!("{line}\nRss:  8 kB\nAnonymous:  {anonymous} kB\nSwap:  0 kB\nVmFlags: rd ex mr mw me sd\n")
    }

    const PROGRAM: &str = "/opt/my tools/guardian";
    const CODE: &str = "561539671000-561539673000 r-xp 00028000 fe:00 1835    /opt/my tools/guardian";

    #[test]
    fn only_what_is_as_in_the_file_is_given_back() {
        let all = 0x5615_3967_1000..0x5615_3967_3000;
        let of = |line: &str, anonymous| untouched(&mapping(line, anonymous), PROGRAM);
        assert_eq!(of(CODE, "0"), std::slice::from_ref(&all));
        assert_eq!(of(&CODE.replace("r-xp", "r--p"), "0"), [all]);
        assert!(of(CODE, "4").is_empty(), "a page was written: relocated, or by a debugger");
        for other in ["rw-p", "r-xs", "rwxp", "---p", "r--s"] {
            assert!(of(&CODE.replace("r-xp", other), "0").is_empty(), "{other}");
        }
        for other in
            ["[vdso]", "", "[heap]", "/usr/lib/libc.so.6", "/opt/my tools/guardian (deleted)", "guardian"]
        {
            assert!(of(&CODE.replace(PROGRAM, other), "0").is_empty(), "{other}");
        }
        assert!(untouched(CODE, PROGRAM).is_empty(), "nothing is said of its pages");
        let swapped = mapping(CODE, "0").replace("Swap:  0", "Swap:  4");
        assert!(untouched(&swapped, PROGRAM).is_empty(), "a page of its own is out of memory");
    }

    proptest! {
        #[test]
        fn nonsense_panics_nowhere(text in "([0-9a-f:/ rxp\n-]|Anonymous:|Swap:| kB|g){0,80}") {
            for pages in untouched(&text, "g") {
                prop_assert!(!pages.is_empty());
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_program_goes_on_with_less_memory() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("RssFile:")).unwrap();
            line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        let others = std::thread::spawn(|| (0..2000).map(|number| number.to_string().len()).sum::<usize>());
        let before = resident();
        give_back();
        let after = resident();
        assert_eq!(others.join().unwrap(), 6890);
        assert!(after < before, "{before} KiB before, {after} after");
    }
}
