//! All sources into the cache, several at once; one error lists those that failed.

use std::{cell::Cell, collections::BTreeMap, rc::Rc};

use anyhow::{Context, Result};
use tokio::{
    sync::{Semaphore, mpsc},
    task::LocalSet,
};

use super::{
    FetchLimit, Source,
    checked::{Checked, Checkout, RemoteFile},
    download, git,
    limit::Budget,
    url::Refused,
};
use crate::{
    cache::{self, Lease},
    event::{Event, Sink},
    exit::Failure,
    process::Spawner,
};

/// How many are fetched at once: enough for a line's bandwidth, too few for a server to refuse.
const AT_ONCE: usize = 4;

/// A file, or the checkouts of one repository: those come one after the other, since a repository has one directory in the
/// cache.
enum Task {
    File(RemoteFile),
    Repository(Vec<Checkout>),
}

/// A message of a task.
enum Message {
    Note(String),
    Failed(String),
}

/// The shared state of all tasks.
#[derive(Clone)]
struct Shared {
    lease: Rc<Lease>,
    /// `None` without repositories.
    copies: Option<Rc<git::Copies>>,
    spawner: Rc<Spawner>,
    budget: Rc<Budget>,
    messages: mpsc::UnboundedSender<Message>,
    /// How many sources there are.
    total: usize,
    /// How many of them have ended, fetched or failed.
    done: Rc<Cell<usize>>,
}

/// Fetches the sources that the cache does not have, up to a limit.
///
/// # Errors
/// A [`Failure`] (3) that lists the sources whose form is wrong, before anything is fetched; else one (4) that lists every
/// source that could not be fetched; the others are in the cache.
pub async fn fill(
    sources: &[Source],
    limit: FetchLimit,
    lease: &Rc<Lease>,
    spawner: &Rc<Spawner>,
    sink: &mut dyn Sink,
) -> Result<()> {
    let total = sources.len();
    let (sources, mut failed) = check(sources)?;
    cache::sweep_downloads(lease);
    let (messages, mut received) = mpsc::unbounded_channel();
    let done = Rc::new(Cell::new(0));
    let repositories = sources.iter().any(|source| matches!(source, Checked::Git(_)));
    let copies = if repositories { Some(Rc::new(git::Copies::of(lease, spawner).await?)) } else { None };
    let (lease, spawner) = (Rc::clone(lease), Rc::clone(spawner));
    let budget = Rc::new(Budget::of(limit));
    done.set(failed.len());
    let shared = Shared { lease, copies: copies.clone(), spawner, budget, messages, total, done };
    let slots = Rc::new(Semaphore::new(AT_ONCE));
    // Children belong to this thread, and so do the tasks; dropped, they end their children.
    let local = LocalSet::new();
    for task in tasks(sources) {
        let (shared, slots) = (shared.clone(), Rc::clone(&slots));
        local.spawn_local(async move {
            let _slot = slots.acquire().await.expect("it is never closed");
            shared.work(task).await;
        });
    }
    drop(shared);
    let listen = async {
        while let Some(message) = received.recv().await {
            match message {
                Message::Note(text) => sink.emit(Event::Note { text }),
                Message::Failed(line) => failed.push(line),
            }
        }
    };
    local.run_until(listen).await;
    drop(local);
    if let Some(copies) = copies.and_then(Rc::into_inner) {
        copies.remove()?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    failed.sort_unstable();
    let list: String = failed.iter().map(|line| format!("\n  {line}")).collect();
    let what = format!("{} of {total} sources cannot be fetched:{list}", failed.len());
    Err(Failure::host(what, "run it again: fetched files are kept, and downloads continue where they ended")
        .into())
}

/// Those that the host can fetch, and a line for each that it does not.
pub(super) fn check(sources: &[Source]) -> Result<(Vec<Checked>, Vec<String>), Failure> {
    let (mut good, mut not_fetched, mut malformed) = (Vec::new(), Vec::new(), Vec::new());
    for source in sources {
        match Checked::of(source) {
            Ok(checked) => good.push(checked),
            Err(Refused::NotFetched(why)) => not_fetched.push(format!("{}: {why}", source.address())),
            Err(Refused::Malformed(why)) => malformed.push(format!("\n  {:?}: {why}", source.address())),
        }
    }
    if malformed.is_empty() {
        return Ok((good, not_fetched));
    }
    let what = format!("sources that nothing can be fetched from:{}", malformed.concat());
    Err(Failure::build_file(what, "correct the inputs of fetch and git-checkout; nothing was fetched"))
}

fn tasks(sources: Vec<Checked>) -> Vec<Task> {
    let mut repositories: BTreeMap<String, Vec<Checkout>> = BTreeMap::new();
    let mut tasks = Vec::new();
    for source in sources {
        match source {
            Checked::File(file) => tasks.push(Task::File(file)),
            Checked::Git(git) => repositories.entry(git.url.to_string()).or_default().push(git),
        }
    }
    tasks.extend(repositories.into_values().map(Task::Repository));
    tasks
}

impl Shared {
    async fn work(&self, task: Task) {
        match task {
            Task::File(file) => {
                let tell = |text| self.note(format!("{}: {text}", file.url));
                let done = download::fetch(&file, &self.lease, &self.budget, &self.spawner, &tell).await;
                let done = done.map(|done| match done {
                    download::Done::Present => "is in the cache".to_owned(),
                    download::Done::Fetched(bytes) => format!("fetched {bytes} bytes"),
                });
                self.end(file.url.as_str(), done);
            }
            Task::Repository(wanted) => {
                for git in wanted {
                    // git may print nothing for a while.
                    self.note(format!("{}: fetches", git.url));
                    let tell = |text| self.note(format!("{}: {text}", git.url));
                    let copies = self.copies.as_deref().expect("they are there where there are repositories");
                    let done =
                        git::fetch(&git, &self.lease, copies, &self.budget, &self.spawner, &tell).await;
                    let done = done.map(|said| {
                        said.iter().for_each(|line| self.note(format!("{}: {line}", git.url)));
                        "is in the cache".to_owned()
                    });
                    self.end(git.url.as_str(), done);
                }
            }
        }
    }

    fn end(&self, source: &str, done: Result<String>) {
        let Self { total, done: count, .. } = self;
        count.set(count.get() + 1);
        match done.with_context(|| source.to_owned()) {
            Ok(text) => self.note(format!("[{}/{total}] {source}: {text}", count.get())),
            Err(error) => self.say(Message::Failed(format!("{error:#}"))),
        }
    }

    fn note(&self, text: String) {
        self.say(Message::Note(text));
    }

    fn say(&self, message: Message) {
        // best effort: the receiver is gone if the work was given up.
        let _ = self.messages.send(message);
    }
}
