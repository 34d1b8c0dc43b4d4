//! Package URLs (<https://github.com/package-url/purl-spec>).

use std::{collections::BTreeMap, fmt};

/// A package URL.
#[derive(Debug, Clone)]
pub(super) struct Purl {
    kind: &'static str,
    namespace: Option<String>,
    name: String,
    version: String,
    /// Sorted by key.
    qualifiers: BTreeMap<&'static str, String>,
    subpath: String,
}

impl Purl {
    /// A URL without qualifiers; `version` may be empty.
    pub(super) fn new(kind: &'static str, namespace: Option<&str>, name: &str, version: &str) -> Self {
        Self {
            kind,
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            version: version.to_owned(),
            qualifiers: BTreeMap::new(),
            subpath: String::new(),
        }
    }

    /// The same, with a qualifier.
    pub(super) fn with(mut self, key: &'static str, value: &str) -> Self {
        self.qualifiers.insert(key, value.to_owned());
        self
    }

    /// The same, with a path in the package.
    pub(super) fn below(mut self, path: &str) -> Self {
        path.clone_into(&mut self.subpath);
        self
    }
}

impl fmt::Display for Purl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, namespace, name, version, qualifiers, subpath } = self;
        write!(f, "pkg:{kind}")?;
        let segments = namespace.iter().flat_map(|namespace| namespace.split('/'));
        for segment in segments.filter(|segment| !segment.is_empty()) {
            write!(f, "/{}", escaped(segment, ":"))?;
        }
        write!(f, "/{}", escaped(name, ":"))?;
        if !version.is_empty() {
            write!(f, "@{}", escaped(version, ":"))?;
        }
        for (index, (key, value)) in qualifiers.iter().enumerate() {
            let sign = if index == 0 { '?' } else { '&' };
            write!(f, "{sign}{key}={}", escaped(value, ":"))?;
        }
        if !subpath.is_empty() {
            write!(f, "#{}", escaped(subpath, "$&+,/:;=?@!()*"))?;
        }
        Ok(())
    }
}

/// Percent-encodes all but unreserved characters of RFC 3986 and those of `kept`.
fn escaped(text: &str, kept: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-_.~".contains(c) || byte.is_ascii() && kept.contains(c) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_encoded_by_itself() {
        let purl = Purl::new("generic", None, "group/other", "v 1+2")
            .with("vcs_url", "git+https://h/p@c")
            .with("a", "ä")
            .below("x/ä b#.yaml");
        let wanted = "pkg:generic/group%2Fother@v%201%2B2?a=%C3%A4&vcs_url=git%2Bhttps:%2F%2Fh%2Fp%40c#x/%C3%A4%20b%23.yaml";
        assert_eq!(purl.to_string(), wanted);
        assert_eq!(Purl::new("apk", Some("a/b"), "libstdc++", "").to_string(), "pkg:apk/a/b/libstdc%2B%2B");
    }
}
