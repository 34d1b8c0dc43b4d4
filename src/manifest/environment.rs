//! `environment`: the content of the guest; apko's image configuration, key for key.

use serde::Serialize;

use super::{
    package::is_false,
    text::{Map, Text},
    walk::{Fields, Read, Report},
    yaml::Node,
};

/// The content of the guest.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Environment {
    /// Its packages and where they come from.
    pub contents: Contents,
    /// Kept, without effect on a build.
    pub entrypoint: Entrypoint,
    /// Kept, without effect on a build.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub cmd: Text,
    /// Kept, without effect on a build.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub stop_signal: Text,
    /// Kept, without effect on a build.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub work_dir: Text,
    /// Users and groups.
    pub accounts: Accounts,
    /// Kept, without effect on a build.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub archs: Vec<Text>,
    /// Variables.
    #[serde(rename = "environment", skip_serializing_if = "Map::is_empty")]
    pub variables: Map,
    /// Changes to its files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathMutation>,
    /// Kept, without effect on a build.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub vcs_url: Text,
    /// Kept, without effect on a build.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub annotations: Map,
    /// Kept, without effect on a build.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub include: Text,
    /// Kept, without effect on a build.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Text>,
}

impl Read for Environment {
    const EXPECTED: &'static str = "a map (contents, environment, accounts, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("environment", node, report)?;
        let environment = Self {
            contents: fields.take("contents"),
            entrypoint: fields.take("entrypoint"),
            cmd: fields.take("cmd"),
            stop_signal: fields.take("stop-signal"),
            work_dir: fields.take("work-dir"),
            accounts: fields.take("accounts"),
            archs: fields.take("archs"),
            variables: fields.take("environment"),
            paths: fields.take("paths"),
            vcs_url: fields.take("vcs-url"),
            annotations: fields.take("annotations"),
            include: fields.take("include"),
            volumes: fields.take("volumes"),
        };
        // Read for their faults only: melange loses them when it substitutes variables.
        fields.take::<Option<Layering>>("layering");
        fields.take::<Text>("format");
        fields.take::<Option<Certificates>>("certificates");
        fields.close();
        Some(environment)
    }
}

/// The packages of a guest and where they come from.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Contents {
    /// Used at build time only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub build_repositories: Vec<Text>,
    /// Used at build time, and written into the guest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<Text>,
    /// Keys that sign them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keyring: Vec<Text>,
    /// The packages; in a recipe, with those that the steps need.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Text>,
    /// An image below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseimage: Option<BaseImage>,
}

impl Read for Contents {
    const EXPECTED: &'static str = "a map (packages, repositories, keyring, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("contents", node, report)?;
        let contents = Self {
            build_repositories: fields.take("build_repositories"),
            repositories: fields.take("repositories"),
            keyring: fields.take("keyring"),
            packages: fields.take("packages"),
            baseimage: fields.take("baseimage"),
        };
        // As above.
        fields.take::<Vec<Text>>("runtime_repositories");
        fields.take::<Vec<NamedContent>>("runtime_keyring");
        fields.close();
        Some(contents)
    }
}

/// An image below the guest's packages.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BaseImage {
    /// An OCI layout.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub image: Text,
    /// The index of its packages.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub apkindex: Text,
}

impl Read for BaseImage {
    const EXPECTED: &'static str = "a map (image, apkindex)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("baseimage", node, report)?;
        let image = Self { image: fields.take("image"), apkindex: fields.take("apkindex") };
        fields.close();
        Some(image)
    }
}

/// Kept, without effect on a build.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "apko's words, without effect here")]
#[serde(rename_all = "kebab-case")]
pub struct Entrypoint {
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    pub kind: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub command: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub shell_fragment: Text,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub services: Map,
}

impl Read for Entrypoint {
    const EXPECTED: &'static str = "a map (type, command, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("entrypoint", node, report)?;
        let entrypoint = Self {
            kind: fields.take("type"),
            command: fields.take("command"),
            shell_fragment: fields.take("shell-fragment"),
            services: fields.take("services"),
        };
        fields.close();
        Some(entrypoint)
    }
}

/// Users and groups of the guest.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Accounts {
    /// The user of the steps: a name or a number; empty: the runner's default.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub run_as: Text,
    /// Made in the guest; a recipe always has `build`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
    /// Made in the guest; a recipe always has `build`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Group>,
}

impl Read for Accounts {
    const EXPECTED: &'static str = "a map (run-as, users, groups)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("accounts", node, report)?;
        let accounts = Self {
            run_as: fields.take("run-as"),
            users: fields.take("users"),
            groups: fields.take("groups"),
        };
        fields.close();
        Some(accounts)
    }
}

/// A user of the guest.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct User {
    /// The login name.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub username: Text,
    /// The number.
    #[serde(skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// The primary group; `None`: the same number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The login shell.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub shell: Text,
    /// The home directory.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub homedir: Text,
}

impl Read for User {
    const EXPECTED: &'static str = "a map (username, uid, gid, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("a user", node, report)?;
        let user = Self {
            username: fields.take("username"),
            uid: fields.take("uid"),
            gid: fields.take("gid"),
            shell: fields.take("shell"),
            homedir: fields.take("homedir"),
        };
        fields.close();
        Some(user)
    }
}

/// A group of the guest.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Group {
    /// Its name.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub groupname: Text,
    /// Its number.
    #[serde(skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// Login names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Text>,
}

impl Read for Group {
    const EXPECTED: &'static str = "a map (groupname, gid, members)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("a group", node, report)?;
        let group = Self {
            groupname: fields.take("groupname"),
            gid: fields.take("gid"),
            members: fields.take("members"),
        };
        fields.close();
        Some(group)
    }
}

/// A change to the guest's files.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PathMutation {
    /// The path.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub path: Text,
    /// `directory`, `empty-file`, `hardlink`, `symlink`, `permissions`.
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    pub kind: Text,
    /// The owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Its mode bits.
    #[serde(skip_serializing_if = "is_zero")]
    pub permissions: u32,
    /// The target of a link.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub source: Text,
    /// Also for all files below it.
    #[serde(skip_serializing_if = "is_false")]
    pub recursive: bool,
}

impl Read for PathMutation {
    const EXPECTED: &'static str = "a map (path, type, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("paths", node, report)?;
        let mutation = Self {
            path: fields.take("path"),
            kind: fields.take("type"),
            uid: fields.take("uid"),
            gid: fields.take("gid"),
            permissions: fields.take("permissions"),
            source: fields.take("source"),
            recursive: fields.take("recursive"),
        };
        fields.close();
        Some(mutation)
    }
}

/// For serde: Go leaves a zero out.
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Read for its faults only.
#[derive(Default)]
struct Layering;

impl Read for Layering {
    const EXPECTED: &'static str = "a map (strategy, budget)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("layering", node, report)?;
        fields.take::<Text>("strategy");
        fields.take::<i64>("budget");
        fields.close();
        Some(Self)
    }
}

/// Read for its faults only.
#[derive(Default)]
struct Certificates;

impl Read for Certificates {
    const EXPECTED: &'static str = "a map (additional, providers)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("certificates", node, report)?;
        fields.take::<Vec<NamedContent>>("additional");
        fields.take::<Vec<Text>>("providers");
        fields.close();
        Some(Self)
    }
}

/// Read for its faults only.
#[derive(Default)]
struct NamedContent;

impl Read for NamedContent {
    const EXPECTED: &'static str = "a map (name, content)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("a named file", node, report)?;
        fields.take::<Text>("name");
        fields.take::<Text>("content");
        fields.close();
        Some(Self)
    }
}
