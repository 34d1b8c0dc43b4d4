//! The host's end of relayed connections: what steps connect to on their loopback reaches the same port of this host's.
//!
//! Only the ports of the plan are ever connected to, whatever the agent says; each connection is a task with a window of bytes
//! in each direction, and dropping [`Relays`] ends them all.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kiln_protocol::{FromGuest, Passage, Piece, RELAY_WINDOW, RELAYED, ToGuest, frame::MAX_DATA};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, mpsc},
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
    said: mpsc::Receiver<Passage>,
    say: mpsc::Sender<Passage>,
}

/// What is known of a connection outside of its task.
struct Link {
    /// To be written to the port; none: the end.
    pieces: mpsc::UnboundedSender<Vec<u8>>,
    /// How much of that waits: it bounds the queue.
    waiting: Arc<AtomicUsize>,
    /// A permit for each byte that the guest takes.
    credit: Arc<Semaphore>,
}

impl Relays {
    /// Those that lead to these ports.
    pub(super) fn new(ports: Vec<u16>) -> Self {
        let (say, said) = mpsc::channel(QUEUE);
        Self { ports, links: HashMap::new(), tasks: JoinSet::new(), said, say }
    }

    /// The next thing to be said to the agent. May be dropped while it waits: nothing is lost.
    pub(super) async fn next(&mut self) -> ToGuest {
        loop {
            tokio::select! {
                Some(passage) = self.said.recv() => return ToGuest::Passage(passage),
                // A task that panicked takes its link with it when the agent says that it is done.
                Some(Ok(connection)) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    self.links.remove(&connection);
                }
            }
        }
    }

    /// Takes what is meant for a connection, and gives back what is not. What must be answered at once is the second value.
    pub(super) fn take(&mut self, message: FromGuest) -> (Option<FromGuest>, Option<ToGuest>) {
        let (connection, taken) = match message {
            FromGuest::Opened { connection, port } => (connection, self.open(connection, port)),
            FromGuest::Passage(Passage { connection, piece }) => (connection, self.pass(connection, piece)),
            other => return (Some(other), None),
        };
        let broken = || ToGuest::Passage(Passage { connection, piece: Piece::Broken });
        (None, matches!(taken, Taken::No).then(broken))
    }

    fn open(&mut self, connection: u32, port: u16) -> Taken {
        if !self.ports.contains(&port) || self.links.len() >= RELAYED || self.links.contains_key(&connection)
        {
            return Taken::No;
        }
        let (pieces, receiver) = mpsc::unbounded_channel();
        let link = Link { pieces, waiting: Arc::default(), credit: Arc::new(Semaphore::new(RELAY_WINDOW)) };
        let (waiting, credit) = (Arc::clone(&link.waiting), Arc::clone(&link.credit));
        let task = Task { connection, say: self.say.clone(), waiting, credit };
        self.tasks.spawn(task.run(port, receiver));
        self.links.insert(connection, link);
        Taken::Yes
    }

    fn pass(&mut self, connection: u32, piece: Piece) -> Taken {
        // What comes for a connection that has just ended is nobody's.
        let Some(link) = self.links.get(&connection) else { return Taken::Yes };
        let taken = match piece {
            Piece::Bytes(bytes) => {
                let waiting = link.waiting.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
                // A task that has ended reads nothing more.
                if waiting <= RELAY_WINDOW && link.pieces.send(bytes).is_ok() {
                    Taken::Yes
                } else {
                    Taken::No
                }
            }
            Piece::Taken(count) => {
                let credit = link.credit.available_permits() + count as usize;
                if credit <= RELAY_WINDOW {
                    link.credit.add_permits(count as usize);
                    Taken::Yes
                } else {
                    Taken::No
                }
            }
            Piece::Broken => {
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

/// Whether the agent kept to the rules.
enum Taken {
    Yes,
    No,
}

/// A connection's task. It ends when both directions have, and at once when its link is gone.
struct Task {
    connection: u32,
    say: mpsc::Sender<Passage>,
    waiting: Arc<AtomicUsize>,
    credit: Arc<Semaphore>,
}

impl Task {
    async fn run(self, port: u16, pieces: mpsc::UnboundedReceiver<Vec<u8>>) -> u32 {
        let places: [SocketAddr; 2] =
            [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
        let passed = match timeout(CONNECT, TcpStream::connect(places.as_slice())).await {
            Ok(Ok(stream)) => {
                let (reader, writer) = stream.into_split();
                let both = async { tokio::try_join!(self.outward(reader), self.inward(writer, pieces)) };
                both.await.map(drop)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        };
        if let Err(error) = passed {
            tracing::debug!(port, %error, "a relayed connection broke");
            self.tell(Piece::Broken).await;
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
                self.tell(Piece::Bytes(bytes)).await;
                return Ok(());
            }
            // The first permit is forgotten as well; nobody else takes any.
            first.forget();
            self.credit.forget_permits(count - 1);
            self.tell(Piece::Bytes(bytes)).await;
        }
    }

    /// From the guest to the port.
    async fn inward(
        &self,
        mut writer: OwnedWriteHalf,
        mut pieces: mpsc::UnboundedReceiver<Vec<u8>>,
    ) -> std::io::Result<()> {
        loop {
            match pieces.recv().await {
                // The guest's end is gone.
                None => return Err(std::io::ErrorKind::ConnectionAborted.into()),
                Some(bytes) if bytes.is_empty() => return writer.shutdown().await,
                Some(bytes) => {
                    writer.write_all(&bytes).await?;
                    self.waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
                    // A piece is never larger than a frame.
                    self.tell(Piece::Taken(bytes.len() as u32)).await;
                }
            }
        }
    }

    /// Nobody hears it only when all ends.
    async fn tell(&self, piece: Piece) {
        // best effort: see above
        drop(self.say.send(Passage { connection: self.connection, piece }).await);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn bytes(connection: u32, bytes: &[u8]) -> FromGuest {
        FromGuest::Passage(Passage { connection, piece: Piece::Bytes(bytes.to_vec()) })
    }

    fn broken(connection: u32) -> ToGuest {
        ToGuest::Passage(Passage { connection, piece: Piece::Broken })
    }

    /// All bytes that come until the end of the direction.
    async fn hear(relays: &mut Relays) -> Vec<u8> {
        let mut heard = Vec::new();
        loop {
            match relays.next().await {
                ToGuest::Passage(Passage { connection, piece: Piece::Bytes(bytes) }) => {
                    if bytes.is_empty() {
                        return heard;
                    }
                    let count = bytes.len() as u32;
                    heard.extend(bytes);
                    let taken = Passage { connection, piece: Piece::Taken(count) };
                    assert_eq!(relays.take(FromGuest::Passage(taken)), (None, None));
                }
                ToGuest::Passage(Passage { piece: Piece::Taken(_), .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn what_is_sent_comes_back_and_ends_are_passed_on() {
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
            assert_eq!(relays.take(FromGuest::Opened { connection: 3, port }), (None, None));
            for piece in [message.as_slice(), &[]] {
                assert_eq!(relays.take(bytes(3, piece)), (None, None));
            }
            assert_eq!(hear(&mut relays).await, vec![7; 8 * MAX_DATA]);
        };
        tokio::join!(echo, guest);
    }

    #[tokio::test]
    async fn no_other_port_is_reached_and_no_window_overrun() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut relays = Relays::new(vec![1]);
        assert_eq!(relays.take(FromGuest::Opened { connection: 0, port }), (None, Some(broken(0))));
        let mut relays = Relays::new(vec![port]);
        relays.take(FromGuest::Opened { connection: 0, port });
        let taken = Passage { connection: 0, piece: Piece::Taken(1) };
        assert_eq!(relays.take(FromGuest::Passage(taken)), (None, Some(broken(0))), "nothing was sent");
        relays.take(FromGuest::Opened { connection: 1, port });
        let mut last = (None, None);
        for _ in 0..=RELAY_WINDOW / MAX_DATA {
            last = relays.take(bytes(1, &[0; MAX_DATA]));
        }
        assert_eq!(last, (None, Some(broken(1))));
        let ended = FromGuest::Exported { entries: 0, bytes: 0 };
        assert_eq!(relays.take(ended.clone()), (Some(ended), None));
    }

    #[tokio::test]
    async fn a_port_on_which_nobody_listens_breaks_the_connection() {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
        let mut relays = Relays::new(vec![port]);
        relays.take(FromGuest::Opened { connection: 9, port });
        assert_eq!(relays.next().await, broken(9));
    }
}
