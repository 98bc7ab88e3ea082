use proptest::prelude::*;

use super::super::sock_diag_fixture::{Diag, attribute, done, message, refusal};
use super::*;

fn read(batch: &[u8]) -> Result<(Vec<Socket>, Progress), Fault> {
    let mut sockets = Vec::new();
    let progress = read_batch(batch, 7, |socket| sockets.push(socket))?;
    Ok((sockets, progress))
}

fn one(diag: &Diag) -> Socket {
    let (sockets, progress) = read(&diag.message(7)).unwrap();
    assert_eq!(progress, Progress::More);
    assert_eq!(sockets.len(), 1);
    sockets[0]
}

#[test]
fn a_request_has_the_layout_of_inet_diag_req() {
    let bytes = request(States::LISTEN, &[], 7);
    assert_eq!(bytes.len(), 76);
    assert_eq!(bytes[..4], 76_u32.to_ne_bytes());
    assert_eq!(bytes[4..6], 18_u16.to_ne_bytes());
    assert_eq!(bytes[6..8], 0x301_u16.to_ne_bytes());
    assert_eq!(bytes[8..12], 7_u32.to_ne_bytes());
    assert_eq!(bytes[68..72], (1_u32 << 10).to_ne_bytes());
    assert!(bytes[16..68].iter().chain(&bytes[72..]).all(|byte| *byte == 0));
}

#[test]
fn a_filter_follows_as_the_bytecode_attribute() {
    let bytes = request(States::CONNECTED, &[1, 2, 3, 4], 7);
    assert_eq!(bytes.len(), 84);
    assert_eq!(bytes[..4], 84_u32.to_ne_bytes());
    assert_eq!(bytes[76..78], 8_u16.to_ne_bytes());
    assert_eq!(bytes[78..80], 1_u16.to_ne_bytes());
    assert_eq!(bytes[80..], [1, 2, 3, 4]);
}

#[test]
fn a_listener_is_read_with_its_user_device_and_inode() {
    let socket = one(&Diag { local: ("10.0.0.1", 18789), device: 3, ..Diag::default() });
    assert_eq!(socket.local, "10.0.0.1:18789".parse().unwrap());
    assert_eq!((socket.state, socket.device), (State::Listen, 3));
    assert_eq!((socket.uid, socket.id), (Some(1000), 4711));
    assert!(!socket.dual_stack);
}

#[test]
fn an_ipv6_wildcard_takes_ipv4_unless_it_says_otherwise() {
    let wildcard = |v6_only| one(&Diag { family: 10, local: ("::", 80), v6_only, ..Diag::default() });
    assert!(wildcard(Some(0)).dual_stack);
    assert!(!wildcard(Some(1)).dual_stack);
    assert!(wildcard(None).dual_stack, "silence is read the wider way");
    let loopback = Diag { family: 10, local: ("::1", 80), v6_only: Some(0), ..Diag::default() };
    assert!(!one(&loopback).dual_stack);
}

#[test]
fn a_mapped_listener_is_an_ipv4_listener() {
    let mapped = Diag { family: 10, local: ("::ffff:0.0.0.0", 80), v6_only: Some(0), ..Diag::default() };
    let socket = one(&mapped);
    assert_eq!(socket.local, "0.0.0.0:80".parse().unwrap());
    assert!(!socket.dual_stack);
}

#[test]
fn a_half_closed_connection_counts_while_a_process_holds_it() {
    for state in [4, 5, 8] {
        assert!(one(&Diag { state, ..Diag::default() }).is_connected(), "state {state}");
        assert!(!one(&Diag { state, inode: 0, ..Diag::default() }).is_connected(), "state {state}");
    }
    assert!(one(&Diag { state: 1, inode: 0, ..Diag::default() }).is_connected(), "not yet accepted");
    assert!(!one(&Diag { state: 6, ..Diag::default() }).is_connected(), "TIME-WAIT");
}

#[test]
fn several_messages_in_a_batch_are_read_up_to_the_closing_one() {
    let mut batch = Diag::default().message(7);
    batch.extend(message(1, 0, 7, &[]));
    batch.extend(Diag { inode: 4712, ..Diag::default() }.message(7));
    batch.extend(done(7, 0));
    let (sockets, progress) = read(&batch).unwrap();
    assert_eq!(sockets.iter().map(|socket| socket.id).collect::<Vec<_>>(), [4711, 4712]);
    assert_eq!(progress, Progress::Done);
}

#[test]
fn a_refusal_is_an_error_and_not_an_empty_list() {
    assert_eq!(read(&refusal(7, 1)), Err(Fault::Refused(1)));
}

#[test]
fn a_dump_that_fails_at_its_end_is_an_error() {
    assert_eq!(read(&done(7, -2)), Err(Fault::Refused(2)));
    assert_eq!(read(&done(7, i32::MIN)), Err(Fault::Refused(i32::MAX)));
}

#[test]
fn a_table_that_changed_while_it_was_read_is_interrupted() {
    let body = Diag::default().body();
    assert_eq!(read(&message(18, 2 | 0x10, 7, &body)), Err(Fault::Interrupted));
    assert_eq!(read(&message(3, 2 | 0x10, 7, &[0; 4])), Err(Fault::Interrupted));
    assert_eq!(read(&message(4, 0, 7, &[])), Err(Fault::Interrupted));
}

#[test]
fn an_answer_to_another_question_is_not_taken() {
    assert!(matches!(read(&Diag::default().message(8)), Err(Fault::Malformed(_))));
}

#[test]
fn a_batch_cut_anywhere_is_malformed() {
    let batch = Diag { family: 10, local: ("::", 80), v6_only: Some(1), ..Diag::default() }.message(7);
    for length in 0..batch.len() {
        assert!(matches!(read(&batch[..length]), Err(Fault::Malformed(_))), "{length} bytes");
    }
}

#[test]
fn a_message_cut_within_its_own_length_is_malformed() {
    let body = Diag::default().body();
    for length in 0..72 {
        assert!(matches!(read(&message(18, 2, 7, &body[..length])), Err(Fault::Malformed(_))), "{length}");
    }
    assert!(matches!(read(&message(2, 0, 7, &[])), Err(Fault::Malformed(_))));
}

#[test]
fn attributes_nobody_knows_are_skipped() {
    let mut body = Diag { family: 10, local: ("::", 80), ..Diag::default() }.body();
    body.extend(attribute(999, &[1; 9]));
    body.extend(attribute(11, &[1]));
    let (sockets, _) = read(&message(18, 2, 7, &body)).unwrap();
    assert!(!sockets[0].dual_stack);
}

#[test]
fn an_unknown_family_or_message_type_is_malformed() {
    assert!(matches!(read(&Diag { family: 1, ..Diag::default() }.message(7)), Err(Fault::Malformed(_))));
    assert!(matches!(read(&message(99, 0, 7, &[0; 72])), Err(Fault::Malformed(_))));
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_damaged_answer_never_panics(at in 0_usize..200, byte: u8) {
        let mut batch = Diag { family: 10, v6_only: Some(0), ..Diag::default() }.message(7);
        batch.extend(done(7, 0));
        let at = at % batch.len();
        batch[at] = byte;
        let _ = read(&batch);
    }
}
