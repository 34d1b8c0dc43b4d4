//! Names and passwords in addresses, which are shown nowhere.

/// A text with something else in place of each name and password of a URL in it.
pub(crate) fn hide(text: &str, instead: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        let end = after.find(|c: char| c.is_whitespace() || "/?#".contains(c)).unwrap_or(after.len());
        let (authority, further) = after.split_at(end);
        shown += before;
        match authority.rsplit_once('@') {
            Some((_, host)) => shown.extend([instead, host]),
            None => shown += authority,
        }
        rest = further;
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_and_password_is_hidden_and_nothing_else() {
        for (text, shown) in [
            ("@t https://me:p@w@h.example.org:8443/x", "@t https://***@h.example.org:8443/x"),
            ("-r=http://me@h http://me:pw@h?x", "-r=http://***@h http://***@h?x"),
            ("https://h.example.org/x@y", "https://h.example.org/x@y"),
            ("file:///a@b", "file:///a@b"),
            ("name@edge", "name@edge"),
            ("https://", "https://"),
        ] {
            assert_eq!(hide(text, "***@"), shown);
        }
        assert_eq!(hide("https://me:pw@h/x", ""), "https://h/x");
    }
}
