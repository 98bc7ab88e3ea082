//! A WebSocket that the gateway has granted: from the answer on it is relayed, and no HTTP any more.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use bytes::BytesMut;
use hyper::upgrade::OnUpgrade;

use super::Gate;
use super::access_log::Entry;
use super::forward::gateway_socket;
use super::relay::{Ended, relay};
use super::socket::Socket;
use super::standing::Standing;

/// The gateway's side of it.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) gateway: OnUpgrade,
    pub(super) standing: Rc<Standing>,
}

impl Tunnel {
    /// Relays to the end, first what the client sent `ahead`.
    pub(super) async fn relay(self, gate: Rc<Gate>, remote: IpAddr, client: Socket, ahead: BytesMut) {
        let Self { gateway, standing } = self;
        let cut = gate.vouching.cuts();
        let begun = Instant::now();
        let Some((gateway, from_gateway)) = gateway_socket(gateway).await else { return };
        if !standing.holds() {
            return;
        }
        gate.counts.socket_opened();
        let (ended, _, sent) = relay(client, gateway, (ahead, from_gateway), || standing.holds(), cut).await;
        gate.counts.socket_closed();
        gate.access_log.write(&Entry {
            remote,
            method: "SOCKET",
            path: "",
            status: 101,
            sent,
            caller: Some(&standing.permit().caller().name),
            refused: (ended == Ended::Cut).then_some("blocked"),
            took: begun.elapsed(),
        });
    }
}
