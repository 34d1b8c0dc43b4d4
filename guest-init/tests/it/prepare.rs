//! The result of `Prepare`, in separate namespaces.

use kiln_protocol::{
    Access, ChownScope, FromGuest, Group, GuestConfig, Identity, IfExists, IfGroupExists, Limit, Mount,
    MountSource, Resource, TextFile, ToGuest, User,
};

use crate::agent::{Agent, can_isolate, can_unshare, empty_config, is_root, sh, skip};

fn path(directory: &tempfile::TempDir, name: &str) -> String {
    directory.path().join(name).to_string_lossy().into_owned()
}

#[test]
fn a_guest_is_prepared_in_the_order_of_the_fields() {
    if !can_isolate() {
        return;
    }
    // /dev/shm is a tmpfs: not every file system can have an overlay's upper directory.
    let scratch = tempfile::tempdir_in("/dev/shm").expect("a directory");
    std::fs::create_dir(scratch.path().join("lower")).expect("made");
    std::fs::write(scratch.path().join("lower/file"), "below").expect("written");
    let target = path(&scratch, "merged");
    let etc = path(&scratch, "etc");
    let config = GuestConfig {
        mounts: vec![
            Mount::Overlay {
                lower: vec![path(&scratch, "lower")],
                upper: path(&scratch, "upper"),
                work: path(&scratch, "work"),
                target: target.clone(),
                options: String::new(),
                nodev: false,
                owner: (1000, 1001),
            },
            Mount::Directory { path: format!("{target}/a/b"), mode: 0o1770, uid: 5, gid: 6 },
            Mount::Symlink { path: format!("{target}/link"), target: "../else where".into() },
            Mount::Filesystem {
                source: MountSource::Name("tmpfs".into()),
                target: etc.clone(),
                fstype: "tmpfs".into(),
                options: "mode=0755".into(),
                access: Access::ReadWrite,
            },
            Mount::Bind { source: etc, target: "/etc".into(), access: Access::ReadWrite },
            Mount::Bind {
                source: path(&scratch, "lower"),
                target: format!("{target}/ro"),
                access: Access::ReadOnly,
            },
            Mount::Chown { path: format!("{target}/a"), uid: 8, gid: 9, scope: ChownScope::Everything },
            Mount::Symlink { path: format!("{target}/a/c"), target: "file".into() },
            Mount::Chown { path: format!("{target}/a"), uid: 10, gid: 11, scope: ChownScope::Directories },
        ],
        hostname: Some("kiln-test".into()),
        groups: vec![Group {
            name: "builders".into(),
            gid: 1001,
            members: vec!["build".into(), "root".into()],
            if_exists: IfGroupExists::Replace,
        }],
        identities: vec![Identity {
            name: "build".into(),
            uid: 1000,
            gid: 1001,
            home: "/home/build".into(),
            shell: "/bin/sh".into(),
        }],
        files: vec![TextFile {
            path: "/etc/a/hosts".into(),
            text: "127.0.0.1 localhost\n".into(),
            if_exists: IfExists::Replace,
            mode: 0o640,
        }],
        capabilities: Some(vec![0, 5]),
        on_exit: Vec::new(),
        ..empty_config()
    };
    let mut agent = Agent::start_isolated(config);
    let seen = agent.output_of(&format!(
        "cd {target}; stat -c '%n %a %u %g' . a a/b; stat -c '%u %g' a/c; readlink link; cat file; echo; cat /proc/sys/kernel/hostname; \
         cat /etc/passwd /etc/group /etc/a/hosts; stat -c %a /etc/a/hosts; touch ro/x 2>/dev/null || echo read-only; \
         grep CapBnd /proc/self/status; grep -q 127.0.0.1 /proc/net/fib_trie && echo the loopback is up"
    ));
    let expected = "\
. 755 1000 1001\na 755 10 11\na/b 1770 10 11\n0 0\n../else where\nbelow\nkiln-test\n\
build:x:1000:1001:build:/home/build:/bin/sh\nbuilders:x:1001:build,root\n127.0.0.1 localhost\n640\nread-only\n\
CapBnd:\t0000000000000021\nthe loopback is up\n";
    assert_eq!(seen, expected);
    let who = agent.run(kiln_protocol::Step { user: User::Name("build".into()), ..sh(2, "id -u") });
    assert_eq!(who.stdout, b"1000\n");
}

/// An agent with these limits and an otherwise empty configuration.
fn limited(command: &mut std::process::Command, limits: Vec<Limit>) -> Agent {
    let mut agent = Agent::unprepared(command);
    agent.send(&ToGuest::Prepare(GuestConfig { limits, ..empty_config() }.into()));
    assert!(matches!(agent.recv(), Some(FromGuest::Ready { .. })));
    agent
}

#[test]
fn steps_have_the_configured_limits() {
    let limit = |resource, soft, hard| Limit { resource, soft: Some(soft), hard: Some(hard) };
    let limits = vec![
        limit(Resource::Nofile, 100, 200),
        limit(Resource::Core, 0, 4096),
        limit(Resource::Stack, 1 << 20, 2 << 20),
    ];
    let mut agent = limited(&mut std::process::Command::new(env!("CARGO_BIN_EXE_guest-init")), limits);
    let shown = "ulimit -S -n; ulimit -H -n; ulimit -S -c; ulimit -H -c; ulimit -S -s; ulimit -H -s";
    assert_eq!(agent.output_of(shown), "100\n200\n0\n8\n1024\n2048\n");
}

#[test]
fn a_limit_that_may_not_be_raised_stays() {
    if !is_root() {
        return skip("only root can give up the right to raise limits");
    }
    let mut command = std::process::Command::new("prlimit");
    command.args(["--nofile=50:70", "setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"]);
    command.arg(env!("CARGO_BIN_EXE_guest-init"));
    let limits = vec![Limit { resource: Resource::Nofile, soft: Some(1024), hard: None }];
    let mut agent = limited(&mut command, limits);
    assert_eq!(agent.output_of("ulimit -S -n; ulimit -H -n"), "70\n70\n");
}

#[test]
fn an_error_names_the_action_and_its_target() {
    if !is_root() {
        return skip("mounting needs root");
    }
    if !can_unshare(&["--mount"]) {
        return;
    }
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", env!("CARGO_BIN_EXE_guest-init")]);
    let mut agent = Agent::unprepared(&mut command);
    let scratch = tempfile::tempdir().expect("a directory");
    let target = path(&scratch, "cache");
    let mount = Mount::Filesystem {
        source: MountSource::Share("cache".into()),
        target: target.clone(),
        fstype: "no-such-fs".into(),
        options: "trans=virtio".into(),
        access: Access::ReadOnly,
    };
    agent.send(&ToGuest::Prepare(GuestConfig { mounts: vec![mount], ..empty_config() }.into()));
    let why = format!("mount {target}: mount no-such-fs cache (trans=virtio): ENODEV: No such device");
    assert_eq!(agent.recv(), Some(FromGuest::Failed { why }));
    assert_eq!(agent.recv(), None);
}
