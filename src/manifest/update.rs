//! `update`: metadata for update bots; parsed, checked and passed on, without effect on a build.

use serde::Serialize;

use super::{
    package::is_false,
    text::Text,
    walk::{Fields, Read, Report},
    yaml::Node,
};

/// How new versions are found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "melange's words, without effect here")]
#[serde(rename_all = "kebab-case")]
pub struct Update {
    pub enabled: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub manual: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub require_sequential: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub shared: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub version_separator: Text,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_regex_patterns: Vec<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_monitor: Option<ReleaseMonitor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub github: Option<Tags>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<Tags>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oci: Option<Tags>,
    #[serde(rename = "version_data", skip_serializing_if = "Option::is_none")]
    pub version_data: Option<VersionData>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub version_transform: Vec<VersionTransform>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub exclude_reason: Text,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    #[serde(skip_serializing_if = "is_false")]
    pub enable_prerelease_tags: bool,
}

impl Read for Update {
    const EXPECTED: &'static str = "a map (enabled, github, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("update", node, report)?;
        let update = Self {
            enabled: fields.take("enabled"),
            manual: fields.take("manual"),
            require_sequential: fields.take("require-sequential"),
            shared: fields.take("shared"),
            version_separator: fields.take("version-separator"),
            ignore_regex_patterns: fields.take("ignore-regex-patterns"),
            release_monitor: fields.take("release-monitor"),
            github: fields.take::<Option<GitHub>>("github").map(|section| section.0),
            git: fields.take::<Option<Git>>("git").map(|section| section.0),
            oci: fields.take::<Option<Oci>>("oci").map(|section| section.0),
            version_data: fields.take("version_data"),
            version_transform: fields.take("version-transform"),
            exclude_reason: fields.take("exclude-reason"),
            schedule: fields.take("schedule"),
            enable_prerelease_tags: fields.take("enable-prerelease-tags"),
        };
        fields.close();
        Some(update)
    }
}

/// release-monitoring.org.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "melange's words, without effect here")]
#[serde(rename_all = "kebab-case")]
pub struct ReleaseMonitor {
    pub identifier: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub strip_prefix: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub strip_suffix: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub version_filter_contains: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub version_filter_prefix: Text,
}

impl Read for ReleaseMonitor {
    const EXPECTED: &'static str = "a map (identifier, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("update.release-monitor", node, report)?;
        let monitor = Self {
            identifier: fields.take("identifier"),
            strip_prefix: fields.take("strip-prefix"),
            strip_suffix: fields.take("strip-suffix"),
            version_filter_contains: fields.take("version-filter-contains"),
            version_filter_prefix: fields.take("version-filter-prefix"),
        };
        fields.close();
        Some(monitor)
    }
}

/// Tags of GitHub, git or a registry: each takes a part of these keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "melange's words, without effect here")]
#[serde(rename_all = "kebab-case")]
pub struct Tags {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub identifier: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub strip_prefix: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub strip_suffix: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub tag_filter: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub tag_filter_prefix: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub tag_filter_contains: Text,
    #[serde(skip_serializing_if = "is_false")]
    pub use_tag: bool,
}

#[derive(Default)]
struct GitHub(Tags);

#[derive(Default)]
struct Git(Tags);

#[derive(Default)]
struct Oci(Tags);

impl Read for GitHub {
    const EXPECTED: &'static str = "a map (identifier, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("update.github", node, report)?;
        let tags = Tags {
            identifier: fields.take("identifier"),
            tag_filter: fields.take("tag-filter"),
            use_tag: fields.take("use-tag"),
            ..common(&mut fields)
        };
        fields.close();
        Some(Self(tags))
    }
}

impl Read for Git {
    const EXPECTED: &'static str = "a map (strip-prefix, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("update.git", node, report)?;
        let tags = common(&mut fields);
        fields.close();
        Some(Self(tags))
    }
}

impl Read for Oci {
    const EXPECTED: &'static str = "a map (identifier, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("update.oci", node, report)?;
        let tags = Tags { identifier: fields.take("identifier"), ..common(&mut fields) };
        fields.close();
        Some(Self(tags))
    }
}

fn common(fields: &mut Fields<'_, '_, '_, '_>) -> Tags {
    Tags {
        strip_prefix: fields.take("strip-prefix"),
        strip_suffix: fields.take("strip-suffix"),
        tag_filter_prefix: fields.take("tag-filter-prefix"),
        tag_filter_contains: fields.take("tag-filter-contains"),
        ..Tags::default()
    }
}

/// A version made of several sources.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "melange's words, without effect here")]
pub struct VersionData {
    pub version_format: Text,
    pub sources: Vec<VersionSource>,
}

impl Read for VersionData {
    const EXPECTED: &'static str = "a map (version_format, sources)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("update.version_data", node, report)?;
        let data = Self { version_format: fields.take("version_format"), sources: fields.take("sources") };
        fields.close();
        Some(data)
    }
}

/// One of the sources.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "melange's words, without effect here")]
pub struct VersionSource {
    pub name: Text,
    pub stream: Text,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<Text>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub commit_source: Text,
    #[serde(skip_serializing_if = "is_false")]
    pub use_release: bool,
}

impl Read for VersionSource {
    const EXPECTED: &'static str = "a map (name, stream, …)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("update.version_data.sources", node, report)?;
        let source = Self {
            name: fields.take("name"),
            stream: fields.take("stream"),
            ignore: fields.take("ignore"),
            commit_source: fields.take("commit_source"),
            use_release: fields.take("use_release"),
        };
        fields.close();
        Some(source)
    }
}

/// How a version becomes an apk version.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct VersionTransform {
    /// Go's RE2.
    #[serde(rename = "match")]
    pub pattern: Text,
    /// The replacement of each match.
    pub replace: Text,
}

impl Read for VersionTransform {
    const EXPECTED: &'static str = "a map (match, replace)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("update.version-transform", node, report)?;
        let transform = Self { pattern: fields.take("match"), replace: fields.take("replace") };
        fields.close();
        Some(transform)
    }
}

/// When to look.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "melange's words, without effect here")]
pub struct Schedule {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Text,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub period: Text,
}

impl Read for Schedule {
    const EXPECTED: &'static str = "a map (reason, period)";

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let mut fields = Fields::open("update.schedule", node, report)?;
        let schedule = Self { reason: fields.take("reason"), period: fields.take("period") };
        fields.close();
        Some(schedule)
    }
}
