use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const DESCRIPTION: &str = include_str!("../../../fixtures/router/miniupnpd-description.xml");
const ENTRY: &str = include_str!("../../../fixtures/router/miniupnpd-entry.xml");
const END: &str = include_str!("../../../fixtures/router/miniupnpd-end.xml");

/// A device that answers each request with what `answer` makes of it: status, body.
struct Stage {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    async fn new(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = vec![0; 4096];
                let mut length = 0;
                while !is_whole(&bytes[..length]) {
                    match stream.read(&mut bytes[length..]).await {
                        Ok(more) if more > 0 => length += more,
                        _ => break,
                    }
                }
                let request = String::from_utf8_lossy(&bytes[..length]).into_owned();
                let (status, body) = answer(&request);
                kept.lock().unwrap().push(request);
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        Self { port, heard }
    }

    fn device(&self) -> Device {
        Device {
            address: Ipv4Addr::LOCALHOST,
            from: Ipv4Addr::LOCALHOST,
            location: format!("http://127.0.0.1:{}/rootDesc.xml", self.port),
            own: BTreeSet::from(["192.168.77.2".parse().unwrap()]),
            is_the_way_out: true,
            until: Instant::now() + Duration::from_secs(8),
        }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    text.contains("\r\n\r\n") && (text.starts_with("GET") || text.contains("</s:Envelope>"))
}

/// A router with these entries.
fn router(entries: Vec<String>) -> impl Fn(&str) -> (u16, String) + Send + Sync {
    move |request| {
        if request.starts_with("GET") {
            return (200, DESCRIPTION.to_owned());
        }
        if request.contains("GetExternalIPAddress") {
            return (200, "<r><NewExternalIPAddress>5.5.5.1</NewExternalIPAddress></r>".to_owned());
        }
        let entry = (0..entries.len())
            .find(|index| request.contains(&format!("<NewPortMappingIndex>{index}</")))
            .and_then(|index| entries.get(index));
        entry.map_or((500, END.to_owned()), |entry| (200, entry.clone()))
    }
}

fn only(mut routers: Vec<Router>) -> Router {
    assert_eq!(routers.len(), 1, "{routers:?}");
    routers.remove(0)
}

fn cause(router: &Router) -> Cause {
    router.mappings.as_ref().unwrap_err().cause
}

#[tokio::test]
async fn a_router_tells_what_it_carries_to_this_host_and_to_this_host_only() {
    let others = ENTRY.replace("192.168.77.2", "192.168.77.9");
    let udp = ENTRY.replace("TCP", "UDP");
    let stage = Stage::new(router(vec![others, udp, ENTRY.to_owned()])).await;
    let told = only(stage.device().carries().await);
    let mapping = Mapping {
        external: 18789,
        to: "192.168.77.2:18789".parse().unwrap(),
        text: "\"libminiupnpc\"".to_owned(),
    };
    assert_eq!(told.mappings, Ok(vec![mapping]));
    assert_eq!((told.at.port(), told.public), (stage.port, "5.5.5.1".parse().ok()));
    let heard = stage.heard();
    let agent =
        |request: &String| request.to_ascii_lowercase().contains(&format!("user-agent: {USER_AGENT}"));
    assert!(heard.iter().all(agent), "{heard:?}");
    assert!(heard.iter().all(|request| !request.contains("AddPortMapping")));
}

#[tokio::test]
async fn a_router_with_an_empty_list_carries_nothing() {
    let stage = Stage::new(router(Vec::new())).await;
    assert_eq!(only(stage.device().carries().await).mappings, Ok(Vec::new()));
}

#[tokio::test]
async fn a_device_that_is_no_router_is_none() {
    let stage = Stage::new(|_| (200, "<root><device/></root>".to_owned())).await;
    assert_eq!(stage.device().carries().await, []);
}

#[tokio::test]
async fn a_list_that_breaks_off_counts_as_far_as_it_was_read_beside_the_reason() {
    let stage = Stage::new(router(vec![ENTRY.to_owned(), "<a/>".to_owned()])).await;
    let told = stage.device().carries().await;
    assert_eq!(told[0].mappings.as_ref().unwrap().len(), 1);
    assert_eq!(cause(&told[1]), Cause::Malformed);
}

#[tokio::test]
async fn an_endless_list_is_too_much() {
    let stage = Stage::new(|request: &str| {
        (200, if request.starts_with("GET") { DESCRIPTION } else { ENTRY }.to_owned())
    })
    .await;
    let told = stage.device().carries().await;
    assert_eq!((told[0].mappings.as_ref().unwrap().len(), cause(&told[1])), (1, Cause::TooMuch));
    assert!(stage.heard().len() <= usize::from(MAX_ENTRIES) + 2);
}

#[tokio::test]
async fn a_router_that_refuses_its_list_does_not_tell() {
    let stage = Stage::new(|request: &str| {
        if request.starts_with("GET") { (200, DESCRIPTION.to_owned()) } else { (401, "no".to_owned()) }
    })
    .await;
    assert_eq!(cause(&only(stage.device().carries().await)), Cause::Denied);
}

#[tokio::test]
async fn a_device_that_sends_its_asker_elsewhere_is_not_followed() {
    let trap = Stage::new(|_| (200, String::new())).await;
    let elsewhere = format!("http://127.0.0.2:{}/", trap.port);
    let control = DESCRIPTION.replace("/ctl/IPConn", &elsewhere);
    let stage = Stage::new(move |_| (200, control.clone())).await;
    assert_eq!(cause(&only(stage.device().carries().await)), Cause::Malformed);
    let device = Device { location: elsewhere, ..stage.device() };
    assert_eq!(cause(&only(device.carries().await)), Cause::Malformed);
    // A redirect to a place of its own choice, which every answer of the stage names.
    let stage = Stage::new(|_| (302, String::new())).await;
    assert_eq!(cause(&only(stage.device().carries().await)), Cause::Malformed);
    assert_eq!(trap.heard(), [""; 0]);
}

#[tokio::test]
async fn huge_answers_are_too_much_and_nonsense_is_malformed() {
    let stage = Stage::new(|_| (200, "x".repeat(MAX_DESCRIPTION + 1))).await;
    assert_eq!(cause(&only(stage.device().carries().await)), Cause::TooMuch);
    let stage = Stage::new(|_| (200, "<root>".to_owned())).await;
    assert_eq!(cause(&only(stage.device().carries().await)), Cause::Malformed);
}

#[tokio::test]
async fn a_device_that_takes_its_time_or_no_connection_does_not_tell() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stage = Stage::new(|_| (200, String::new())).await;
    let location = |port| format!("http://127.0.0.1:{port}/");
    let mut device = Device {
        location: location(listener.local_addr().unwrap().port()),
        until: Instant::now() + Duration::from_millis(200),
        ..stage.device()
    };
    assert_eq!(cause(&only(device.carries().await)), Cause::TimedOut);
    drop(listener);
    device.until = Instant::now() + Duration::from_secs(5);
    assert_eq!(cause(&only(device.carries().await)), Cause::Interrupted);
}
