//! What a look at the listeners costs, beside the least it can cost and beside other tools.
//!
//! Times are medians; what counts are the ratios within one run. The floor is a bare dump of the
//! kernel's listeners over one netlink socket, thrown away unread. Each scenario is made by child
//! processes of this program.
//!
//! `cargo bench -p guardian-probes --bench listeners` prints a table and says whether the bars are
//! met; it fails if they are not.

#[cfg(target_os = "linux")]
#[path = "listeners/linux.rs"]
mod linux;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("left out: the floor is Linux's");
}
