use super::desk::Queue;
use super::*;
use crate::bfd::{Params, Peer};

fn peer(last: u8) -> Peer {
    Peer {
        address: [192, 0, 2, last].into(),
        source: None,
        interface: None,
        multihop: false,
    }
}

#[test]
fn of_several_commands_for_a_peer_the_last_counts_and_the_order_stays() {
    let params = Params::default();
    let other = Params {
        passive_mode: true,
        ..params
    };
    let mut queue = Queue::default();
    assert!(queue.push(Command::Session(peer(2), params)), "wakes");
    assert!(!queue.push(Command::Session(peer(1), params)));
    assert!(!queue.push(Command::Gone(peer(1))));
    assert!(!queue.push(Command::Gone(peer(2))));
    assert!(!queue.push(Command::Session(peer(2), other)));
    assert_eq!(queue.take(), [(peer(2), Some(other)), (peer(1), None)]);
    assert_eq!(queue.take(), []);
    assert!(queue.push(Command::Gone(peer(2))), "wakes again");
}

#[test]
fn it_ends_at_once_where_there_is_nobody_to_tell() {
    let (sender, mut reports) = tokio::sync::mpsc::channel(4);
    let bfd = Bfd::start(sender).unwrap();
    assert_eq!(bfd.figures(), []);
    assert!(bfd.drops().iter().all(|(_, count)| *count == 0));
    bfd.send(Command::Gone(peer(1)));
    bfd.shutdown();
    assert!(reports.try_recv().is_err(), "nothing to say");
}
