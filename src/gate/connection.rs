//! One client's connection, from its first byte to its last.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use hyper::rt::Write as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;

use super::answering::Answering;
use super::forward::Patience;
use super::service::Service;
use super::socket::Socket;
use super::wire::Wire;
use super::{Client, Gate};

/// The longest head, in bytes: the wire lets none through that is longer.
const BUFFER: usize = 64 * 1024;

/// Serves a connection to its end. A cut ends it while an answer of the gateway's is under way.
pub(super) async fn serve(gate: Rc<Gate>, socket: Socket, client: Client) {
    let answering = Arc::new(Answering::new());
    let mut cut = gate.vouching.cuts();
    let service = Rc::new(Service {
        gate,
        client,
        answering: Arc::clone(&answering),
        forwarding: RefCell::new(None),
        let_in: RefCell::new(None),
        tunnel: RefCell::new(None),
        patience: Patience::new(),
    });
    let wire = Wire::new(socket, answering, Rc::clone(&service));
    let answers = Rc::clone(&service);
    let mut connection = http1::Builder::new()
        .half_close(false)
        .header_read_timeout(None)
        .max_buf_size(BUFFER)
        .serve_connection(wire, service_fn(move |request| answers.call(request)));
    loop {
        tokio::select! {
            biased;
            // Whatever it failed of has been noted.
            served = &mut connection => if served.is_ok() { break } else { return },
            _ = cut.changed() => if service.was_cut() { return },
        }
    }
    let mut parts = connection.into_parts();
    let Some(tunnel) = service.tunnel.take() else {
        // The library leaves open what was once asked to become another protocol, granted or not.
        let _ = poll_fn(|cx| Pin::new(&mut parts.io).poll_shutdown(cx)).await;
        return;
    };
    if let Some((socket, held)) = parts.io.into_tunnel() {
        // While it wrote the answer, the library may have read what the client sent ahead.
        let mut ahead = BytesMut::from(&parts.read_buf[..]);
        ahead.unsplit(held);
        // In a task of its own, which needs less memory.
        let (gate, remote) = (Rc::clone(&service.gate), service.client.remote);
        tokio::task::spawn_local(tunnel.relay(gate, remote, socket, ahead));
    }
}
