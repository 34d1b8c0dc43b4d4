//! The other side of the device in tests and in `fuzz/`: a front end that does what QEMU does, and what QEMU never does.
//!
//! It is written against `docs/interop/vhost-user.rst` of QEMU, not against the crates of the device.

use std::{
    fs::File,
    io::{ErrorKind, IoSlice, Read, Result, Write, pipe},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd, RawFd},
        unix::{
            fs::FileExt,
            net::{UnixListener, UnixStream},
        },
    },
    thread::sleep,
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{ControlMessage, MsgFlags, sendmsg},
};
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{MemfdFlags, ftruncate, memfd_create},
};
use serde::{Deserialize, Serialize};

/// Longer than anything takes on a busy machine, in milliseconds.
const HANG: u16 = 60_000;

/// The size of the guest's memory, and where the front end has it in its own.
pub(crate) const MEMORY: u64 = 0x1_0000;
pub(crate) const USER: u64 = 0x7000_0000;
/// Where the rings of queue 0 lie; those of the next queue lie [`RINGS`] further.
pub(crate) const DESCRIPTORS: u64 = 0x1000;
pub(crate) const AVAILABLE: u64 = 0x1400;
pub(crate) const USED: u64 = 0x1800;
pub(crate) const RINGS: u64 = 0x1000;
/// The size of a queue.
pub(crate) const SIZE: u16 = 16;
/// The queues of the device: that of FORGET, and two of requests.
pub(crate) const QUEUES: u8 = 3;

/// Requests of vhost-user.
pub(crate) const GET_FEATURES: u32 = 1;
pub(crate) const SET_FEATURES: u32 = 2;
pub(crate) const SET_OWNER: u32 = 3;
pub(crate) const SET_MEM_TABLE: u32 = 5;
pub(crate) const SET_VRING_NUM: u32 = 8;
pub(crate) const SET_VRING_ADDR: u32 = 9;
pub(crate) const SET_VRING_BASE: u32 = 10;
pub(crate) const GET_VRING_BASE: u32 = 11;
pub(crate) const SET_VRING_KICK: u32 = 12;
pub(crate) const SET_VRING_CALL: u32 = 13;
pub(crate) const SET_PROTOCOL_FEATURES: u32 = 16;
pub(crate) const SET_VRING_ENABLE: u32 = 18;
pub(crate) const RESET_DEVICE: u32 = 34;
pub(crate) const ADD_MEM_REG: u32 = 37;

/// `VERSION_1`, `PROTOCOL_FEATURES`, `EVENT_IDX` and `INDIRECT_DESC`.
pub(crate) const FEATURES: u64 = 1 << 32 | 1 << 30 | 1 << 29 | 1 << 28;
/// `MQ`, `REPLY_ACK`, `RESET_DEVICE` and `CONFIGURE_MEM_SLOTS`.
pub(crate) const PROTOCOL: u64 = 1 | 1 << 3 | 1 << 13 | 1 << 15;

/// A descriptor that goes with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Attached {
    /// The guest's memory.
    Memory,
    /// A page of memory, which is less than the guest's.
    Page,
    /// The notification of a queue's requests.
    Kick(u8),
    /// The notification of a queue's answers.
    Call(u8),
    /// An event descriptor whose reads and writes wait, with the highest count.
    FullEvent,
    /// The reading end of a pipe whose writing end is closed.
    EndedPipe,
    /// The writing end of a pipe whose reading end is closed.
    BrokenPipe,
    /// A socket whose other end is closed.
    ClosedSocket,
    /// A directory.
    Directory,
    /// `/dev/null`, which cannot be waited for.
    Null,
}

/// What a front end, or the guest behind it, does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    /// Sends a message with its true length.
    Message { request: u32, body: Vec<u8>, attached: Vec<Attached> },
    /// Sends bytes as they are.
    Bytes(Vec<u8>),
    /// Sends a header as it is, with this length of a body that does not come.
    Header { request: u32, flags: u32, length: u32 },
    /// Writes into the guest's memory.
    Write { at: u16, bytes: Vec<u8> },
    /// Notifies the device of requests in a queue, and waits until it has read that.
    Kick(u8),
    /// All that QEMU does before the guest's first request.
    SetUp,
    /// A request of FUSE from the first descriptor of a queue on, put into its available ring as number `index`.
    Request { queue: u8, opcode: u32, body: Vec<u8>, index: u16 },
}

/// A connected front end.
pub(crate) struct FrontEnd {
    socket: UnixStream,
    memory: File,
    kicks: Vec<File>,
    calls: Vec<File>,
}

impl FrontEnd {
    /// One that is connected to the listener that it returns, and waits for a reply no longer than this.
    pub(crate) fn new(patience: Duration) -> Result<(Self, OwnedFd)> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path)?;
        let socket = UnixStream::connect(&path)?;
        socket.set_read_timeout(Some(patience))?;
        let events = || (0..QUEUES).map(|_| event(0)).collect::<Result<Vec<File>>>();
        Ok((Self { socket, memory: memory(MEMORY)?, kicks: events()?, calls: events()? }, listener.into()))
    }

    /// Does this.
    ///
    /// # Errors
    /// When the device has closed the connection, or reads no more.
    pub(crate) fn play(&self, action: &Action) -> Result<()> {
        match action {
            Action::Message { request, body, attached } => self.send(*request, body, attached),
            Action::Bytes(bytes) => (&self.socket).write_all(bytes),
            Action::Header { request, flags, length } => {
                (&self.socket).write_all(&header(*request, *flags, *length))
            }
            Action::Write { at, bytes } => self.write(u64::from(*at), bytes),
            Action::Kick(queue) => self.kick(*queue),
            Action::SetUp => set_up().iter().try_for_each(|action| self.play(action)),
            Action::Request { queue, opcode, body, index } => self.request(*queue, *opcode, body, *index),
        }
    }

    fn send(&self, request: u32, body: &[u8], attached: &[Attached]) -> Result<()> {
        let files: Vec<File> = attached.iter().map(|&kind| self.open(kind)).collect::<Result<_>>()?;
        let numbers: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let rights = if numbers.is_empty() { &[] } else { &rights[..] };
        let message =
            [header(request, 1, u32::try_from(body.len()).unwrap_or(u32::MAX)), body.to_vec()].concat();
        let sent = sendmsg::<()>(
            self.socket.as_raw_fd(),
            &[IoSlice::new(&message)],
            rights,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        (&self.socket).write_all(&message[sent..])
    }

    fn open(&self, kind: Attached) -> Result<File> {
        let of = |files: &[File], queue: u8| files[usize::from(queue % QUEUES)].try_clone();
        match kind {
            Attached::Memory => self.memory.try_clone(),
            Attached::Page => memory(0x1000),
            Attached::Kick(queue) => of(&self.kicks, queue),
            Attached::Call(queue) => of(&self.calls, queue),
            Attached::FullEvent => {
                let full = event(0)?;
                (&full).write_all(&(u64::MAX - 1).to_ne_bytes())?;
                Ok(full)
            }
            Attached::EndedPipe => Ok(OwnedFd::from(pipe()?.0).into()),
            Attached::BrokenPipe => Ok(OwnedFd::from(pipe()?.1).into()),
            Attached::ClosedSocket => Ok(OwnedFd::from(UnixStream::pair()?.0).into()),
            Attached::Directory => File::open("/"),
            Attached::Null => File::options().read(true).write(true).open("/dev/null"),
        }
    }

    /// What does not fit is left out.
    fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        let room = usize::try_from(MEMORY.saturating_sub(at)).unwrap_or(0);
        self.memory.write_all_at(&bytes[..bytes.len().min(room)], at)
    }

    fn kick(&self, queue: u8) -> Result<()> {
        // Messages and notifications take different ways: those before this one come first.
        self.features()?;
        let mut kick = &self.kicks[usize::from(queue % QUEUES)];
        kick.write_all(&1_u64.to_ne_bytes())?;
        // The device need not read it: a bounded wait.
        for _ in 0..40 {
            if !self.is_kicked(queue) {
                break;
            }
            sleep(Duration::from_micros(50));
        }
        Ok(())
    }

    fn is_kicked(&self, queue: u8) -> bool {
        waits(&self.kicks[usize::from(queue % QUEUES)], PollTimeout::ZERO)
    }

    fn request(&self, queue: u8, opcode: u32, body: &[u8], index: u16) -> Result<()> {
        let queue = u64::from(queue % QUEUES);
        let (message, answer) = (0x8000 + queue * 0x2000, 0x9000 + queue * 0x2000);
        let length = u32::try_from(40 + body.len()).unwrap_or(u32::MAX);
        let mut bytes = [length.to_le_bytes(), opcode.to_le_bytes()].concat();
        bytes.extend([7_u64.to_le_bytes(), 1_u64.to_le_bytes(), [0; 8], [0; 8]].concat());
        bytes.extend(body);
        self.write(message, &bytes)?;
        let descriptor = |address: u64, length: u32, flags: u16| {
            [&address.to_le_bytes()[..], &length.to_le_bytes(), &flags.to_le_bytes(), &1_u16.to_le_bytes()]
                .concat()
        };
        let chain = [descriptor(message, length, 1), descriptor(answer, 0x800, 2)].concat();
        self.write(DESCRIPTORS + queue * RINGS, &chain)?;
        self.write(AVAILABLE + queue * RINGS + 2, &index.to_le_bytes())
    }

    /// Waits until the device has told of an answer in a queue, for a minute, and gives the error in the answer to [`Action::Request`].
    pub(crate) fn answer(&self, queue: u8) -> Result<i32> {
        let mut call = &self.calls[usize::from(queue)];
        // The device has set this descriptor not to wait.
        if !waits(call, HANG.into()) {
            return Err(ErrorKind::TimedOut.into());
        }
        call.read_exact(&mut [0; 8])?;
        let mut error = [0; 4];
        self.memory.read_exact_at(&mut error, 0x9000 + u64::from(queue) * 0x2000 + 4)?;
        Ok(i32::from_le_bytes(error))
    }

    /// Whether the device has told of an answer in a queue.
    pub(crate) fn is_answered(&self, queue: u8) -> bool {
        waits(&self.calls[usize::from(queue)], PollTimeout::ZERO)
    }

    /// Asks for the features, and waits for them: all messages before have been followed.
    pub(crate) fn features(&self) -> Result<u64> {
        self.send(GET_FEATURES, &[], &[])?;
        loop {
            let mut header = [0; 12];
            (&self.socket).read_exact(&mut header)?;
            let mut body = vec![0; usize::from(header[8])];
            (&self.socket).read_exact(&mut body)?;
            if header[0] == 1 {
                return Ok(body.try_into().map_or(0, u64::from_le_bytes));
            }
        }
    }
}

fn header(request: u32, flags: u32, length: u32) -> Vec<u8> {
    [request.to_le_bytes(), flags.to_le_bytes(), length.to_le_bytes()].concat()
}

fn memory(size: u64) -> Result<File> {
    let file = memfd_create("guest", MemfdFlags::CLOEXEC)?;
    ftruncate(&file, size)?;
    Ok(file.into())
}

fn event(count: u32) -> Result<File> {
    Ok(eventfd(count, EventfdFlags::CLOEXEC)?.into())
}

/// Whether an event descriptor has a count, within this time.
fn waits(event: &File, limit: PollTimeout) -> bool {
    let mut polled = [PollFd::new(event.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, limit).is_ok_and(|ready| ready > 0)
}

/// A message whose body is numbers of 64 bits.
pub(crate) fn message(request: u32, body: &[u64], attached: &[Attached]) -> Action {
    let body = body.iter().flat_map(|number| number.to_le_bytes()).collect();
    Action::Message { request, body, attached: attached.into() }
}

/// A message on a queue, with a number.
pub(crate) fn of_queue(request: u32, queue: u32, number: u32) -> Action {
    message(request, &[u64::from(queue) | u64::from(number) << 32], &[])
}

/// The message with the addresses of a queue's rings.
pub(crate) fn addresses(queue: u32, descriptors: u64, used: u64, available: u64) -> Action {
    message(SET_VRING_ADDR, &[u64::from(queue), USER + descriptors, USER + used, USER + available, 0], &[])
}

/// One region for all of the guest's memory.
pub(crate) fn memory_table() -> Action {
    message(SET_MEM_TABLE, &[1, 0, MEMORY, USER, 0], &[Attached::Memory])
}

/// What QEMU sends before the first request of a guest.
pub(crate) fn set_up() -> Vec<Action> {
    let mut actions = vec![
        message(SET_OWNER, &[], &[]),
        message(SET_PROTOCOL_FEATURES, &[PROTOCOL & !(1 << 3)], &[]),
        message(SET_FEATURES, &[FEATURES & !(1 << 29)], &[]),
        memory_table(),
    ];
    for queue in 0..QUEUES {
        let (number, at) = (u32::from(queue), RINGS * u64::from(queue));
        actions.extend([
            of_queue(SET_VRING_NUM, number, SIZE.into()),
            of_queue(SET_VRING_BASE, number, 0),
            addresses(number, DESCRIPTORS + at, USED + at, AVAILABLE + at),
            message(SET_VRING_CALL, &[number.into()], &[Attached::Call(queue)]),
            message(SET_VRING_KICK, &[number.into()], &[Attached::Kick(queue)]),
            of_queue(SET_VRING_ENABLE, number, 1),
        ]);
    }
    actions
}
