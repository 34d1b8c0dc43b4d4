//! The upstream sources of a package.

use super::{
    identifier::{identifier, organization},
    purl::Purl,
    spdx::{Checksum, ExternalRef, NO_ASSERTION, Package},
};
use crate::plan::Upstream;

/// A source as a package of SPDX; `None` for a repository without a tag or commit, of which there is nothing to say.
/// `declared` is the licence of the package that is made of it.
pub(super) fn package(source: &Upstream, declared: Option<&str>, namespace: &str) -> Option<Package> {
    match source {
        Upstream::Fetch { step, uri, sha256, sha512, purl_name, purl_version } => {
            let uri = without_login(uri);
            let sums = [("SHA256", "sha256", sha256), ("SHA512", "sha512", sha512)];
            let given = sums.into_iter().filter(|(_, _, digest)| !digest.is_empty());
            let mut purl = Purl::new("generic", None, purl_name, purl_version).with("download_url", &uri);
            let mut checksums = Vec::new();
            for (algorithm, qualifier, digest) in given {
                purl = purl.with("checksum", &format!("{qualifier}:{digest}"));
                checksums.push(Checksum { algorithm, value: digest.clone() });
            }
            Some(Package {
                id: identifier(&["Source", purl_name, purl_version, &step.to_string()]),
                name: purl_name.clone(),
                version: purl_version.clone(),
                location: if uri.is_empty() { NO_ASSERTION.into() } else { uri },
                purpose: "SOURCE",
                checksums,
                external_refs: vec![ExternalRef::purl(&purl)],
                ..Package::of_organization(organization(namespace))
            })
        }
        Upstream::GitCheckout { step, repository, branch, tag, commit } => {
            let repository = Repository::of(repository);
            let version = [tag, commit].into_iter().find(|version| !version.is_empty())?;
            let reference = if commit.is_empty() { tag } else { commit };
            let step = step.to_string();
            let parts = ["Source", repository.without_scheme(), branch, tag, commit, &step];
            let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            let Described { name, purl, location, owner } = repository.described(version, commit, reference);
            Some(Package {
                id: identifier(&parts),
                name,
                version: version.clone(),
                license_declared: declared.unwrap_or(NO_ASSERTION).to_owned(),
                location,
                purpose: "SOURCE",
                external_refs: vec![ExternalRef::purl(&purl)],
                ..Package::of_organization(organization(owner.as_deref().unwrap_or(namespace)))
            })
        }
    }
}

/// A URL without user and password: an SBOM is read by many.
fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The URL of a repository, without user and password.
struct Repository {
    url: String,
}

/// What depends on where a repository lies.
struct Described {
    name: String,
    purl: Purl,
    location: String,
    /// `None`: the organization of the packages.
    owner: Option<String>,
}

impl Repository {
    fn of(url: &str) -> Self {
        Self { url: without_login(url) }
    }

    fn without_scheme(&self) -> &str {
        let rest = self.url.strip_prefix("https://").unwrap_or(&self.url);
        rest.strip_prefix("http://").unwrap_or(rest)
    }

    fn described(&self, version: &str, commit: &str, reference: &str) -> Described {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("", &self.url));
        let (host, path) = rest.split_once('/').unwrap_or(("", rest));
        let path = path.split(['?', '#']).next().unwrap_or_default();
        if host == "github.com"
            && let Some((owner, name)) = path.split_once('/')
        {
            let name = name.strip_suffix(".git").unwrap_or(name);
            return Described {
                name: name.to_owned(),
                purl: Purl::new("github", Some(&owner.to_lowercase()), &name.to_lowercase(), version),
                location: format!("{scheme}://github.com/{owner}/{name}/archive/{reference}.tar.gz"),
                owner: Some(owner.to_owned()),
            };
        }
        let name = path.strip_suffix(".git").unwrap_or(path);
        let prefix = if self.url.starts_with("git") { "" } else { "git+" };
        let at = if commit.is_empty() { String::new() } else { format!("@{commit}") };
        Described {
            name: name.to_owned(),
            purl: Purl::new("generic", None, name, version)
                .with("vcs_url", &format!("{prefix}{url}{at}", url = self.url)),
            // melange names an archive here that lies on a private server.
            location: format!("{prefix}{url}@{reference}", url = self.url),
            owner: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkout(repository: &str, tag: &str, commit: &str) -> Option<Package> {
        let source = Upstream::GitCheckout {
            step: 1,
            repository: repository.into(),
            branch: "main".into(),
            tag: tag.into(),
            commit: commit.into(),
        };
        package(&source, Some("MIT"), "testix")
    }

    #[test]
    fn a_repository_without_a_version_is_not_described() {
        assert!(checkout("https://example.org/a", "", "").is_none());
    }

    #[test]
    fn a_password_of_a_url_is_not_written() {
        let package =
            checkout("https://user:secret@example.org/group/a.git", "v1", "").expect("it has a tag");
        assert_eq!(package.id, "SPDXRef-Package-Source-example.org-group-a.git-main-v1-1");
        assert_eq!(package.location, "git+https://example.org/group/a.git@v1");
        assert_eq!(package.name, "group/a");
        assert_eq!(without_login("https://u@h/x@y"), "https://h/x@y");
    }

    #[test]
    fn a_url_without_a_host_is_described_by_its_path() {
        let package = checkout("git@example.org:a/b.git", "", "0123").expect("it has a commit");
        assert_eq!(package.name, "b");
        let purl = &package.external_refs[0].locator;
        assert_eq!(purl, "pkg:generic/b@0123?vcs_url=git%40example.org:a%2Fb.git%400123");
    }
}
