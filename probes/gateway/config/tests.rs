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

proptest::proptest! {
    #[test]
    fn any_text_with_variables_is_replaced_or_refused(text in r"([${}A-Za-z_]|\$\{|é){0,40}") {
        let _ = substituted(&text, &|name| Some(name.to_owned()));
        let _ = substituted(&text, &|_| None);
    }

    #[test]
    fn any_tree_is_read_or_refused(
        text in r#"\{(gateway|env|logging|bind|auth|controlUi|port|[{}\[\]:,'"$0-9]|null|true){0,40}\}"#
    ) {
        if let Ok(tree) = syntax::parse(text.as_bytes()) {
            let _ = read(&tree, None);
        }
    }
}
