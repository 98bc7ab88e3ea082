//! A program that the kernel runs over its sockets, so that only connections at certain ports are
//! handed over: `INET_DIAG_REQ_BYTECODE` of `linux/inet_diag.h`.

use std::collections::BTreeSet;

const JMP: u8 = 1;
const S_GE: u8 = 2;
const S_LE: u8 = 3;
const D_GE: u8 = 4;
const D_LE: u8 = 5;

/// Bytes of a comparison: the operation, and one that carries the port.
const COMPARISON: u16 = 8;
/// Bytes of an alternative: two comparisons and the jump to the end.
const ALTERNATIVE: u16 = 20;

/// Jumps are counted in 16 bits. Beyond this many ports everything passes.
const MAX_PORTS: usize = 1000;

/// Lets pass what has one of these ports at either end.
///
/// An operation leads on by `yes` bytes where it holds, else by `no`. To arrive at the very end is
/// to pass; to leap four bytes beyond is to fail. Equality is spelt as two comparisons, which
/// every kernel knows.
#[must_use]
pub fn port_filter(ports: &BTreeSet<u16>) -> Vec<u8> {
    let mut program = Vec::new();
    if ports.len() > MAX_PORTS {
        return program;
    }
    let ends = [(S_GE, S_LE), (D_GE, D_LE)];
    let alternatives: Vec<_> = ports.iter().flat_map(|port| ends.map(|end| (end, *port))).collect();
    for (nth, ((at_least, at_most), port)) in alternatives.iter().enumerate() {
        // To the next alternative. After the last one there is none, nor a jump before it: the same
        // number of bytes leads beyond the end.
        comparison(&mut program, *at_least, ALTERNATIVE, *port);
        comparison(&mut program, *at_most, ALTERNATIVE - COMPARISON, *port);
        let after = alternatives.len() - nth - 1;
        if after > 0 {
            // Over all that follows; the last alternative has no jump.
            let rest = u16::try_from(after).unwrap_or(u16::MAX).saturating_mul(ALTERNATIVE);
            operation(&mut program, JMP, 4, rest);
        }
    }
    program
}

fn comparison(program: &mut Vec<u8>, code: u8, no: u16, port: u16) {
    operation(program, code, 8, no);
    operation(program, 0, 0, port);
}

/// `struct inet_diag_bc_op`.
fn operation(program: &mut Vec<u8>, code: u8, yes: u8, no: u16) {
    program.extend([code, yes]);
    program.extend(no.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel does (`inet_diag_bc_run`).
    fn passes(program: &[u8], local: u16, remote: u16) -> bool {
        let mut at = 0;
        while at < program.len() {
            let word = |at: usize| u16::from_ne_bytes(program[at..at + 2].try_into().unwrap());
            let (yes, no) = (usize::from(program[at + 1]), usize::from(word(at + 2)));
            let port = || word(at + 6);
            let holds = match program[at] {
                JMP => false,
                S_GE => local >= port(),
                S_LE => local <= port(),
                D_GE => remote >= port(),
                D_LE => remote <= port(),
                other => panic!("operation {other}"),
            };
            at += if holds { yes } else { no };
        }
        at == program.len()
    }

    #[test]
    fn a_connection_passes_by_either_end_and_by_any_of_the_ports() {
        for ports in [BTreeSet::from([18789]), BTreeSet::from([1, 80, 18789, 65535])] {
            let program = port_filter(&ports);
            for port in [0, 1, 2, 79, 80, 81, 18788, 18789, 18790, 65534, 65535] {
                assert_eq!(passes(&program, port, 7), ports.contains(&port), "local {port} of {ports:?}");
                assert_eq!(passes(&program, 7, port), ports.contains(&port), "remote {port} of {ports:?}");
            }
        }
    }

    #[test]
    fn jumps_stay_within_sixteen_bits_up_to_the_most_ports() {
        let ports: BTreeSet<u16> = (1..=1000).collect();
        let program = port_filter(&ports);
        assert!(passes(&program, 1, 2000) && passes(&program, 2000, 1000) && !passes(&program, 2000, 2000));
        assert!(u16::try_from(program.len() + 4).is_ok());
        assert!(port_filter(&(1..=1001).collect()).is_empty());
    }
}
