//! A judgement, and what a test expects of it.

use guardian_rules::finding::{Answer, Finding, Severity};
use guardian_rules::scene::Gateway;
use guardian_rules::verdict::{Judgement, Verdict};

/// What was concluded of a host.
#[derive(Debug)]
pub(crate) struct Conclusion(pub(crate) Judgement);

impl Conclusion {
    pub(crate) fn gateways(&self) -> &[Gateway] {
        &self.0.gateways
    }

    /// What this rule found.
    pub(crate) fn findings(&self, rule: &str) -> std::vec::IntoIter<&Finding> {
        let findings: Vec<&Finding> = self.0.findings.iter().filter(|finding| finding.rule == rule).collect();
        findings.into_iter()
    }

    /// The only finding of this rule.
    #[track_caller]
    pub(crate) fn only(&self, rule: &str) -> &Finding {
        let found: Vec<&Finding> = self.findings(rule).collect();
        match found.as_slice() {
            [finding] => finding,
            _ => panic!("{} findings of {rule} where one is expected in {self:#?}", found.len()),
        }
    }

    /// Nothing of this rule.
    #[track_caller]
    pub(crate) fn nothing_of(&self, rule: &str) -> &Self {
        assert_eq!(self.findings(rule).count(), 0, "{rule} in {self:#?}");
        self
    }

    /// One finding of this rule with this weight and answer; and the subject it is about.
    #[track_caller]
    pub(crate) fn says(&self, rule: &str, severity: Severity, answer: Answer, subject: &str) -> &Self {
        let found = self.findings(rule).any(|finding| {
            finding.severity == severity && finding.answer == answer && finding.subject.contains(subject)
        });
        assert!(found, "no {severity:?} {answer:?} of {rule} about {subject} in {self:#?}");
        self
    }

    /// A critical yes.
    #[track_caller]
    pub(crate) fn exposes(&self, rule: &str, subject: &str) -> &Self {
        self.says(rule, Severity::Critical, Answer::Yes, subject).is(Verdict::Exposed)
    }

    /// A critical unknown.
    #[track_caller]
    pub(crate) fn doubts(&self, rule: &str, subject: &str) -> &Self {
        self.says(rule, Severity::Critical, Answer::Unknown, subject);
        assert!(self.0.verdict >= Verdict::Blind, "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn warns(&self, rule: &str, subject: &str) -> &Self {
        self.says(rule, Severity::Warning, Answer::Yes, subject)
    }

    #[track_caller]
    pub(crate) fn notes(&self, rule: &str, subject: &str) -> &Self {
        let noted = self
            .findings(rule)
            .any(|finding| finding.severity == Severity::Info && finding.subject.contains(subject));
        assert!(noted, "no info of {rule} about {subject} in {self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn is(&self, verdict: Verdict) -> &Self {
        assert_eq!(self.0.verdict, verdict, "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn is_safe(&self) -> &Self {
        self.is(Verdict::Safe)
    }

    #[track_caller]
    pub(crate) fn is_blind(&self) -> &Self {
        self.is(Verdict::Blind)
    }

    /// The only finding of this rule says what to do, beginning so.
    #[track_caller]
    pub(crate) fn advises(&self, rule: &str, words: &str) -> &Self {
        let finding = self.only(rule);
        assert!(finding.remedy.starts_with(words), "{rule} does not advise {words:?} in {finding:#?}");
        self
    }

    /// Some sentence of evidence of this rule says so.
    #[track_caller]
    pub(crate) fn because(&self, rule: &str, words: &str) -> &Self {
        let said =
            self.findings(rule).any(|finding| finding.evidence.iter().any(|line| line.contains(words)));
        assert!(said, "{rule} does not say {words:?} in {self:#?}");
        self
    }
}
