//! The gateway's launchd job: what the present one runs, and the daemon that runs it as a user of its
//! own, in a sandbox that has no home but its own. Nobody has run this on a Mac yet.

use std::path::{Path, PathBuf};
use std::time::Duration;

use guardian_probes::command::Tool;
use guardian_rules::fact::{Manager, Service};
use nix::unistd::{Uid, User};
use serde_json::Value;

use super::ownership::Owner;
use super::{BulkheadError, USER};

/// The label of the new job.
pub(crate) const LABEL: &str = "dev.guardian.moltbot";
/// Where its sandbox is described.
pub(crate) const PROFILE: &str = "/etc/guardian/moltbot.sb";

/// The new job's own file.
pub(crate) fn daemon() -> PathBuf {
    PathBuf::from(format!("/Library/LaunchDaemons/{LABEL}.plist"))
}

/// Where a user's job is described.
pub(crate) fn file(service: &Service, owner: Owner) -> Result<PathBuf, BulkheadError> {
    match service.manager {
        Manager::System => Ok(PathBuf::from(format!("/Library/LaunchDaemons/{}.plist", service.name))),
        Manager::User(_) => {
            let user = User::from_uid(Uid::from_raw(owner.uid)).ok().flatten();
            let user = user.ok_or_else(|| BulkheadError::Unfit(format!("user {} has no home", owner.uid)))?;
            Ok(user.dir.join(format!("Library/LaunchAgents/{}.plist", service.name)))
        }
    }
}

/// What turns a property list into JSON (plutil(1)).
pub(crate) fn as_json(file: &Path) -> Tool {
    let arguments = ["-convert", "json", "-o", "-", "--"].map(std::ffi::OsString::from);
    Tool::new("/usr/bin/plutil", arguments.into_iter().chain([file.as_os_str().to_owned()]))
}

/// What a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Runs {
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
}

/// Reads what a job runs from its property list, as JSON (launchd.plist(5)).
pub(crate) fn read(json: &str) -> Option<Runs> {
    let plist: Value = serde_json::from_str(json).ok()?;
    let words = |key: &str| -> Option<Vec<String>> {
        plist.get(key)?.as_array()?.iter().map(|it| it.as_str().map(str::to_owned)).collect()
    };
    let mut arguments = words("ProgramArguments").unwrap_or_default();
    if let Some(program) = plist.get("Program").and_then(Value::as_str) {
        match arguments.first_mut() {
            Some(first) => program.clone_into(first),
            None => arguments.push(program.to_owned()),
        }
    }
    let variables = plist.get("EnvironmentVariables").and_then(Value::as_object).into_iter().flatten();
    let variables =
        variables.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
    arguments.first().is_some_and(|first| first.starts_with('/')).then_some(Runs { arguments, variables })
}

/// The job that runs it behind the bulkhead. `lock`: where it is while the circuit is open.
pub(crate) fn text(runs: &Runs, variables: &[(String, String)], home: &Path, lock: &Path) -> String {
    let string = |text: &str| format!("<string>{}</string>", in_xml(text));
    let sandboxed = ["/usr/bin/sandbox-exec", "-f", PROFILE].map(str::to_owned);
    let arguments = sandboxed.iter().chain(&runs.arguments).map(|it| format!("\t\t{}\n", string(it)));
    let arguments = arguments.collect::<Vec<_>>().concat();
    let kept = runs.variables.iter().filter(|(name, _)| !variables.iter().any(|(new, _)| new == name));
    let variables = kept
        .chain(variables)
        .map(|(name, value)| format!("\t\t<key>{}</key>\n\t\t{}\n", in_xml(name), string(value)));
    let variables = variables.collect::<Vec<_>>().concat();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <!-- Written by `guardian bulkhead apply`; `guardian bulkhead undo` takes it away. -->\n\
         <plist version=\"1.0\">\n<dict>\n\
         \t<key>Label</key>\n\t{label}\n\
         \t<key>UserName</key>\n\t{user}\n\
         \t<key>GroupName</key>\n\t{user}\n\
         \t<key>WorkingDirectory</key>\n\t{home}\n\
         \t<key>ProgramArguments</key>\n\t<array>\n{arguments}\t</array>\n\
         \t<key>EnvironmentVariables</key>\n\t<dict>\n{variables}\t</dict>\n\
         \t<key>Umask</key>\n\t<integer>63</integer>\n\
         \t<key>RunAtLoad</key>\n\t<true/>\n\
         \t<key>KeepAlive</key>\n\t<dict>\n\t\t<key>PathState</key>\n\t\t<dict>\n\
         \t\t\t<key>{lock}</key>\n\t\t\t<false/>\n\t\t</dict>\n\t</dict>\n\
         \t<key>ThrottleInterval</key>\n\t<integer>5</integer>\n\
         </dict>\n</plist>\n",
        label = string(LABEL),
        user = string(USER),
        home = string(&home.display().to_string()),
        lock = in_xml(&lock.display().to_string()),
    )
}

/// The sandbox (sandbox-exec(1), in its own Scheme): all homes are out of reach but the gateway's own,
/// and so is what is Guardian's.
pub(crate) fn profile(home: &Path) -> String {
    format!(
        "; Written by `guardian bulkhead apply`; `guardian bulkhead undo` takes it away.\n\
         (version 1)\n(allow default)\n\
         (deny file-read* file-write* (subpath \"/Users\"))\n\
         (deny file-write* (subpath \"/etc/guardian\") (subpath \"/private/etc/guardian\"))\n\
         (deny file-read* file-write* (subpath \"/Library/Application Support/Guardian\"))\n\
         (deny file-read* file-write* (subpath \"/Library/Keychains\"))\n\
         (allow file-read* file-write* (subpath {}))\n",
        in_scheme(&home.display().to_string())
    )
}

/// What ends the present job, and keeps it from coming back: disabled first, for else it would.
pub(crate) fn stop(service: &Service) -> Vec<Tool> {
    let target = target(service);
    vec![launchctl(&["disable", &target]), launchctl(&["bootout", &target])]
}

/// What brings it back.
pub(crate) fn start(service: &Service, file: &Path) -> Vec<Tool> {
    let file = file.display().to_string();
    vec![launchctl(&["enable", &target(service)]), launchctl(&["bootstrap", &domain(service), &file])]
}

pub(crate) fn bootstrap(label: &str) -> Tool {
    launchctl(&["bootstrap", "system", &format!("/Library/LaunchDaemons/{label}.plist")])
}

pub(crate) fn bootout(label: &str) -> Tool {
    launchctl(&["bootout", &format!("system/{label}")])
}

fn domain(service: &Service) -> String {
    match service.manager {
        Manager::System => "system".to_owned(),
        Manager::User(uid) => format!("gui/{uid}"),
    }
}

fn target(service: &Service) -> String {
    format!("{}/{}", domain(service), service.name)
}

fn launchctl(arguments: &[&str]) -> Tool {
    Tool::new("/bin/launchctl", arguments).within(Duration::from_mins(1))
}

fn in_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn in_scheme(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::plan::line;

    /// As `plutil -convert json` prints the job that the product installs for itself.
    const JOB: &str = r#"{"Label":"ai.openclaw.gateway","ProgramArguments":["/opt/homebrew/bin/node",
        "/opt/homebrew/lib/node_modules/openclaw/dist/entry.js","gateway","--port","18789"],
        "EnvironmentVariables":{"HOME":"/Users/ana","OPENCLAW_GATEWAY_PORT":"18789"},
        "KeepAlive":true,"RunAtLoad":true}"#;

    fn variables() -> Vec<(String, String)> {
        vec![("HOME".to_owned(), "/Users/_moltbot".to_owned())]
    }

    #[test]
    fn the_present_job_is_read_and_runs_as_its_own_user_in_a_sandbox() {
        let runs = read(JOB).unwrap();
        assert_eq!(runs.arguments.len(), 5);
        let text = text(
            &runs,
            &variables(),
            Path::new("/Users/_moltbot"),
            Path::new("/Library/Application Support/Guardian/breaker.lock"),
        );
        for part in [
            "<key>UserName</key>\n\t<string>_moltbot</string>",
            "<string>/usr/bin/sandbox-exec</string>\n\t\t<string>-f</string>",
            "<key>/Library/Application Support/Guardian/breaker.lock</key>\n\t\t\t<false/>",
            "<string>18789</string>",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        assert!(!text.contains("/Users/ana"), "the owner's home is not its own:\n{text}");
    }

    #[test]
    fn what_is_no_job_is_none() {
        for json in ["", "[]", "{}", r#"{"ProgramArguments":[1]}"#, r#"{"ProgramArguments":["node"]}"#] {
            assert_eq!(read(json), None, "{json}");
        }
        let program = r#"{"Program":"/bin/x","ProgramArguments":["y","z"]}"#;
        assert_eq!(read(program).unwrap().arguments, ["/bin/x", "z"]);
    }

    #[test]
    fn the_sandbox_takes_the_homes_away_but_the_gateways_own() {
        let profile = profile(Path::new("/Users/_molt\"b\\ot"));
        let deny = profile.find("(deny file-read* file-write* (subpath \"/Users\"))").unwrap();
        let allow =
            profile.find("(allow file-read* file-write* (subpath \"/Users/_molt\\\"b\\\\ot\"))").unwrap();
        assert!(deny < allow, "of several the last one counts: {profile}");
    }

    #[test]
    fn a_job_is_disabled_before_it_is_booted_out_and_enabled_before_it_comes_back() {
        let service = Service { name: "ai.openclaw.gateway".to_owned(), manager: Manager::User(501) };
        let lines = |tools: Vec<Tool>| tools.iter().map(line).collect::<Vec<_>>();
        assert_eq!(
            lines(stop(&service)),
            [
                "/bin/launchctl disable gui/501/ai.openclaw.gateway",
                "/bin/launchctl bootout gui/501/ai.openclaw.gateway"
            ]
        );
        let file = Path::new("/Users/ana/Library/LaunchAgents/ai.openclaw.gateway.plist");
        assert_eq!(
            lines(start(&service, file)),
            [
                "/bin/launchctl enable gui/501/ai.openclaw.gateway",
                "/bin/launchctl bootstrap gui/501 /Users/ana/Library/LaunchAgents/ai.openclaw.gateway.plist"
            ]
        );
        assert_eq!(
            line(&bootstrap(LABEL)),
            "/bin/launchctl bootstrap system /Library/LaunchDaemons/dev.guardian.moltbot.plist"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_borne(json in ".{0,200}") {
            let _ = read(&json);
        }
    }
}
