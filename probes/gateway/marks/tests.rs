use super::*;

fn sign(product: Product, gateway: bool) -> Sign {
    Sign { product, gateway }
}

fn node(pid: u32, parent: u32) -> Marks {
    Marks { pid, parent: Some(parent), may_be_gateway: true, is_runtime: true, ..Marks::default() }
}

fn titled(pid: u32, parent: u32, title: &str) -> Marks {
    let product = if title.starts_with("clawdbot") { Product::Clawdbot } else { Product::Openclaw };
    let sign = sign(product, title.ends_with("-gateway"));
    Marks { title: Some((sign, title.into())), ..node(pid, parent) }
}

fn listening(marks: Marks, ports: &[u16]) -> Marks {
    Marks { listens: ports.iter().copied().collect(), ..marks }
}

fn with_environment(marks: Marks, ports: &[u16]) -> Marks {
    Marks {
        environment: Some((Product::Openclaw, vec!["OPENCLAW_STATE_DIR".into()])),
        told_ports: ports.iter().copied().collect(),
        ..marks
    }
}

fn pids(processes: &[Marks]) -> Vec<u32> {
    gateways(processes).into_iter().map(|judged| judged.pid).collect()
}

#[test]
fn a_wrapper_and_its_child_are_two() {
    let found = gateways(&[
        titled(10, 1, "clawdbot"),
        listening(titled(11, 10, "clawdbot-gateway"), &[18789, 18791]),
    ]);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].product, Some(Product::Clawdbot));
    assert_eq!(found[0].marks, ["its title is clawdbot", "it is the parent of gateway 11"]);
    assert!(found[0].wrapper);
    assert_eq!(found[1].marks, ["its title is clawdbot-gateway"]);
    assert!(!found[1].wrapper);
}

#[test]
fn one_process_alone_is_one() {
    assert_eq!(pids(&[listening(titled(10, 1, "openclaw-gateway"), &[18789])]), [10]);
    // 2026.6.11: no title but the bare one.
    let bare = listening(titled(10, 1, "openclaw"), &[18789]);
    assert_eq!(gateways(&[bare])[0].marks, ["its title is openclaw and it holds a listening socket"]);
}

#[test]
fn the_command_line_beside_it_is_none() {
    assert_eq!(pids(&[titled(10, 1, "openclaw")]), [0u32; 0]);
    let status = Marks { script: Some(sign(Product::Openclaw, false)), ..node(11, 1) };
    assert_eq!(pids(&[status]), [0u32; 0]);
}

#[test]
fn a_gateway_that_does_not_listen_yet_is_one_by_its_own_marks() {
    assert_eq!(pids(&[titled(10, 1, "openclaw-gateway")]), [10]);
    let locked = Marks { lock: Some((Some(Product::Clawdbot), "/tmp/l".into())), ..node(10, 1) };
    let found = gateways(&[locked]);
    assert_eq!(found[0].product, Some(Product::Clawdbot));
    assert_eq!(found[0].marks, ["the lock file /tmp/l names it"]);
    let told = Marks { script: Some(sign(Product::Openclaw, true)), ..node(10, 1) };
    assert_eq!(pids(&[told]), [10]);
}

#[test]
fn a_web_server_that_the_agent_starts_is_none_though_it_inherits_everything() {
    let gateway = listening(with_environment(titled(10, 1, "openclaw-gateway"), &[18789]), &[18789]);
    let server = Marks {
        unit: Some((Product::Openclaw, "openclaw-gateway.service".into())),
        ..listening(with_environment(node(20, 10), &[18789]), &[3000])
    };
    assert_eq!(pids(&[gateway.clone(), server.clone()]), [10]);
    // Orphaned, after its gateway has gone.
    assert_eq!(pids(&[Marks { parent: Some(1), ..server.clone() }]), [0u32; 0]);
    // On the gateway's own port, but its child.
    assert_eq!(pids(&[gateway, listening(server.clone(), &[18789])]), [10]);
    // On that port with the agent's mark.
    assert_eq!(pids(&[Marks { parent: Some(1), disowned: true, ..listening(server, &[18789]) }]), [0u32; 0]);
}

#[test]
fn what_listens_where_its_configuration_says_is_one_whatever_its_title() {
    let renamed = listening(with_environment(node(10, 1), &[28789]), &[28789]);
    let found = gateways(std::slice::from_ref(&renamed));
    assert_eq!(found[0].marks, ["its environment sets OPENCLAW_STATE_DIR"]);
    assert_eq!(pids(&[listening(with_environment(node(10, 1), &[]), &[USUAL_PORT])]), [10]);
    assert_eq!(pids(&[listening(with_environment(node(10, 1), &[28789]), &[USUAL_PORT])]), [0u32; 0]);
    assert_eq!(pids(&[Marks { is_runtime: false, ..renamed }]), [0u32; 0]);
}

#[test]
fn a_nodes_service_is_none() {
    let service = Marks { disowned: true, ..listening(titled(10, 1, "openclaw"), &[18790]) };
    assert_eq!(pids(&[service]), [0u32; 0]);
}

#[test]
fn a_relay_with_all_the_marks_is_none() {
    let socat = Marks {
        may_be_gateway: false,
        is_runtime: false,
        lock: Some((None, "/tmp/l".into())),
        ..listening(with_environment(titled(10, 1, "openclaw-gateway"), &[18789]), &[18789])
    };
    assert_eq!(pids(&[socat]), [0u32; 0]);
}

#[test]
fn several_gateways_and_wrappers_further_up_are_all_found() {
    let npm = node(30, 1);
    let found = pids(&[
        titled(10, 1, "openclaw"),
        titled(11, 10, "openclaw-gateway"),
        npm,
        Marks { script: Some(sign(Product::Openclaw, false)), ..node(31, 30) },
        node(32, 31),
        titled(33, 32, "clawdbot-gateway"),
    ]);
    assert_eq!(found, [10, 11, 31, 33]);
}

#[test]
fn a_circle_of_parents_ends() {
    assert_eq!(pids(&[titled(10, 11, "openclaw-gateway"), titled(11, 10, "openclaw")]), [10, 11]);
}

#[test]
fn the_first_mark_tells_the_product() {
    let mixed = Marks {
        environment: Some((Product::Openclaw, vec!["OPENCLAW_STATE_DIR".into()])),
        ..titled(10, 1, "clawdbot-gateway")
    };
    assert_eq!(gateways(&[mixed])[0].product, Some(Product::Clawdbot));
}
