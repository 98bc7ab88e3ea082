//! Tells the watcher who tries the gate's lock, and where the gate would listen if it could.

use std::net::SocketAddr;

use tokio::time::{Duration, Instant, sleep};

use guardian_rules::fact::{Intent, Suspicion};

use super::Gate;
use crate::cli::chain;
use crate::control::client::Client;
use crate::control::protocol::{Ask, Reply};
use crate::sys::clock;

/// Between two looks at what there is to tell.
const LOOK: Duration = Duration::from_secs(1);
/// A report that has not changed is told again this often, for the watcher forgets it after a minute.
const AGAIN: Duration = Duration::from_secs(20);
/// After a watcher that has not heard.
const RETRY: Duration = Duration::from_secs(5);

/// Reports for ever. A watcher that cannot be reached hears of it later.
pub(super) async fn report(gate: &Gate) {
    let mut told = (Vec::new(), Vec::new());
    let mut since = Instant::now();
    loop {
        sleep(LOOK).await;
        let suspicions = gate.suspicions.borrow_mut().report(clock::moment());
        let report = (suspicions, gate.waiting.borrow().clone());
        let renews = (!report.0.is_empty() || !report.1.is_empty()) && since.elapsed() >= AGAIN;
        if report == told && !renews {
            continue;
        }
        match tell(gate, report.clone()).await {
            Ok(()) => (told, since) = (report, Instant::now()),
            Err(why) => {
                tracing::warn!("the watcher does not hear what the gate has to report: {why}");
                sleep(RETRY).await;
            }
        }
    }
}

/// Tells them; a sentence says why the watcher has not heard.
async fn tell(gate: &Gate, (suspicions, waiting): (Vec<Suspicion>, Vec<SocketAddr>)) -> Result<(), String> {
    let client = Client::connect(&gate.paths).await.map_err(|failed| chain(&failed))?;
    match client.ask(Ask::Report { suspicions, waiting }).await {
        Ok(Reply::Done) => Ok(()),
        Ok(Reply::Refused(why)) => Err(why.to_string()),
        Ok(other) => Err(format!("it answers another question: {other:?}")),
        Err(failed) => Err(chain(&failed)),
    }
}

impl Gate {
    /// Somebody was refused who may mean harm.
    pub(super) fn suspects(&self, intent: Intent, remote: std::net::IpAddr) {
        self.suspicions.borrow_mut().note(intent, remote, clock::moment());
    }
}
