//! The user and password in a proxy's URL: what of it no output may show, and the URL without that.
//!
//! Before it: `host_settings`, which has the URLs. After it: `kiln plan`, and the mask of output.

/// Stands in a secret's place.
const REDACTED: &str = "***";

/// `before` + `user:password` or a lone `token` + `after`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Userinfo<'u> {
    before: &'u str,
    /// Where something else is the secret.
    user: Option<&'u str>,
    /// As the URL has it: a password, or a token that stands alone.
    secret: &'u str,
    after: &'u str,
}

impl<'u> Userinfo<'u> {
    /// That of a URL whose userinfo has something to hide. A password with a `/` in it ends where the last `@` stands: tools
    /// that read URLs strictly refuse it, and others do not.
    pub(super) fn of(url: &'u str) -> Option<Self> {
        let start = url.find("://").map_or(0, |at| at + "://".len());
        let end = start + url[start..].rfind('@')?;
        let (user, secret) = match url[start..end].split_once(':') {
            Some((user, password)) if !password.is_empty() => (Some(user), password),
            Some((token, _)) => (None, token),
            None => (None, &url[start..end]),
        };
        let begin = start + user.map_or(0, |user| user.len() + ":".len());
        let after = &url[begin + secret.len()..];
        (!secret.is_empty()).then_some(Self { before: &url[..begin], user, secret, after })
    }

    /// The secret as the URL has it, and as it is.
    pub(super) fn secrets(&self) -> [Vec<u8>; 2] {
        [self.secret.into(), decoded(self.secret)]
    }

    /// `user:password`, as proxies are told of it.
    pub(super) fn login(&self) -> Vec<u8> {
        let (first, second) = match self.user {
            Some(user) => (decoded(user), decoded(self.secret)),
            None => (decoded(self.secret), Vec::new()),
        };
        [first, second].join(&b':')
    }

    /// The URL without it.
    pub(super) fn hidden(&self) -> String {
        format!("{}{REDACTED}{}", self.before, self.after)
    }
}

/// Without percent signs, where they encode something.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits
            .filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_or_token_of_a_url_is_hidden() {
        for (url, hidden, secret, login) in [
            ("http://u:pass@proxy:3128/", "http://u:***@proxy:3128/", "pass", "u:pass"),
            ("http://u:pa/ssw0rd@proxy", "http://u:***@proxy", "pa/ssw0rd", "u:pa/ssw0rd"),
            ("http://u:p@ss@proxy", "http://u:***@proxy", "p@ss", "u:p@ss"),
            ("u%40corp:p%40s%2Fs%@proxy", "u%40corp:***@proxy", "p@s/s%", "u@corp:p@s/s%"),
            ("http://a-token@proxy", "http://***@proxy", "a-token", "a-token:"),
            ("http://a-token:@proxy", "http://***:@proxy", "a-token", "a-token:"),
            ("http://:pass@proxy", "http://:***@proxy", "pass", ":pass"),
            ("http://u:%C3%A9%zz%4@proxy", "http://u:***@proxy", "é%zz%4", "u:é%zz%4"),
        ] {
            let userinfo = Userinfo::of(url).expect("there is one");
            assert_eq!(userinfo.hidden(), hidden);
            assert_eq!(userinfo.secrets()[1], secret.as_bytes(), "{url}");
            assert_eq!(userinfo.login(), login.as_bytes(), "{url}");
        }
        for url in ["", "http://proxy:3128", "http://@proxy", "http://:@proxy", "proxy"] {
            assert_eq!(Userinfo::of(url), None, "{url}");
        }
    }
}
