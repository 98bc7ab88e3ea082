use super::*;

fn of(text: &str) -> Result<GatewayConfig, Unusable> {
    with_environment(text, None)
}

fn with_environment(text: &str, environment: Option<&str>) -> Result<GatewayConfig, Unusable> {
    let environment =
        environment.map(|variables| Environment::parse(variables.replace(' ', "\0").as_bytes()));
    read(&syntax::parse(text.as_bytes()).unwrap(), environment.as_ref()).map(|reading| reading.settings)
}

#[test]
fn what_is_not_set_is_none() {
    for text in ["{}", "{gateway: {}}", "{gateway: null}", "{gateway: {mode: 'local', bind: null}}"] {
        assert_eq!(of(text), Ok(GatewayConfig::default()), "{text}");
    }
}

#[test]
fn every_setting_that_matters_is_read() {
    let text = include_str!("../../../fixtures/gateway/everything.json5");
    assert_eq!(
        of(text),
        Ok(GatewayConfig {
            bind: Some("custom".into()),
            custom_bind_host: Some("192.0.2.7".parse().unwrap()),
            port: Some(28789),
            auth_mode: Some("trusted-proxy".into()),
            has_secret: true,
            tailscale: Tailscale::Funnel,
            any_origin: true,
            weakened_by: vec![
                "gateway.allowRealIpFallback".into(),
                "gateway.auth.trustedProxy.allowLoopback".into(),
                "gateway.controlUi.allowInsecureAuth".into(),
                "gateway.controlUi.dangerouslyDisableDeviceAuth".into(),
            ],
            trusted_proxies: vec!["127.0.0.1".into(), "10.0.0.0/8".into()],
        })
    );
}

#[test]
fn a_secret_counts_as_text_as_a_reference_and_by_variable() {
    for text in [
        "{gateway: {auth: {token: 'x'}}}",
        "{gateway: {auth: {password: '${PANEL_PASSWORD}'}}}",
        "{gateway: {auth: {token: {source: 'env', provider: 'default', id: 'X'}}}}",
        "{env: {vars: {OPENCLAW_GATEWAY_TOKEN: 'x'}}}",
        "{env: {CLAWDBOT_GATEWAY_PASSWORD: 'x'}}",
    ] {
        assert!(of(text).unwrap().has_secret, "{text}");
    }
    for text in ["{}", "{gateway: {auth: {token: ' '}}}", "{gateway: {remote: {token: 'x'}}}"] {
        assert!(!of(text).unwrap().has_secret, "{text}");
        assert!(with_environment(text, Some("OPENCLAW_GATEWAY_TOKEN=x")).unwrap().has_secret);
    }
}

#[test]
fn a_secret_is_never_kept() {
    let text = "{gateway: {auth: {mode: 'token', token: 'hush'}}, env: {OPENCLAW_GATEWAY_PASSWORD: 'hush'}}";
    assert!(!format!("{:?}", of(text)).contains("hush"));
}

#[test]
fn values_of_the_wrong_kind_are_told_by_their_path() {
    for (text, path) in [
        ("[]", "the configuration"),
        ("{gateway: 1}", "gateway"),
        ("{gateway: {bind: true}}", "gateway.bind"),
        ("{gateway: {port: '18789'}}", "gateway.port"),
        ("{gateway: {port: 0}}", "gateway.port"),
        ("{gateway: {port: 65536}}", "gateway.port"),
        ("{gateway: {port: 1.5}}", "gateway.port"),
        ("{gateway: {customBindHost: 'host.example'}}", "gateway.customBindHost"),
        ("{gateway: {auth: 'token'}}", "gateway.auth"),
        ("{gateway: {auth: {token: 7}}}", "gateway.auth.token"),
        ("{gateway: {tailscale: {mode: 'on'}}}", "gateway.tailscale.mode"),
        ("{gateway: {controlUi: {allowedOrigins: '*'}}}", "gateway.controlUi.allowedOrigins"),
        ("{gateway: {trustedProxies: [1]}}", "gateway.trustedProxies"),
    ] {
        assert_eq!(of(text), Err(Unusable::Kind(path.into())), "{text}");
    }
}

#[test]
fn variables_are_replaced_as_the_gateway_replaces_them() {
    let bind = |text: &str, environment: Option<&str>| {
        with_environment(text, environment).map(|settings| settings.bind.unwrap())
    };
    let text = "{gateway: {bind: '${BIND}'}}";
    assert_eq!(bind(text, Some("BIND=lan")), Ok("lan".into()));
    assert_eq!(bind(text, None), Err(Unusable::Variable("gateway.bind".into())));
    assert_eq!(bind(text, Some("OTHER=1")), Err(Unusable::Variable("gateway.bind".into())));
    assert_eq!(bind("{env: {vars: {BIND: 'lan'}}, gateway: {bind: '${BIND}'}}", None), Ok("lan".into()));
    assert_eq!(bind("{gateway: {bind: 'a$${BIND}b${x}c$'}}", None), Ok("a${BIND}b${x}c$".into()));
}

#[test]
fn the_log_file_is_told_where_its_path_is_whole() {
    let log = |text: &str| read(&syntax::parse(text.as_bytes()).unwrap(), None).unwrap().log;
    assert_eq!(log("{logging: {file: '/var/log/bot.log'}}"), Some("/var/log/bot.log".into()));
    assert_eq!(log("{logging: {file: 'bot.log'}}"), None);
    assert_eq!(log("{logging: {file: 7}}"), None);
}

/// A file of a size that is read, that would take gigabytes.
#[test]
fn a_variable_that_multiplies_is_not_understood_and_never_taken_for_sound() {
    let value = "a".repeat(500_000);
    let many = "${A}".repeat(100_000);
    for (setting, path) in [
        (format!("bind: '{many}'"), "gateway.bind"),
        (format!("customBindHost: '{many}'"), "gateway.customBindHost"),
        (format!("auth: {{mode: '{many}'}}"), "gateway.auth.mode"),
        (format!("tailscale: {{mode: '{many}'}}"), "gateway.tailscale.mode"),
        (format!("trustedProxies: ['{many}']"), "gateway.trustedProxies"),
        (format!("trustedProxies: [{}]", "'${A}',".repeat(50_000)), "gateway.trustedProxies"),
    ] {
        let text = format!("{{env: {{A: '{value}'}}, gateway: {{{setting}}}}}");
        assert_eq!(of(&text), Err(Unusable::Long(path.into())));
    }
    // None of these is long by itself.
    let list = format!("controlUi: {{allowedOrigins: [{}]}}", "'${A}',".repeat(4000));
    let text = format!("{{env: {{A: '{}'}}, gateway: {{{list}}}}}", "a".repeat(4000));
    assert_eq!(of(&text), Err(Unusable::Long("gateway.controlUi.allowedOrigins".into())));
    let text = format!("{{gateway: {{trustedProxies: [{}]}}}}", "'',".repeat(MAX_ENTRIES + 1));
    assert_eq!(of(&text), Err(Unusable::Long("gateway.trustedProxies".into())));
}

#[test]
fn very_many_switches_below_a_long_key_are_told_in_short_and_none_is_passed_over() {
    let key = "k".repeat(500_000);
    let switches =
        |count: usize| (0..count).map(|at| format!("dangerously{at}:true,")).collect::<Vec<_>>().concat();
    let told =
        |count: usize| of(&format!("{{gateway: {{{key}: {{{}}}}}}}", switches(count))).unwrap().weakened_by;
    assert_eq!(told(switches::MAX_TOLD).len(), switches::MAX_TOLD);
    let many = told(25_000);
    assert_eq!(many.len(), switches::MAX_TOLD + 1);
    assert_eq!(many.last().unwrap(), "each of 24936 more switches of gateway");
    assert!(many.iter().all(|path| path.chars().count() < 256), "{many:?}");
    assert_eq!(told(65).last().unwrap(), "one more switch of gateway");
}

proptest::proptest! {
    #[test]
    fn any_tree_is_read_or_refused(
        text in r#"\{(gateway|env|logging|bind|auth|controlUi|port|[{}\[\]:,'"$0-9]|null|true){0,40}\}"#
    ) {
        if let Ok(tree) = syntax::parse(text.as_bytes()) {
            let _ = read(&tree, None);
        }
    }
}
