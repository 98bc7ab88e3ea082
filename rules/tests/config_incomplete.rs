use guardian_rules::fact::{ConfigFile, ConfigState, GatewayConfig, Product, Tailscale};

use crate::scenery::*;

const RULE: &str = "config-incomplete";
const GATEWAY: &str = "127.0.0.1:18789";

fn configured(change: impl FnOnce(&mut GatewayConfig)) -> Host {
    host().runs(gateway(812).on(GATEWAY, asking_for_credentials()).configured(change))
}

#[test]
fn loopback_with_a_token_is_complete() {
    configured(|_| {}).judged().nothing_of(RULE).is_safe();
}

#[test]
fn a_bind_beyond_the_allowed_networks_waits_for_the_next_start() {
    configured(|it| it.bind = Some("lan".to_owned()))
        .judged()
        .exposes(RULE, "/home/ana/.openclaw-812/openclaw.json")
        .because(RULE, "gateway.bind is \"lan\"")
        .nothing_of("bound-beyond-allowed");
}

#[test]
fn a_bind_to_every_address_is_allowed_where_every_address_is() {
    configured(|it| it.bind = Some("lan".to_owned()))
        .allowing_network("192.168.1.0/24")
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_bind_to_every_address_is_unknown_where_the_addresses_are() {
    configured(|it| it.bind = Some("lan".to_owned()))
        .but(|snapshot| snapshot.interfaces = unseen(timed_out()))
        .judged()
        .doubts(RULE, "openclaw.json")
        .is_blind();
}

#[test]
fn binds_that_stay_within_are_nothing() {
    for bind in [None, Some("loopback"), Some("auto"), Some("tailnet")] {
        configured(|it| it.bind = bind.map(str::to_owned)).judged().nothing_of(RULE).is_safe();
    }
}

#[test]
fn a_bind_that_no_known_version_has_is_unknown() {
    configured(|it| it.bind = Some("everywhere".to_owned()))
        .judged()
        .doubts(RULE, "openclaw.json")
        .because(RULE, "\"everywhere\"")
        .is_blind();
}

#[test]
fn a_custom_bind_is_judged_by_its_host() {
    let custom = |host: Option<&str>| {
        configured(|it| {
            it.bind = Some("custom".to_owned());
            it.custom_bind_host = host.map(ip);
        })
    };
    for allowed in ["127.0.0.1", "127.0.0.2", "::1", "100.100.1.2"] {
        custom(Some(allowed)).judged().nothing_of(RULE).is_safe();
    }
    for beyond in ["192.168.1.5", "0.0.0.0", "::", "203.0.113.9"] {
        custom(Some(beyond)).judged().exposes(RULE, "openclaw.json");
    }
    custom(None).judged().exposes(RULE, "openclaw.json").because(RULE, "without a usable");
    custom(Some("192.168.1.5")).allowing_network("192.168.1.0/24").judged().is_safe();
    custom(Some("192.168.1.200")).allowing_network("192.168.1.0/24").judged().is_safe();
    custom(Some("0.0.0.0")).allowing_network("192.168.1.0/24").judged().is_safe();
}

#[test]
fn authentication_switched_off_is_an_exposure_whatever_answers_today() {
    configured(|it| it.auth_mode = Some("none".to_owned()))
        .judged()
        .exposes(RULE, "openclaw.json")
        .because(RULE, "gateway.auth.mode is \"none\"");
}

#[test]
fn no_auth_set_is_open_only_in_the_oldest_versions_and_only_if_it_is() {
    let unset = |product, manner| {
        host()
            .runs(
                gateway(812)
                    .on(GATEWAY, manner)
                    .configured(|it| {
                        it.auth_mode = None;
                        it.has_secret = false;
                    })
                    .marked(|it| it.product = Some(product)),
            )
            .judged()
    };
    unset(Product::Openclaw, asking_for_credentials()).nothing_of(RULE).is_safe();
    unset(Product::Clawdbot, asking_for_credentials()).nothing_of(RULE).is_safe();
    unset(Product::Clawdbot, open_to_anyone()).exposes(RULE, "openclaw.json");
    host()
        .runs(
            gateway(812)
                .on(GATEWAY, silent())
                .configured(|it| it.auth_mode = None)
                .marked(|it| it.product = Some(Product::Clawdbot)),
        )
        .judged()
        .nothing_of(RULE);
    // A token may come from the environment.
    unset(Product::Clawdbot, silent()).doubts(RULE, "openclaw.json").is_blind();
}

#[test]
fn any_origin_is_an_exposure() {
    configured(|it| it.any_origin = true)
        .judged()
        .exposes(RULE, "openclaw.json")
        .because(RULE, "allowedOrigins");
}

#[test]
fn a_funnel_is_an_exposure_unless_the_owner_allows_it() {
    let funnel = configured(|it| it.tailscale = Tailscale::Funnel);
    funnel.judged().exposes(RULE, "openclaw.json");
    funnel.allowing_path("tailscale-funnel").judged().nothing_of(RULE).is_safe();
    configured(|it| it.tailscale = Tailscale::Serve).judged().nothing_of(RULE).is_safe();
}

#[test]
fn switches_that_weaken_the_panel_are_warnings() {
    configured(|it| it.weakened_by = vec!["gateway.controlUi.allowInsecureAuth".to_owned()])
        .judged()
        .warns(RULE, "openclaw.json")
        .is_safe();
    for everybody in ["0.0.0.0/0", "::/0", "*"] {
        configured(|it| it.trusted_proxies = vec![everybody.to_owned()])
            .judged()
            .warns(RULE, "openclaw.json")
            .is_safe();
    }
    configured(|it| it.trusted_proxies = vec!["127.0.0.1".to_owned()]).judged().nothing_of(RULE);
}

#[test]
fn a_configuration_that_cannot_be_read_is_unknown() {
    host()
        .runs(
            gateway(812)
                .on(GATEWAY, asking_for_credentials())
                .marked(|it| it.config.state = ConfigState::Unreadable(denied())),
        )
        .judged()
        .doubts(RULE, "openclaw.json")
        .because(RULE, "could not be read (denied: no permission)")
        .is_blind();
}

#[test]
fn a_gateway_without_a_file_runs_on_its_defaults() {
    host()
        .runs(
            gateway(812)
                .on(GATEWAY, asking_for_credentials())
                .marked(|it| it.config = ConfigFile { path: None, state: ConfigState::Absent }),
        )
        .judged()
        .nothing_of(RULE)
        .is_safe();
}

#[test]
fn a_gateway_whose_process_bears_no_mark_has_a_configuration_that_nobody_found() {
    host()
        .runs(gateway(812).on(GATEWAY, asking_for_credentials()).unmarked())
        .judged()
        .doubts(RULE, "pid 812")
        .is_blind();
}

#[test]
fn a_wrapper_and_its_child_share_one_file_and_one_finding() {
    let wrapper = gateway(811).marked(|it| it.config.path = Some("/home/ana/shared.json".into()));
    let child = gateway(812)
        .on(GATEWAY, asking_for_credentials())
        .on("[::1]:18789", asking_for_credentials())
        .configured(|it| it.any_origin = true)
        .marked(|it| it.config.path = Some("/home/ana/shared.json".into()));
    let conclusion = host().runs(wrapper).runs(child).judged();
    conclusion.exposes(RULE, "/home/ana/shared.json");
    assert_eq!(conclusion.findings(RULE).count(), 1);
}

#[test]
fn every_gateway_of_several_is_judged_by_its_own_file() {
    configured(|_| {})
        .runs(
            gateway(820)
                .on("127.0.0.1:19001", asking_for_credentials())
                .configured(|it| it.bind = Some("lan".to_owned())),
        )
        .judged()
        .exposes(RULE, "/home/ana/.openclaw-820/openclaw.json");
}

#[test]
fn two_gateways_without_a_known_file_are_two() {
    let lost = |pid, bound: &str| {
        gateway(pid).on(bound, asking_for_credentials()).marked(|it| {
            it.config = ConfigFile { path: None, state: ConfigState::Unreadable(denied()) };
        })
    };
    let conclusion = host().runs(lost(812, GATEWAY)).runs(lost(820, "127.0.0.1:19001")).judged();
    conclusion.doubts(RULE, "pid 812").doubts(RULE, "pid 820");
}

#[test]
fn a_socket_that_a_supervisor_holds_too_belongs_to_the_gateway() {
    use guardian_rules::fact::Attribution;
    let conclusion = host()
        .runs(gateway(812).on_socket(GATEWAY, asking_for_credentials(), |it| {
            it.owner = Attribution::Named(vec![1, 812]);
        }))
        .runs(program("systemd", 1, guardian_rules::fact::Role::Unknown).of_user(0, "root"))
        .judged();
    conclusion.nothing_of(RULE).nothing_of("gateway-as-root").is_safe();
    assert_eq!(conclusion.gateways()[0].pid, Some(812));
}

#[test]
fn two_gateways_of_one_file_are_judged_by_what_each_answers() {
    let oldest = |pid, bound: &str, manner| {
        gateway(pid)
            .on(bound, manner)
            .configured(|it| {
                it.auth_mode = None;
                it.has_secret = false;
            })
            .marked(|it| {
                it.product = Some(Product::Clawdbot);
                it.config.path = Some("/home/ana/shared.json".into());
            })
    };
    host()
        .runs(oldest(812, GATEWAY, asking_for_credentials()))
        .runs(oldest(820, "127.0.0.1:19001", open_to_anyone()))
        .judged()
        .exposes(RULE, "/home/ana/shared.json");
}

/// What the rule says of a configuration while nothing runs by it.
fn while_stopped(
    product: Option<Product>,
    change: impl FnOnce(&mut guardian_rules::fact::GatewayConfig),
) -> Vec<guardian_rules::finding::Finding> {
    let host = host();
    let snapshot = host.snapshot();
    let mut config = sound_config();
    change(&mut config);
    guardian_rules::catalog::configuration_at_next_start(
        &guardian_rules::scene::Scene::new(&host.policy, &snapshot),
        product,
        &ConfigState::Read(config),
        "/home/ana/.openclaw/openclaw.json",
    )
}

#[test]
fn a_sound_configuration_of_a_stopped_gateway_is_nothing() {
    assert_eq!(while_stopped(Some(Product::Openclaw), |_| {}), []);
}

#[test]
fn a_stopped_gateway_that_would_bind_to_the_lan_is_told_before_it_starts() {
    let findings = while_stopped(None, |it| it.bind = Some("lan".to_owned()));
    assert!(findings.iter().any(|it| it.evidence[0].contains("gateway.bind")), "{findings:#?}");
}

#[test]
fn what_a_configuration_says_at_length_or_very_often_is_told_in_short() {
    let findings = while_stopped(None, |it| {
        it.bind = Some("\u{1}".repeat(4096));
        it.trusted_proxies = vec!["*".to_owned(); 4096];
    });
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(findings.iter().flat_map(|it| &it.evidence).all(|it| it.len() < 512), "{findings:#?}");
}

#[test]
fn whether_a_stopped_gateway_of_2026_1_24_has_a_secret_in_its_environment_is_unknown() {
    let unset = |it: &mut guardian_rules::fact::GatewayConfig| {
        it.auth_mode = None;
        it.has_secret = false;
    };
    let findings = while_stopped(Some(Product::Clawdbot), unset);
    assert!(
        findings.iter().all(|it| it.answer == guardian_rules::finding::Answer::Unknown)
            && !findings.is_empty()
    );
    assert_eq!(while_stopped(Some(Product::Openclaw), unset), []);
}
