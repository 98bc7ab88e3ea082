//! What `guardian check --json` prints. Other programs rely on its shape.

use guardian_rules::finding::Finding;
use guardian_rules::scene::Gateway;
use guardian_rules::verdict::{Judgement, Verdict};
use serde::Serialize;

use crate::round::ProbeReport;
use crate::status::AllowanceStatus;

/// The whole answer, schema 1.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'a> {
    schema: u8,
    verdict: Verdict,
    exit: u8,
    gateways: &'a [Gateway],
    findings: &'a [Finding],
    probes: &'a [ProbeReport],
    allowances: &'a [AllowanceStatus],
}

impl<'a> Report<'a> {
    /// The answer for a judgement, the probes behind it, what the owner allows and the exit code that goes with it.
    pub(crate) fn new(
        judgement: &'a Judgement,
        probes: &'a [ProbeReport],
        allowances: &'a [AllowanceStatus],
        exit: u8,
    ) -> Self {
        Self {
            schema: 1,
            verdict: judgement.verdict,
            exit,
            gateways: &judgement.gateways,
            findings: &judgement.findings,
            probes,
            allowances,
        }
    }
}
