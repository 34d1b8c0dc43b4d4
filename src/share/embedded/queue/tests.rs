//! A queue as a guest may have filled it: in order, and with anything.

use std::{
    fs::File,
    io::{PipeReader, Read, pipe},
    os::fd::OwnedFd,
};

use nix::libc;
use proptest::prelude::*;
use virtiofsd::read_dir::ReadDir;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::*;

/// Descriptors in the test's queue.
const SIZE: u16 = 16;
/// Where descriptor table, available ring, used ring and buffers lie; the memory ends at `END`.
const DESCRIPTORS: u64 = 0x1000;
const AVAILABLE: u64 = 0x2000;
const USED: u64 = 0x3000;
const REQUEST: u64 = 0x4000;
const ANSWER: u64 = 0x6000;
const TABLE: u64 = 0x8000;
const END: u64 = 0x1_0000;

/// Flags of a descriptor (`linux/virtio_ring.h`).
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// FUSE's opcodes (`linux/fuse.h`).
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OUT_HEADER: u32 = 16;

/// A file system that has nothing: each call fails with ENOSYS.
struct Nothing;

impl FileSystem for Nothing {
    type Inode = u64;
    type Handle = u64;
    type DirIter = ReadDir<Vec<u8>>;
}

/// A descriptor: address, length, flags, next.
type Descriptor = (u64, u32, u16, u16);

struct Guest {
    memory: Memory,
    vring: Vring,
    notified: PipeReader,
}

impl Guest {
    fn new() -> Self {
        let regions = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), END as usize)]).expect("memory");
        let memory = Memory::new(regions);
        let vring = Vring::new(memory.clone(), QUEUE_SIZE).expect("a queue");
        vring.set_queue_size(SIZE);
        vring.set_queue_info(DESCRIPTORS, AVAILABLE, USED).expect("aligned");
        vring.set_queue_ready(true);
        let (notified, notify) = pipe().expect("a pipe");
        vring.set_call(Some(File::from(OwnedFd::from(notify))));
        Self { memory, vring, notified }
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.memory.memory().write_slice(bytes, GuestAddress(at)).expect("inside the memory");
    }

    fn read<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.memory.memory().read_slice(&mut bytes, GuestAddress(at)).expect("inside the memory");
        bytes
    }

    fn descriptors(&self, table: u64, descriptors: &[Descriptor]) {
        for ((address, length, flags, next), at) in descriptors.iter().zip((table..).step_by(16)) {
            self.write(at, &address.to_le_bytes());
            self.write(at + 8, &length.to_le_bytes());
            self.write(at + 12, &flags.to_le_bytes());
            self.write(at + 14, &next.to_le_bytes());
        }
    }

    /// Puts heads of chains into the available ring, with this index.
    fn offer(&self, heads: &[u16], index: u16) {
        for (head, at) in heads.iter().zip((AVAILABLE + 4..).step_by(2)) {
            self.write(at, &head.to_le_bytes());
        }
        self.write(AVAILABLE + 2, &index.to_le_bytes());
    }

    /// A request and room for its answer, from descriptor `head` on.
    fn request(&self, head: u16, at: u64, request: &[u8], room: u32) {
        self.write(at, request);
        let length = u32::try_from(request.len()).expect("short");
        let table = DESCRIPTORS + u64::from(head) * 16;
        let answer = (ANSWER + (at - REQUEST), room, WRITE, 0);
        self.descriptors(table, &[(at, length, NEXT, head + 1), answer]);
    }

    fn answer(&self) -> Result<(), String> {
        let server = Server::new(Nothing);
        answer(&self.vring, &self.memory, &server, FsOptions::ATOMIC_O_TRUNC)
            .map_err(|error| format!("{error:#}"))
    }

    /// What was returned: heads, and lengths of answers.
    fn used(&self) -> Vec<(u32, u32)> {
        let count = u16::from_le_bytes(self.read(USED + 2));
        let element = |at: u64| (u32::from_le_bytes(self.read(at)), u32::from_le_bytes(self.read(at + 4)));
        (0..u64::from(count)).map(|n| element(USED + 4 + n * 8)).collect()
    }

    /// Length, error and id of an answer.
    fn out_header(&self, at: u64) -> (u32, i32, u64) {
        let length = u32::from_le_bytes(self.read(at));
        (length, i32::from_le_bytes(self.read(at + 4)), u64::from_le_bytes(self.read(at + 8)))
    }

    /// How often the guest was notified; the queue is gone then.
    fn notifications(self) -> usize {
        let Self { mut notified, vring, memory: _ } = self;
        drop(vring);
        let mut bytes = Vec::new();
        notified.read_to_end(&mut bytes).expect("a pipe");
        bytes.len() / 8
    }
}

/// `struct fuse_in_header` with this length, and what follows.
fn message(length: u32, opcode: u32, unique: u64, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(length.to_le_bytes());
    bytes.extend(opcode.to_le_bytes());
    bytes.extend(unique.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend([0; 16]);
    bytes.extend(rest);
    bytes
}

fn getattr(unique: u64) -> Vec<u8> {
    message(56, GETATTR, unique, &[0; 16])
}

#[test]
fn requests_are_answered_in_order_and_returned_each_with_a_notification() {
    let guest = Guest::new();
    guest.request(0, REQUEST, &getattr(7), 64);
    guest.request(2, REQUEST + 0x100, &getattr(8), 64);
    guest.offer(&[2, 0], 2);
    guest.answer().expect("an orderly queue");
    assert_eq!(guest.used(), [(2, OUT_HEADER), (0, OUT_HEADER)]);
    assert_eq!(guest.out_header(ANSWER), (OUT_HEADER, -libc::ENOSYS, 7));
    assert_eq!(guest.out_header(ANSWER + 0x100), (OUT_HEADER, -libc::ENOSYS, 8));
    // Nothing new: nothing happens.
    guest.answer().expect("an empty queue");
    assert_eq!(guest.used().len(), 2);
    assert_eq!(guest.notifications(), 2);
}

#[test]
fn with_event_idx_a_guest_is_notified_where_it_asks_and_says_from_where_it_notifies() {
    let guest = Guest::new();
    guest.vring.set_queue_event_idx(true);
    // `used_event`, behind the available ring: notify when the second is returned, not before.
    guest.write(AVAILABLE + 4 + 2 * u64::from(SIZE), &1_u16.to_le_bytes());
    guest.request(0, REQUEST, &getattr(7), 64);
    guest.request(2, REQUEST + 0x100, &getattr(8), 64);
    guest.offer(&[0, 2], 2);
    guest.answer().expect("an orderly queue");
    // `avail_event`, behind the used ring: the guest notifies with the third request.
    assert_eq!(u16::from_le_bytes(guest.read(USED + 4 + 8 * u64::from(SIZE))), 2);
    assert_eq!(guest.notifications(), 1);
}

#[test]
fn a_request_without_an_answer_is_returned() {
    let guest = Guest::new();
    guest.write(REQUEST, &message(48, FORGET, 9, &[1, 0, 0, 0, 0, 0, 0, 0]));
    guest.descriptors(DESCRIPTORS, &[(REQUEST, 48, 0, 0)]);
    guest.offer(&[0], 1);
    guest.answer().expect("FORGET has no answer");
    assert_eq!(guest.used(), [(0, 0)]);
}

#[test]
fn requests_that_the_file_system_can_refuse_are_refused() {
    for (request, errno, what) in [
        (message(56, 9999, 7, &[0; 16]), libc::ENOSYS, "an unknown opcode"),
        (message(u32::MAX, GETATTR, 7, &[0; 16]), libc::ENOMEM, "a length of 4 GiB"),
        (message(43, LOOKUP, 7, b"..\0"), libc::ENOSYS, "a name, which is checked elsewhere"),
    ] {
        let guest = Guest::new();
        guest.request(0, REQUEST, &request, 64);
        guest.offer(&[0], 1);
        assert_eq!(guest.answer(), Ok(()), "{what}");
        assert_eq!(guest.out_header(ANSWER), (OUT_HEADER, -errno, 7), "{what}");
    }
}

/// The parts of the answer's room are cut so that its flags lie in two of them.
#[test]
fn a_flag_that_is_withheld_is_not_in_the_answer_to_init() {
    const INIT: u32 = 26;
    const FIRST: u32 = OUT_HEADER + 13;
    let flags = (FsOptions::ATOMIC_O_TRUNC | FsOptions::ASYNC_READ | FsOptions::BIG_WRITES).bits() as u32;
    let guest = Guest::new();
    let body: Vec<u8> = [7, 38, 0, flags].into_iter().flat_map(u32::to_le_bytes).collect();
    guest.write(REQUEST, &message(56, INIT, 7, &body));
    let second = ANSWER + 0x100;
    guest.descriptors(
        DESCRIPTORS,
        &[(REQUEST, 56, NEXT, 1), (ANSWER, FIRST, NEXT | WRITE, 2), (second, 128, WRITE, 0)],
    );
    guest.offer(&[0], 1);
    guest.answer().expect("an orderly request");
    assert_eq!(guest.out_header(ANSWER), (OUT_HEADER + 64, 0, 7));
    let [first] = guest.read(ANSWER + u64::from(FIRST) - 1);
    let [second, third, fourth] = guest.read(second);
    let answered = u32::from_le_bytes([first, second, third, fourth]);
    assert_eq!(answered, flags & !(FsOptions::ATOMIC_O_TRUNC.bits() as u32));
}

/// A chain that starts at descriptor 0, and what is wrong with it.
#[test]
fn chains_that_no_driver_makes_end_the_device() {
    let good = (REQUEST, 56, NEXT, 1);
    let room = (ANSWER, 64, WRITE, 0);
    let cases: &[(&str, &[Descriptor], &str)] = &[
        ("no bytes", &[(REQUEST, 0, NEXT, 1), room], "failed to decode"),
        ("half a header", &[(REQUEST, 39, NEXT, 1), room], "failed to decode"),
        ("a header alone", &[(REQUEST, 40, NEXT, 1), room], "failed to decode"),
        ("only room for an answer", &[room], "failed to decode"),
        ("no room for the answer", &[good, (ANSWER, 4, WRITE, 0)], "failed to encode"),
        ("no answer", &[(REQUEST, 56, 0, 0)], "failed to encode"),
        ("an address outside", &[(END, 56, NEXT, 1), room], "no memory region"),
        ("an answer outside", &[good, (u64::MAX, 64, WRITE, 0)], "no memory region"),
        ("an end outside", &[(END - 8, 56, NEXT, 1), room], "volatile memory error"),
        ("the longest length", &[(REQUEST, u32::MAX, NEXT, 1), room], "volatile memory error"),
        ("an answer with its end outside", &[good, (ANSWER, 1 << 20, WRITE, 0)], "volatile memory error"),
        ("more bytes than a chain may have", &[good, (ANSWER, u32::MAX, WRITE, 0)], "failed to encode"),
        ("a loop", &[(REQUEST, 56, NEXT, 0)], "failed to encode"),
        ("a loop of room", &[(REQUEST, 8, NEXT | WRITE, 0)], "failed to decode"),
        ("a next that is none", &[(REQUEST, 56, NEXT, SIZE)], "failed to encode"),
        ("a table of a strange length", &[(TABLE, 17, INDIRECT, 0)], "failed to decode"),
        ("an empty table", &[(TABLE, 0, INDIRECT, 0)], "failed to decode"),
        ("a table outside", &[(END, 32, INDIRECT, 0)], "failed to decode"),
        ("a table of the longest length", &[(TABLE, u32::MAX - 15, INDIRECT, 0)], "failed to decode"),
        ("a table that is this one", &[(DESCRIPTORS, 32, INDIRECT, 0)], "failed to decode"),
    ];
    for (what, chain, why) in cases {
        let guest = Guest::new();
        guest.write(REQUEST, &getattr(7));
        guest.descriptors(DESCRIPTORS, chain);
        guest.offer(&[0], 1);
        let error = guest.answer().expect_err(what);
        assert!(error.contains(why), "{what}: {error}");
        assert!(guest.used().is_empty(), "{what}");
    }
}

#[test]
fn an_indirect_table_is_followed() {
    let guest = Guest::new();
    guest.write(REQUEST, &getattr(7));
    guest.descriptors(TABLE, &[(REQUEST, 56, NEXT, 1), (ANSWER, 64, WRITE, 0)]);
    guest.descriptors(DESCRIPTORS, &[(TABLE, 32, INDIRECT, 0)]);
    guest.offer(&[0], 1);
    guest.answer().expect("an orderly chain");
    assert_eq!((guest.used(), guest.out_header(ANSWER).2), (vec![(0, OUT_HEADER)], 7));
}

#[test]
fn messages_that_no_kernel_sends_end_the_device() {
    for (request, why, what) in [
        (
            message(39, LOOKUP, 7, b"a\0"),
            "the `len` field of the header is too small",
            "a length below that of a header",
        ),
        (message(42, LOOKUP, 7, b"ab"), "invalid", "a name without an end"),
        (message(43, LOOKUP, 7, b"a\0b"), "invalid", "a zero byte in a name"),
        (message(44, LOOKUP, 7, b"a\0"), "failed to decode", "a name that is shorter than its length"),
    ] {
        let guest = Guest::new();
        guest.request(0, REQUEST, &request, 64);
        guest.offer(&[0], 1);
        let error = guest.answer().expect_err(what);
        assert!(error.contains(why), "{what}: {error}");
    }
}

#[test]
fn rings_that_no_driver_makes_end_the_device() {
    type Damage = fn(&Guest);
    let cases: &[(&str, Damage, &str)] = &[
        ("a head that is no descriptor", |guest| guest.offer(&[SIZE], 1), "failed to decode"),
        ("the last head there could be", |guest| guest.offer(&[u16::MAX], 1), "failed to decode"),
        ("more requests than fit", |guest| guest.offer(&[0], SIZE + 1), "read the available ring"),
        ("an index before the last", |guest| guest.offer(&[0], u16::MAX), "read the available ring"),
        ("a ring that is not ready", |guest| guest.vring.set_queue_ready(false), "read the available ring"),
        ("a ring outside", |guest| guest.vring.set_queue_info(DESCRIPTORS, END, USED).expect("aligned"), ""),
        (
            "answers outside",
            |guest| guest.vring.set_queue_info(DESCRIPTORS, AVAILABLE, END).expect("aligned"),
            "",
        ),
        (
            "descriptors outside",
            |guest| guest.vring.set_queue_info(END, AVAILABLE, USED).expect("aligned"),
            "",
        ),
    ];
    for (what, damage, why) in cases {
        let guest = Guest::new();
        guest.request(0, REQUEST, &getattr(7), 64);
        guest.offer(&[0], 1);
        damage(&guest);
        let error = guest.answer().expect_err(what);
        assert!(error.contains(why), "{what}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever lies in rings, descriptors and requests: it is answered or an error, and the call returns.
    #[test]
    fn no_memory_makes_it_crash_or_hang(
        descriptors in prop::collection::vec(
            (prop_oneof![REQUEST..ANSWER, 0..END + 64, any::<u64>()], prop_oneof![0_u32..200, any::<u32>()], 0_u16..8, 0..SIZE + 1),
            1..16,
        ),
        heads in prop::collection::vec(0..SIZE + 1, 1..16),
        index in prop_oneof![0_u16..17, any::<u16>()],
        opcode in 0_u32..60,
        length in prop_oneof![0_u32..200, any::<u32>()],
        rest in prop::collection::vec(any::<u8>(), 0..256),
        event_idx in any::<bool>(),
    ) {
        let guest = Guest::new();
        guest.vring.set_queue_event_idx(event_idx);
        guest.write(REQUEST, &message(length, opcode, 7, &rest));
        guest.descriptors(DESCRIPTORS, &descriptors);
        guest.offer(&heads, index);
        // Success and an error are both right: the call must return.
        let _answered = guest.answer();
    }
}
