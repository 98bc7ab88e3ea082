use std::collections::VecDeque;
use std::sync::Mutex;

use super::super::sock_diag_fixture::{Diag, done, message, refusal};
use super::*;

/// A kernel that answers as it is told: one batch a receive, with the sequence number of the last
/// request put in.
struct Scripted {
    sequence: u32,
    answers: VecDeque<Answer>,
}

#[derive(Clone)]
enum Answer {
    Batch(fn(u32) -> Vec<u8>),
    Longer(usize),
    Error(io::ErrorKind),
}

/// What the kernels opened next will answer, one script an opening. Tests take turns.
static SCRIPTS: Mutex<VecDeque<Vec<Answer>>> = Mutex::new(VecDeque::new());
static TURN: Mutex<()> = Mutex::new(());

fn open() -> io::Result<Scripted> {
    let script = SCRIPTS.lock().unwrap().pop_front().ok_or(io::ErrorKind::PermissionDenied)?;
    Ok(Scripted { sequence: 0, answers: script.into() })
}

impl Transport for Scripted {
    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.sequence = u32::from_ne_bytes(request[8..12].try_into().unwrap());
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.answers.pop_front().unwrap_or(Answer::Error(io::ErrorKind::WouldBlock)) {
            Answer::Batch(make) => {
                let bytes = make(self.sequence);
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            Answer::Longer(length) => Ok(length),
            Answer::Error(kind) => Err(kind.into()),
        }
    }
}

fn one(sequence: u32) -> Vec<u8> {
    Diag::default().message(sequence)
}

fn end(sequence: u32) -> Vec<u8> {
    done(sequence, 0)
}

fn ask(scripts: Vec<Vec<Answer>>) -> Result<Vec<Socket>, Blindness> {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    *SCRIPTS.lock().unwrap() = scripts.into();
    Reader::new(open).dump(States::LISTEN, &[], |_| true)
}

fn cause(scripts: Vec<Vec<Answer>>) -> Cause {
    ask(scripts).unwrap_err().cause
}

#[test]
fn a_list_is_read_to_its_end() {
    let sound = vec![Answer::Batch(one), Answer::Batch(end)];
    assert_eq!(ask(vec![sound]).unwrap().len(), 1);
}

#[test]
fn a_refused_dump_is_denied_and_never_an_empty_list() {
    assert_eq!(cause(vec![vec![Answer::Batch(|sequence| refusal(sequence, 1))]]), Cause::Denied);
    assert_eq!(cause(vec![vec![Answer::Batch(|sequence| done(sequence, -13))]]), Cause::Denied);
}

#[test]
fn a_batch_that_is_refused_spoils_those_before_it() {
    let script = vec![Answer::Batch(one), Answer::Batch(|sequence| refusal(sequence, 1))];
    assert_eq!(cause(vec![script]), Cause::Denied);
}

#[test]
fn a_kernel_without_the_interface_is_a_missing_tool() {
    assert_eq!(cause(vec![vec![Answer::Batch(|sequence| done(sequence, -2))]]), Cause::ToolMissing);
}

#[test]
fn a_socket_that_may_not_be_opened_is_denied() {
    assert_eq!(cause(vec![]), Cause::Denied);
}

#[test]
fn an_answer_that_never_ends_is_timed_out() {
    assert_eq!(cause(vec![vec![Answer::Batch(one)]]), Cause::TimedOut);
}

#[test]
fn a_batch_cut_short_is_malformed() {
    let cut = |sequence| one(sequence)[..60].to_vec();
    assert_eq!(cause(vec![vec![Answer::Batch(cut)]]), Cause::Malformed);
}

#[test]
fn a_batch_that_does_not_fit_is_interrupted() {
    assert_eq!(cause(vec![vec![Answer::Longer(1 << 20)]; 3]), Cause::Interrupted);
}

#[test]
fn a_table_that_changed_is_read_again_over_a_fresh_socket() {
    let changed = vec![Answer::Batch(one), Answer::Batch(|sequence| message(3, 0x12, sequence, &[0; 4]))];
    let sound = vec![Answer::Batch(one), Answer::Batch(end)];
    assert_eq!(ask(vec![changed.clone(), changed.clone(), sound]).unwrap().len(), 1, "and counted once");
    assert_eq!(cause(vec![changed; 3]), Cause::Interrupted);
}

#[test]
fn what_is_left_of_a_failed_answer_is_not_taken_for_the_next() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let sound = vec![Answer::Batch(one), Answer::Batch(end)];
    let failing = vec![Answer::Batch(one), Answer::Error(io::ErrorKind::Other), Answer::Batch(end)];
    *SCRIPTS.lock().unwrap() = vec![failing, sound].into();
    let mut reader = Reader::new(open);
    assert!(reader.dump(States::LISTEN, &[], |_| true).is_err());
    assert_eq!(reader.dump(States::LISTEN, &[], |_| true).unwrap().len(), 1);
}
