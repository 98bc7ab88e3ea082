//! One client's connection, from its first byte to its last.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;

use super::answering::Answering;
use super::forward::Patience;
use super::service::Service;
use super::socket::Socket;
use super::standing::Standing;
use super::wire::Wire;
use super::{Client, Gate};

/// The longest head, in bytes: the wire lets none through that is longer.
const BUFFER: usize = 64 * 1024;

/// Serves a connection to its end. A cut ends it while an answer of the gateway's is under way.
pub(super) async fn serve(gate: Rc<Gate>, socket: Socket, client: Client) {
    let answering = Arc::new(Answering::new());
    let forwarding = Rc::new(RefCell::new(None::<Rc<Standing>>));
    let wire = Wire::new(socket, Arc::clone(&answering), gate.standin.clone());
    let mut cut = gate.vouching.cuts();
    let service = Rc::new(Service {
        gate,
        client,
        answering,
        forwarding: Rc::clone(&forwarding),
        patience: Patience::new(),
    });
    let connection = http1::Builder::new()
        .half_close(false)
        .header_read_timeout(None)
        .max_buf_size(BUFFER)
        .serve_connection(wire, service_fn(move |request| service.call(request)))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    loop {
        tokio::select! {
            biased;
            // Whatever it failed of has been noted.
            _ = connection.as_mut() => return,
            _ = cut.changed() => if forwarding.borrow().as_ref().is_some_and(|it| !it.holds()) { return },
        }
    }
}

/// The socket of an upgraded connection of a client, and what it sent ahead.
pub(super) fn client_socket(upgraded: Upgraded) -> Option<(Socket, BytesMut)> {
    let parts = upgraded.downcast::<Wire<Socket>>().ok()?;
    let (socket, held) = parts.io.into_parts();
    // The library has read nothing beyond the head: it was not given anything.
    let mut ahead = BytesMut::from(&parts.read_buf[..]);
    ahead.unsplit(held);
    Some((socket, ahead))
}
