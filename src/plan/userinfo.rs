//! The user and password in a proxy's URL: the secret, and the URL with its secret redacted.
//!
//! Before it: `host_settings`, which has the URLs. After it: `kiln plan`, and the redaction of output.

/// Replaces a secret.
const REDACTED: &str = "***";

/// `before` + `user:password` or a lone `token` + `after`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Userinfo<'u> {
    before: &'u str,
    /// `None` if a token takes the place of the user.
    user: Option<&'u str>,
    /// A password, or a token without a user; percent-encoded.
    secret: &'u str,
    after: &'u str,
}

impl<'u> Userinfo<'u> {
    /// The userinfo of a URL, if it has a secret. It ends at the last `@`, even if the password has a `/` in it: strict parsers
    /// refuse such a URL, and others do not.
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

    /// The secret, percent-encoded and decoded.
    pub(super) fn secrets(&self) -> [Vec<u8>; 2] {
        [self.secret.into(), decoded(self.secret)]
    }

    /// `user:password`, as in the header Proxy-Authorization.
    pub(super) fn login(&self) -> Vec<u8> {
        let (first, second) = match self.user {
            Some(user) => (decoded(user), decoded(self.secret)),
            None => (decoded(self.secret), Vec::new()),
        };
        [first, second].join(&b':')
    }

    /// The URL with its secret redacted.
    pub(super) fn hidden(&self) -> String {
        format!("{}{REDACTED}{}", self.before, self.after)
    }
}

/// Decodes valid percent-encodings.
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
