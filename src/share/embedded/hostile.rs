//! What no front end and no guest does, each with a name, and what the device makes of it: a table for tests and seeds for `fuzz/`.

use super::front_end::{
    ADD_MEM_REG, AVAILABLE, Action, Attached, DESCRIPTORS, GET_VRING_BASE, MEMORY, QUEUES, RESET_DEVICE,
    RINGS, SET_FEATURES, SET_MEM_TABLE, SET_OWNER, SET_PROTOCOL_FEATURES, SET_VRING_CALL, SET_VRING_ENABLE,
    SET_VRING_KICK, SET_VRING_NUM, SIZE, USED, USER, addresses, memory_table, message, of_queue,
};

/// What the device makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ends, and says this.
    Ends(&'static str),
    /// It follows the next message.
    GoesOn,
    /// It answers a request in queue 1.
    Answers,
}

use Outcome::{Answers, Ends, GoesOn};

/// A case: its name, the actions, and their outcome.
pub(crate) type Case = (&'static str, Vec<Action>, Outcome);

/// FUSE's GETATTR.
const GETATTR: u32 = 3;
/// What the device says of a message of a wrong form, and of one with a wrong content.
const FORM: &str = "invalid message";
const CONTENT: &str = "invalid parameters";
/// What it says of a file that is no memory.
const MAPPED: &str = "handler failed to handle request";

/// All cases.
pub(crate) fn cases() -> Vec<Case> {
    [messages(), descriptors(), kicks(), memory_tables(), regions(), rings(), life()].concat()
}

/// After all that comes before a guest's first request.
fn set_up(actions: impl IntoIterator<Item = Action>) -> Vec<Action> {
    std::iter::once(Action::SetUp).chain(actions).collect()
}

fn request(queue: u8) -> Action {
    Action::Request { queue, opcode: GETATTR, body: vec![0; 16], index: 1 }
}

fn messages() -> Vec<Case> {
    vec![
        ("an orderly guest", set_up([request(1), Action::Kick(1)]), Answers),
        ("half a header", vec![Action::Bytes(vec![1, 0, 0, 0, 1])], GoesOn),
        ("a request that is none", vec![message(0, &[], &[])], Ends(FORM)),
        ("a request of a later version", vec![message(4_000, &[], &[])], Ends(FORM)),
        ("no version", vec![Action::Header { request: SET_OWNER, flags: 0, length: 0 }], Ends(FORM)),
        ("a reply", vec![Action::Header { request: SET_OWNER, flags: 5, length: 0 }], Ends(FORM)),
        (
            "the longest length",
            vec![Action::Header { request: SET_OWNER, flags: 1, length: u32::MAX }],
            Ends(FORM),
        ),
        ("a body too many", vec![message(SET_OWNER, &[1], &[])], Ends(FORM)),
        ("a body too few", vec![message(SET_FEATURES, &[], &[])], Ends(FORM)),
        ("a feature that was not offered", vec![message(SET_FEATURES, &[1 << 63], &[])], Ends(CONTENT)),
        (
            "a reset that was not agreed on",
            vec![message(RESET_DEVICE, &[], &[])],
            Ends("inactive protocol operation"),
        ),
        ("all protocol features", vec![message(SET_PROTOCOL_FEATURES, &[u64::MAX >> 8], &[])], GoesOn),
        (
            "owned twice",
            vec![message(SET_OWNER, &[], &[]), message(SET_OWNER, &[], &[])],
            Ends("already claimed"),
        ),
        ("a queue that is none", set_up([of_queue(SET_VRING_NUM, QUEUES.into(), 8)]), Ends(CONTENT)),
        ("the last queue there could be", set_up([of_queue(GET_VRING_BASE, u32::MAX, 0)]), Ends(CONTENT)),
        ("a queue of no length", set_up([of_queue(SET_VRING_NUM, 1, 0)]), Ends(CONTENT)),
        ("a queue that is too long", set_up([of_queue(SET_VRING_NUM, 1, 1025)]), Ends(CONTENT)),
        ("a queue of 65536", set_up([of_queue(SET_VRING_NUM, 1, 0x1_0000)]), Ends(CONTENT)),
        ("a queue of 7", set_up([of_queue(SET_VRING_NUM, 1, 7)]), GoesOn),
        ("neither on nor off", set_up([of_queue(SET_VRING_ENABLE, 1, 2)]), Ends(CONTENT)),
    ]
}

fn descriptors() -> Vec<Case> {
    let kick = |number, attached: &[Attached]| set_up([message(SET_VRING_KICK, &[number], attached)]);
    let call = |attached: Attached| {
        set_up([message(SET_VRING_CALL, &[1], &[attached]), request(1), Action::Kick(1)])
    };
    let one = Attached::Kick(1);
    vec![
        ("a descriptor where none belongs", vec![message(SET_OWNER, &[], &[Attached::Null])], Ends(FORM)),
        ("no descriptor where one belongs", kick(1, &[]), Ends(FORM)),
        ("a descriptor where none was promised", kick(0x101, &[one]), Ends(FORM)),
        ("two descriptors for one", kick(1, &[one, one]), Ends(FORM)),
        ("a kick of a queue that is none", kick(200, &[one]), Ends(CONTENT)),
        ("no kick at all", kick(0x101, &[]), GoesOn),
        ("a call whose count is full", call(Attached::FullEvent), GoesOn),
        ("a call that is broken", call(Attached::BrokenPipe), Ends("notify the guest")),
        ("a call that cannot be written", call(Attached::Directory), Ends("notify the guest")),
    ]
}

fn kicks() -> Vec<Case> {
    let kick = |attached: Attached| {
        set_up([
            message(SET_VRING_KICK, &[1], &[attached]),
            of_queue(SET_VRING_ENABLE, 1, 1),
            Action::Kick(2),
        ])
    };
    vec![
        ("a kick that cannot be waited for", kick(Attached::Null), Ends("not permitted")),
        ("a kick that is a directory", kick(Attached::Directory), Ends("not permitted")),
        ("a kick that is the guest's memory", kick(Attached::Memory), Ends("not permitted")),
        ("a kick that has ended", kick(Attached::EndedPipe), Ends("a descriptor of the queue")),
        ("a kick whose socket is closed", kick(Attached::ClosedSocket), Ends("a descriptor of the queue")),
        ("a kick that cannot be read", kick(Attached::BrokenPipe), Ends("a descriptor of the queue")),
        ("a kick whose count is full", kick(Attached::FullEvent), GoesOn),
        ("the kick of another queue", kick(Attached::Kick(2)), GoesOn),
    ]
}

/// A memory table of these regions.
fn table(regions: &[[u64; 4]], attached: &[Attached]) -> Vec<Action> {
    let body = [&[regions.len() as u64][..], &regions.concat()].concat();
    vec![message(SET_MEM_TABLE, &body, attached)]
}

/// All of the guest's memory as a region.
const ALL: [u64; 4] = [0, MEMORY, USER, 0];

fn memory_tables() -> Vec<Case> {
    let memory = Attached::Memory;
    let count = |count| vec![message(SET_MEM_TABLE, &[count, 0, MEMORY, USER, 0], &[memory])];
    let slots = message(SET_PROTOCOL_FEATURES, &[1 << 15], &[]);
    let added = |attached| vec![slots.clone(), message(ADD_MEM_REG, &[0, 0, MEMORY, USER, 0], attached)];
    let beside = [[0, 0x8000, USER, 0], [0x7000, 0x8000, USER + 0x8000, 0x8000]];
    let less = message(SET_MEM_TABLE, &[1, 0, 0x1000, USER, 0], &[memory]);
    vec![
        ("no region", table(&[], &[]), Ends(FORM)),
        ("a region without memory", table(&[ALL], &[]), Ends(FORM)),
        ("memory without a region", table(&[ALL], &[memory, memory]), Ends(FORM)),
        ("more regions than the message has", count(3), Ends(FORM)),
        ("the largest number of regions", count(u32::MAX.into()), Ends(FORM)),
        ("regions that overlap", table(&beside, &[memory, memory]), Ends("intersect")),
        ("a slot without memory", added(&[]), Ends(CONTENT)),
        ("a slot beyond its file", added(&[Attached::Page]), Ends("larger than its file")),
        ("rings without memory", vec![addresses(1, DESCRIPTORS, USED, AVAILABLE)], Ends(CONTENT)),
        ("less memory under a request", set_up([less, request(1), Action::Kick(1)]), Ends("queue 1")),
    ]
}

fn regions() -> Vec<Case> {
    let region = |region: [u64; 4]| table(&[region], &[Attached::Memory]);
    let of = |attached: Attached| table(&[ALL], &[attached]);
    vec![
        ("a region of no size", region([0, 0, USER, 0]), Ends(FORM)),
        ("a region beyond all addresses", region([u64::MAX - 0xfff, MEMORY, USER, 0]), Ends(FORM)),
        ("a region beyond the front end's addresses", region([0, MEMORY, u64::MAX - 0xfff, 0]), Ends(FORM)),
        ("a region beyond its file", of(Attached::Page), Ends("larger than its file")),
        ("a region behind its file", region([0, 0x1000, USER, MEMORY]), Ends("larger than its file")),
        ("the largest offset", region([0, 0x1000, USER, u64::MAX - 0x1fff]), Ends(MAPPED)),
        ("an offset within a page", region([0, 0x1000, USER, 1]), Ends(MAPPED)),
        ("memory that is a directory", of(Attached::Directory), Ends(MAPPED)),
        ("memory that is a pipe", of(Attached::EndedPipe), Ends(MAPPED)),
        ("memory that is a device", of(Attached::Null), Ends(MAPPED)),
    ]
}

fn rings() -> Vec<Case> {
    // The rings of queue 1.
    let (table, used, available) = (DESCRIPTORS + RINGS, USED + RINGS, AVAILABLE + RINGS);
    let at =
        |table, used, available| set_up([addresses(1, table, used, available), request(1), Action::Kick(1)]);
    let write = |at: u64, bytes: &[u8]| Action::Write {
        at: u16::try_from(at).unwrap_or(u16::MAX),
        bytes: bytes.into(),
    };
    let damaged = |at: u64, bytes: &[u8]| set_up([request(1), write(at, bytes), Action::Kick(1)]);
    vec![
        ("a table outside", at(MEMORY, used, available), Ends("memory")),
        ("answers outside", at(table, MEMORY, available), Ends("memory")),
        ("requests outside", at(table, used, MEMORY), Ends("memory")),
        ("a table that is not aligned", at(table + 1, used, available), Ends(FORM)),
        ("answers whose end is outside", at(table, MEMORY - 4, available), Ends("queue 1")),
        (
            "requests whose end is outside",
            set_up([addresses(1, table, used, MEMORY - 4), write(MEMORY - 2, &[1, 0]), Action::Kick(1)]),
            Ends("queue 1"),
        ),
        ("all rings in one place", at(table, table, table), GoesOn),
        ("more requests than fit", damaged(available + 2, &(SIZE + 1).to_le_bytes()), Ends("available ring")),
        ("an index before the last", damaged(available + 2, &u16::MAX.to_le_bytes()), Ends("available ring")),
        ("a head that is none", damaged(available + 4, &SIZE.to_le_bytes()), Ends("queue 1")),
        ("a loop", damaged(table + 14, &[0, 0]), Ends("queue 1")),
        ("a next that is none", damaged(table + 14, &SIZE.to_le_bytes()), Ends("queue 1")),
        ("a request outside", damaged(table, &MEMORY.to_le_bytes()), Ends("queue 1")),
        ("the longest request", damaged(table + 8, &u32::MAX.to_le_bytes()), Ends("queue 1")),
        ("the longest answer", damaged(table + 24, &u32::MAX.to_le_bytes()), Ends("queue 1")),
        ("a table of tables", damaged(table + 12, &4_u16.to_le_bytes()), Ends("queue 1")),
        ("the longest message", damaged(0xa000, &u32::MAX.to_le_bytes()), Answers),
        (
            "a base that is none",
            set_up([of_queue(10, 1, 0xffff_1234), request(1), Action::Kick(1)]),
            Ends("available ring"),
        ),
    ]
}

fn life() -> Vec<Case> {
    let reset = message(RESET_DEVICE, &[], &[]);
    let stop = of_queue(GET_VRING_BASE, 1, 0);
    vec![
        (
            "a kick before the rings",
            vec![message(SET_VRING_KICK, &[1], &[Attached::Kick(1)]), Action::Kick(1)],
            GoesOn,
        ),
        (
            "on before the rings",
            {
                let features = message(SET_FEATURES, &[0], &[]);
                vec![features, message(SET_VRING_KICK, &[1], &[Attached::Kick(1)]), Action::Kick(1)]
            },
            Ends("queue 1"),
        ),
        (
            "reset under a request",
            set_up([request(1), Action::Kick(1), reset.clone(), request(2), Action::Kick(2)]),
            GoesOn,
        ),
        ("reset again and again", set_up(vec![reset; 50]), GoesOn),
        ("stopped twice", set_up([stop.clone(), stop.clone(), request(1), Action::Kick(1)]), GoesOn),
        ("set up twice", set_up([message(4, &[], &[]), Action::SetUp, request(1), Action::Kick(1)]), Answers),
        (
            "new memory under a request",
            set_up([request(1), Action::Kick(1), memory_table(), memory_table()]),
            Answers,
        ),
        ("half a message", set_up([request(1), Action::Kick(1), Action::Bytes(vec![1, 0, 0])]), Answers),
    ]
}
