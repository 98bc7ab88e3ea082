//! The page that `guardian check` prints for people: one line of state, what is wrong, who could
//! reach it, since when, and what to type next.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anstyle::{AnsiColor, Style as Ansi};
use guardian_rules::catalog;
use guardian_rules::finding::{Answer, Finding, Severity};
use guardian_rules::scene::{AccessSummary, Gateway};
use guardian_rules::verdict::{Judgement, Verdict};

use crate::age::age;
use crate::round::{Outcome, Round};
use crate::status::AllowanceStatus;

/// Columns of a page.
const WIDTH: usize = 100;
/// Subjects shown of one rule; the others are counted.
const FEW: usize = 6;

/// What a person has to know who looks at a gateway that Guardian blocks.
const BLOCKED: &str = "The circuit is open: Guardian blocks the gateway, so that what is asked from here may get no \
                       answer. Why, and how to get back: guardian status";
/// What a single look cannot tell of a proxy that the owner allows, and that fails.
const PERHAPS_SEALED: &str = "A proxy that you allow does not get through to the gateway. If that is because Guardian's own \
                              packet filter keeps it away, all is well, and the watcher says so: guardian status";
/// Above what the owner allows in writing.
pub(crate) const ALLOWED: &str = "Allowed beside loopback and VPN";
/// What to do where there is nothing to look at.
const NONE_RUNS: &str = "If one ought to run here, start it and type this again. On another machine Guardian looks only from there.";

/// Whether the page goes to a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// With colours, unless `NO_COLOR` is set.
    Terminal,
    /// Text alone.
    Plain,
}

/// The page of a judgement, and of what the owner allows. `blocked`: the circuit is open.
pub(crate) fn page(
    judgement: &Judgement,
    round: &Round,
    allowances: &[AllowanceStatus],
    blocked: bool,
    style: Style,
) -> String {
    let mut page = String::new();
    headline(&mut page, judgement, style);
    if blocked {
        let _ = writeln!(page, "{}", wrap(BLOCKED, 0));
    } else if perhaps_sealed(&judgement.findings) {
        let _ = writeln!(page, "{}", wrap(PERHAPS_SEALED, 0));
    }
    gateways(&mut page, judgement, round);
    for (title, wanted) in SECTIONS {
        let findings: Vec<&Finding> = judgement.findings.iter().filter(|finding| wanted(finding)).collect();
        section(&mut page, title, &findings, style);
    }
    list(&mut page, ALLOWED, allowances.iter().map(ToString::to_string), style);
    footer(&mut page, judgement, round);
    page
}

/// Whether a door that the owner has allowed to carry the gateway leaves open who gets in by it, and that alone is
/// not seen: what is beside it the watcher may not know either.
fn perhaps_sealed(findings: &[Finding]) -> bool {
    let mut grave = findings.iter().filter(|it| it.severity == Severity::Critical).peekable();
    let is_allowed = |subject: &str| {
        findings.iter().any(|it| {
            it.rule == "panel-republished" && it.severity == Severity::Info && it.subject == subject
        })
    };
    grave.peek().is_some()
        && grave.all(|it| {
            it.rule == "open-without-credentials" && it.answer == Answer::Unknown && is_allowed(&it.subject)
        })
}

type Wanted = fn(&Finding) -> bool;

const SECTIONS: [(&str, Wanted); 4] = [
    ("What is wrong", |finding| finding.severity == Severity::Critical && finding.answer == Answer::Yes),
    ("What could not be seen", |finding| {
        finding.severity == Severity::Critical && finding.answer == Answer::Unknown
    }),
    ("Worth mending", |finding| finding.severity == Severity::Warning),
    ("Worth knowing", |finding| finding.severity == Severity::Info),
];

fn headline(page: &mut String, judgement: &Judgement, style: Style) {
    let count = judgement.gateways.len();
    let (word, colour, sentence) = match judgement.verdict {
        Verdict::Exposed => {
            ("EXPOSED", AnsiColor::Red, "a gateway is open to more than it should be. Act now.".to_owned())
        }
        Verdict::Blind => (
            "UNKNOWN",
            AnsiColor::Yellow,
            "not everything could be seen. Do not take this for safe.".to_owned(),
        ),
        Verdict::Safe if count == 0 => (
            "SAFE",
            AnsiColor::Green,
            "no gateway was found on this host, and nothing that publishes one.".to_owned(),
        ),
        Verdict::Safe if count == 1 => (
            "SAFE",
            AnsiColor::Green,
            "the gateway takes connections on allowed addresses only, and asks for credentials.".to_owned(),
        ),
        Verdict::Safe => (
            "SAFE",
            AnsiColor::Green,
            format!("{count} gateways take connections on allowed addresses only, and ask for credentials."),
        ),
    };
    let _ = writeln!(page, "{}  {sentence}", paint(word, colour, style));
}

fn gateways(page: &mut String, judgement: &Judgement, round: &Round) {
    if judgement.gateways.is_empty() {
        if judgement.verdict != Verdict::Safe {
            page.push_str("\nNo gateway was found on this host.\n");
        }
        if judgement.verdict != Verdict::Exposed {
            let _ = writeln!(page, "{}", wrap(NONE_RUNS, 0));
        }
        return;
    }
    page.push_str(if judgement.gateways.len() == 1 { "\nGateway\n" } else { "\nGateways\n" });
    for gateway in &judgement.gateways {
        let _ = writeln!(page, "  {}", describe(gateway, round));
    }
}

fn describe(gateway: &Gateway, round: &Round) -> String {
    let product = gateway.product.map_or_else(|| "gateway".to_owned(), |product| product.to_string());
    let listeners: Vec<String> = gateway.listeners.iter().map(ToString::to_string).collect();
    let mut facts = vec![match gateway.pid {
        Some(pid) => format!("pid {pid}"),
        None => "process cannot be named".to_owned(),
    }];
    facts.extend(gateway.user.as_ref().map(|user| format!("user {user}")));
    facts.extend(running_for(gateway, round).map(|time| format!("running for {}", age(time))));
    facts.push(
        match gateway.access {
            AccessSummary::Open => "lets anyone in",
            AccessSummary::Required => "asks for credentials",
            AccessSummary::Unknown => "does not tell whether it asks for credentials",
        }
        .to_owned(),
    );
    format!("{product}  {}  ({})", listeners.join(" "), facts.join(", "))
}

fn running_for(gateway: &Gateway, round: &Round) -> Option<Duration> {
    let processes = round.snapshot.owner.known()?;
    let process = processes.iter().find(|process| Some(process.pid) == gateway.pid)?;
    let started = UNIX_EPOCH.checked_add(Duration::from_secs(process.started))?;
    SystemTime::now().duration_since(started).ok()
}

fn section(page: &mut String, title: &str, findings: &[&Finding], style: Style) {
    if findings.is_empty() {
        return;
    }
    let _ = writeln!(page, "\n{}", bold(title, style));
    let mut by_rule: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        by_rule.entry(finding.rule).or_default().push(finding);
    }
    // In the catalog's order: gravest first.
    for rule in catalog::CATALOG {
        let Some(findings) = by_rule.get(rule.id) else { continue };
        let title = match findings.first().map(|finding| finding.answer) {
            Some(Answer::Yes) | None => rule.title.to_owned(),
            Some(Answer::Unknown) => {
                format!("It cannot be told whether this is so: {}", lower_first(rule.title))
            }
        };
        let _ = writeln!(page, "{}", wrap(&format!("{title} [{}]", rule.id), 2));
        for finding in findings.iter().take(FEW) {
            let _ = writeln!(page, "{}", wrap(&finding.subject, 4));
            for line in &finding.evidence {
                let _ = writeln!(page, "{}", hang("- ", line, 6));
            }
        }
        if findings.len() > FEW {
            let _ = writeln!(page, "    and {} more", findings.len() - FEW);
        }
        let mut remedies: Vec<&str> = findings.iter().map(|finding| finding.remedy.as_str()).collect();
        remedies.dedup();
        for remedy in remedies {
            let _ = writeln!(page, "{}", hang("To do: ", remedy, 4));
        }
    }
}

fn footer(page: &mut String, judgement: &Judgement, round: &Round) {
    let blind = round.probes.iter().filter(|probe| probe.outcome == Outcome::Blind).count();
    let saw = round.probes.len() - blind;
    let _ = writeln!(page, "\n{saw} of {} probes saw, in {} ms.", round.probes.len(), round.took.as_millis());
    if let Some(gravest) = judgement.findings.iter().find(|finding| finding.severity > Severity::Info) {
        let _ = writeln!(page, "More: guardian explain {}", gravest.rule);
    }
}

/// Lines below a title; neither if there are none.
pub(crate) fn list(page: &mut String, title: &str, lines: impl Iterator<Item = String>, style: Style) {
    for (n, line) in lines.enumerate() {
        if n == 0 {
            let _ = writeln!(page, "\n{}", bold(title, style));
        }
        let _ = writeln!(page, "{}", wrap(&line, 2));
    }
}

/// Text in lines of a page, each indented.
pub(crate) fn wrap(text: &str, indent: usize) -> String {
    hang("", text, indent)
}

/// Text in lines of a page after a mark; the following lines stand under the text.
pub(crate) fn hang(mark: &str, text: &str, indent: usize) -> String {
    let first = format!("{}{mark}", " ".repeat(indent));
    let next = " ".repeat(first.len());
    let clean = printable(text);
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(&first)
        .subsequent_indent(&next)
        // Names of rules and options stay whole.
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::fill(&clean, options)
}

/// What processes and servers say of themselves must not steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Rules' titles are sentences; one of them may follow a colon.
fn lower_first(title: &str) -> String {
    let mut chars = title.chars();
    chars.next().map_or_else(String::new, |first| format!("{}{}", first.to_lowercase(), chars.as_str()))
}

/// A word in bold and colour.
pub(crate) fn paint(word: &str, colour: AnsiColor, style: Style) -> String {
    styled(word, Ansi::new().bold().fg_color(Some(colour.into())), style)
}

/// A word in bold.
pub(crate) fn bold(word: &str, style: Style) -> String {
    styled(word, Ansi::new().bold(), style)
}

fn styled(word: &str, ansi: Ansi, style: Style) -> String {
    if style == Style::Plain || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        word.to_owned()
    } else {
        format!("{ansi}{word}{ansi:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_calls_itself_cannot_steer_the_terminal() {
        assert!(!wrap("evil\u{1b}[2Jname\r\n", 2).contains('\u{1b}'));
        assert_eq!(wrap("a\nb", 0), "a\u{fffd}b");
    }

    #[test]
    fn only_an_allowed_proxy_of_which_nothing_else_is_unknown_may_be_kept_away_by_the_seal() {
        let finding = |rule, severity, answer, subject: &str| Finding {
            rule,
            severity,
            answer,
            subject: subject.to_owned(),
            evidence: Vec::new(),
            remedy: String::new(),
        };
        let unknown = finding("open-without-credentials", Severity::Critical, Answer::Unknown, "0.0.0.0:80");
        let allowed = finding("panel-republished", Severity::Info, Answer::Yes, "0.0.0.0:80");
        let another = finding("panel-republished", Severity::Info, Answer::Yes, "0.0.0.0:81");
        let exposed = finding("open-without-credentials", Severity::Critical, Answer::Yes, "0.0.0.0:80");
        let blind = finding("probe-blind", Severity::Critical, Answer::Unknown, "peers");
        assert!(perhaps_sealed(&[unknown.clone(), allowed.clone()]));
        for no in [
            vec![],
            vec![allowed.clone()],
            vec![unknown.clone()],
            vec![unknown.clone(), another],
            vec![exposed, allowed.clone()],
            vec![unknown, blind, allowed],
        ] {
            assert!(!perhaps_sealed(&no), "{no:?}");
        }
    }

    #[test]
    fn lines_stand_under_their_text() {
        let text = hang("- ", &"word ".repeat(40), 6);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= WIDTH));
        assert!(lines[0].starts_with("      - word") && lines[1].starts_with("        word"));
    }
}
