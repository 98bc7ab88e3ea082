//! What was measured, as a table in Markdown, and which bars were missed.

use crate::process::median;

/// What a number has to be.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    AtLeast(f64),
    AtMost(f64),
    None,
}

impl Bar {
    fn misses(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bar) => value < bar,
            Self::AtMost(bar) => value > bar,
            Self::None => false,
        }
    }
}

impl std::fmt::Display for Bar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bar) => write!(f, "at least {bar}"),
            Self::AtMost(bar) => write!(f, "at most {bar}"),
            Self::None => Ok(()),
        }
    }
}

pub(crate) struct Table {
    /// Rows of other peers, without bars.
    pub(crate) beside: Vec<String>,
    missed: Vec<String>,
}

impl Table {
    pub(crate) fn begin() -> Self {
        println!("| what | nginx | gate | gate / nginx | bar |\n|---|---|---|---|---|");
        Self { beside: Vec::new(), missed: Vec::new() }
    }

    /// Both as medians, and a bar on their ratio: the median of what it is round by round, for the machine drifts from
    /// one to the next.
    pub(crate) fn ratio(&mut self, what: &str, peer: &[f64], gate: &[f64], bar: Bar) {
        let ratio = median(gate.iter().zip(peer).map(|(gate, peer)| gate / peer).collect());
        let (peer, gate) = (median(peer.to_vec()), median(gate.to_vec()));
        println!("| {what} | {peer:.1} | {gate:.1} | {ratio:.2} | {bar} |");
        self.judge(what, bar.misses(ratio));
    }

    /// The gate's alone and nginx's where it was measured, and a bar on the gate's number.
    pub(crate) fn number(&mut self, what: &str, peer: Option<f64>, gate: f64, bar: Bar) {
        let peer = peer.map_or_else(String::new, |peer| format!("{peer:.1}"));
        println!("| {what} | {peer} | {gate:.1} | | {bar} |");
        self.judge(what, bar.misses(gate));
    }

    fn judge(&mut self, what: &str, is_missed: bool) {
        if is_missed {
            self.missed.push(what.to_owned());
        }
    }

    pub(crate) fn end(self) {
        if !self.beside.is_empty() {
            println!(
                "\n| what | peer | requests a second | gate / peer | µs of its core a request | gate / peer |"
            );
            println!("|---|---|---|---|---|---|\n{}", self.beside.join("\n"));
        }
        assert!(self.missed.is_empty(), "bars missed: {:?}", self.missed);
    }
}
