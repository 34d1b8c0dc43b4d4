//! The host's end of relayed connections: a connection of a step to its loopback reaches the same port of the host's loopback.
//!
//! Only the ports of the plan are connected to, whatever the agent asks for. Each connection is a task with a window of bytes in
//! each direction; dropping [`Relays`] ends all of them.

use std::{
    collections::{HashMap, VecDeque},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kiln_protocol::{Chunk, ForwardData, FromGuest, RELAY_WINDOW, RELAYED, ToGuest, frame::MAX_DATA};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};

/// Loopback answers or refuses at once; a listener whose queue is full does neither.
const CONNECT: Duration = Duration::from_secs(10);
/// Pieces that may wait for the channel, of all connections.
const QUEUE: usize = 16;

/// All connections.
pub(super) struct Relays {
    ports: Vec<u16>,
    links: HashMap<u32, Link>,
    tasks: JoinSet<u32>,
    outgoing: mpsc::Receiver<ForwardData>,
    sender: mpsc::Sender<ForwardData>,
}

/// A connection as its task's owner sees it.
struct Link {
    /// Bytes for the port.
    inbox: Arc<Inbox>,
    /// A permit for each byte that the guest takes.
    credit: Arc<Semaphore>,
}

/// Tells the task that the guest's end is gone.
impl Drop for Link {
    fn drop(&mut self) {
        self.inbox.change(|waiting| {
            waiting.state = State::Gone;
            Taken::Yes
        });
    }
}

impl Relays {
    /// Relays to these ports.
    pub(super) fn new(ports: Vec<u16>) -> Self {
        let (sender, outgoing) = mpsc::channel(QUEUE);
        Self { ports, links: HashMap::new(), tasks: JoinSet::new(), outgoing, sender }
    }

    /// The next message to the agent. May be dropped while it waits: nothing is lost.
    pub(super) async fn next(&mut self) -> ToGuest {
        loop {
            tokio::select! {
                Some(data) = self.outgoing.recv() => return ToGuest::ForwardData(data),
                // A task that panicked takes its link with it when the agent says that it is done.
                Some(Ok(connection)) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    self.links.remove(&connection);
                }
            }
        }
    }

    /// Takes a message for a connection, and gives back any other. The second value must be sent to the agent at once.
    pub(super) fn take(&mut self, message: FromGuest) -> (Option<FromGuest>, Option<ToGuest>) {
        let (connection, taken) = match message {
            FromGuest::Connected { connection, port } => (connection, self.open(connection, port)),
            FromGuest::ForwardData(ForwardData { connection, piece }) => {
                (connection, self.pass(connection, piece))
            }
            other => return (Some(other), None),
        };
        let broken = || ToGuest::ForwardData(ForwardData { connection, piece: Chunk::Broken });
        (None, matches!(taken, Taken::No).then(broken))
    }

    fn open(&mut self, connection: u32, port: u16) -> Taken {
        let is_new = !self.links.contains_key(&connection);
        // A task may outlive its link while it has something to send.
        if !self.ports.contains(&port) || self.tasks.len() >= RELAYED || !is_new {
            return Taken::No;
        }
        let link = Link { inbox: Arc::default(), credit: Arc::new(Semaphore::new(RELAY_WINDOW)) };
        let (inbox, credit) = (Arc::clone(&link.inbox), Arc::clone(&link.credit));
        let task = Task { connection, sender: self.sender.clone(), inbox, credit };
        self.tasks.spawn(task.run(port));
        self.links.insert(connection, link);
        Taken::Yes
    }

    fn pass(&mut self, connection: u32, piece: Chunk) -> Taken {
        // Data for a connection that has just ended is dropped.
        let Some(link) = self.links.get(&connection) else { return Taken::Yes };
        let taken = match piece {
            Chunk::Bytes(bytes) => link.inbox.put(&bytes),
            Chunk::Taken(count) => {
                let credit = link.credit.available_permits() + count as usize;
                if credit <= RELAY_WINDOW {
                    link.credit.add_permits(count as usize);
                    Taken::Yes
                } else {
                    Taken::No
                }
            }
            Chunk::Broken => {
                self.links.remove(&connection);
                return Taken::Yes;
            }
        };
        if matches!(taken, Taken::No) {
            self.links.remove(&connection);
        }
        taken
    }
}

/// Bytes from the guest to a connection, in one buffer, so that many small pieces need no more memory than a large one.
#[derive(Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    bytes: VecDeque<u8>,
    /// Bytes that have been taken and not written yet.
    on_their_way: usize,
    state: State,
}

#[derive(Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// No more come.
    Ended,
    /// The guest's end is gone: waiting bytes are dropped.
    Gone,
}

impl Inbox {
    fn change(&self, change: impl FnOnce(&mut Waiting) -> Taken) -> Taken {
        let taken = change(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
        taken
    }

    /// Adds bytes; none: the end, after which nothing comes.
    fn put(&self, bytes: &[u8]) -> Taken {
        self.change(|waiting| {
            let has_room = waiting.bytes.len() + waiting.on_their_way + bytes.len() <= RELAY_WINDOW;
            if waiting.state != State::Open || !has_room {
                return Taken::No;
            }
            waiting.bytes.extend(bytes);
            if bytes.is_empty() {
                waiting.state = State::Ended;
            }
            Taken::Yes
        })
    }

    /// Some of the waiting bytes; `None` at the end.
    async fn take(&self) -> std::io::Result<Option<Vec<u8>>> {
        loop {
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                match waiting.state {
                    State::Gone => return Err(std::io::ErrorKind::ConnectionAborted.into()),
                    State::Ended if waiting.bytes.is_empty() => return Ok(None),
                    State::Open | State::Ended if !waiting.bytes.is_empty() => {
                        let count = waiting.bytes.len().min(MAX_DATA);
                        waiting.on_their_way = count;
                        return Ok(Some(waiting.bytes.drain(..count).collect()));
                    }
                    State::Open | State::Ended => {}
                }
            }
            self.changed.notified().await;
        }
    }

    fn written(&self, count: usize) {
        self.change(|waiting| {
            waiting.on_their_way -= count;
            Taken::Yes
        });
    }
}

/// Whether the agent kept to the rules.
enum Taken {
    Yes,
    No,
}

/// A connection's task. It ends when both directions have, and at once when its link is gone.
struct Task {
    connection: u32,
    sender: mpsc::Sender<ForwardData>,
    inbox: Arc<Inbox>,
    credit: Arc<Semaphore>,
}

impl Task {
    async fn run(self, port: u16) -> u32 {
        let addresses: [SocketAddr; 2] =
            [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
        let relayed = match timeout(CONNECT, TcpStream::connect(addresses.as_slice())).await {
            Ok(Ok(stream)) => {
                let (reader, writer) = stream.into_split();
                let both = async { tokio::try_join!(self.outward(reader), self.inward(writer)) };
                both.await.map(drop)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        };
        if let Err(error) = relayed {
            tracing::debug!(port, %error, "a relayed connection broke");
            self.send(Chunk::Broken).await;
        }
        self.connection
    }

    /// From the port to the guest.
    async fn outward(&self, mut reader: OwnedReadHalf) -> std::io::Result<()> {
        loop {
            // Never closed: the semaphore lives as long as this task.
            let first = self.credit.acquire().await.map_err(std::io::Error::other)?;
            let most = (1 + self.credit.available_permits()).min(MAX_DATA);
            let mut bytes = vec![0; most];
            let count = reader.read(&mut bytes).await?;
            bytes.truncate(count);
            if count == 0 {
                self.send(Chunk::Bytes(bytes)).await;
                return Ok(());
            }
            // The first permit is forgotten as well; no other task takes any.
            first.forget();
            self.credit.forget_permits(count - 1);
            self.send(Chunk::Bytes(bytes)).await;
        }
    }

    /// From the guest to the port.
    async fn inward(&self, mut writer: OwnedWriteHalf) -> std::io::Result<()> {
        while let Some(bytes) = self.inbox.take().await? {
            writer.write_all(&bytes).await?;
            self.inbox.written(bytes.len());
            // A window is far from 4 GiB.
            self.send(Chunk::Taken(bytes.len() as u32)).await;
        }
        writer.shutdown().await
    }

    /// Sends to the guest. It fails only when all relays end.
    async fn send(&self, piece: Chunk) {
        // best effort: see above
        drop(self.sender.send(ForwardData { connection: self.connection, piece }).await);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn bytes(connection: u32, bytes: &[u8]) -> FromGuest {
        FromGuest::ForwardData(ForwardData { connection, piece: Chunk::Bytes(bytes.to_vec()) })
    }

    fn broken(connection: u32) -> ToGuest {
        ToGuest::ForwardData(ForwardData { connection, piece: Chunk::Broken })
    }

    /// All bytes until the end of the direction.
    async fn receive_all(relays: &mut Relays) -> Vec<u8> {
        let mut received = Vec::new();
        loop {
            match relays.next().await {
                ToGuest::ForwardData(ForwardData { connection, piece: Chunk::Bytes(bytes) }) => {
                    if bytes.is_empty() {
                        return received;
                    }
                    let count = bytes.len() as u32;
                    received.extend(bytes);
                    let taken = ForwardData { connection, piece: Chunk::Taken(count) };
                    assert_eq!(relays.take(FromGuest::ForwardData(taken)), (None, None));
                }
                ToGuest::ForwardData(ForwardData { piece: Chunk::Taken(_), .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn bytes_and_ends_pass_in_both_directions() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let echo = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            // More than a window, so that credit must come back.
            for _ in 0..8 {
                stream.write_all(&all).await.unwrap();
            }
        };
        let mut relays = Relays::new(vec![port]);
        let message = vec![7; MAX_DATA];
        let guest = async {
            assert_eq!(relays.take(FromGuest::Connected { connection: 3, port }), (None, None));
            for piece in [message.as_slice(), &[]] {
                assert_eq!(relays.take(bytes(3, piece)), (None, None));
            }
            assert_eq!(receive_all(&mut relays).await, vec![7; 8 * MAX_DATA]);
        };
        tokio::join!(echo, guest);
    }

    #[tokio::test]
    async fn no_other_port_is_reached_and_no_window_overrun() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut relays = Relays::new(vec![1]);
        assert_eq!(relays.take(FromGuest::Connected { connection: 0, port }), (None, Some(broken(0))));
        let mut relays = Relays::new(vec![port]);
        relays.take(FromGuest::Connected { connection: 0, port });
        let taken = ForwardData { connection: 0, piece: Chunk::Taken(1) };
        assert_eq!(relays.take(FromGuest::ForwardData(taken)), (None, Some(broken(0))), "nothing was sent");
        relays.take(FromGuest::Connected { connection: 1, port });
        let mut last = (None, None);
        for _ in 0..=RELAY_WINDOW / MAX_DATA {
            last = relays.take(bytes(1, &[0; MAX_DATA]));
        }
        assert_eq!(last, (None, Some(broken(1))));
        let ended = FromGuest::Exported { entries: 0, bytes: 0 };
        assert_eq!(relays.take(ended.clone()), (Some(ended), None));
    }

    #[tokio::test]
    async fn a_port_without_a_listener_breaks_the_connection() {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
        let mut relays = Relays::new(vec![port]);
        relays.take(FromGuest::Connected { connection: 9, port });
        assert_eq!(relays.next().await, broken(9));
    }

    #[tokio::test]
    async fn waiting_bytes_are_bounded_however_small_the_pieces_are() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut relays = Relays::new(vec![port]);
        relays.take(FromGuest::Connected { connection: 0, port });
        for _ in 0..RELAY_WINDOW {
            assert_eq!(relays.take(bytes(0, &[7])), (None, None));
        }
        assert_eq!(relays.take(bytes(0, &[7])), (None, Some(broken(0))));
        relays.take(FromGuest::Connected { connection: 1, port });
        assert_eq!(relays.take(bytes(1, &[])), (None, None));
        assert_eq!(relays.take(bytes(1, &[])), (None, Some(broken(1))), "it has ended");
    }

    #[tokio::test]
    async fn a_connection_counts_until_its_task_has_ended() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut relays = Relays::new(vec![port]);
        let mut open = |connection| {
            let answer = relays.take(FromGuest::Connected { connection, port });
            let piece = ForwardData { connection, piece: Chunk::Broken };
            relays.take(FromGuest::ForwardData(piece));
            answer
        };
        for connection in 0..RELAYED as u32 {
            assert_eq!(open(connection), (None, None));
        }
        assert_eq!(open(9999), (None, Some(broken(9999))));
        // Waits until all tasks have ended: `next` then yields no message.
        while timeout(Duration::from_secs(5), relays.next()).await.is_ok() {}
        assert_eq!(relays.take(FromGuest::Connected { connection: 0, port }), (None, None));
    }
}
