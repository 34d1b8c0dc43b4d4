//! Identifiers of SPDX, and the names of organizations.

/// The identifier of a package made of some parts: letters, digits, `.` and `-` stay.
pub(super) fn identifier(parts: &[&str]) -> String {
    let mut id = String::from("SPDXRef-Package");
    for part in parts {
        id.push('-');
        for c in part.chars() {
            match c {
                ':' | '/' => id.push('-'),
                '-' | '.' | 'a'..='z' | 'A'..='Z' | '0'..='9' => id.push(c),
                c => id.push_str(&format!("C{}", u32::from(c))),
            }
        }
    }
    id
}

/// An organization, each word of its name with a capital.
pub(super) fn organization(name: &str) -> String {
    let mut out = String::from("Organization: ");
    let mut previous: Option<char> = None;
    let mut letters = name.chars().peekable();
    while let Some(c) = letters.next() {
        let is_inside = previous.is_some_and(|previous| previous.is_alphanumeric() || previous == '_');
        // A dot or an apostrophe between letters does not end a word.
        let joins = is_inside
            && matches!(c, '.' | '\'' | '’' | ':')
            && letters.peek().is_some_and(|next| next.is_alphabetic());
        if is_inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        previous = if joins { previous } else { Some(c) };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_only_the_characters_of_spdx() {
        assert_eq!(identifier(&["apk", "a+b", "2.0_rc1-r7"]), "SPDXRef-Package-apk-aC43b-2.0C95rc1-r7");
        assert_eq!(identifier(&["Melange", "c/ä b.yaml"]), "SPDXRef-Package-Melange-c-C228C32b.yaml");
    }

    #[test]
    fn each_word_of_an_organization_has_a_capital() {
        for (name, wanted) in [
            ("testix", "Testix"),
            ("chainguard-dev", "Chainguard-Dev"),
            ("FOO bar", "Foo Bar"),
            ("example.org", "Example.org"),
            ("a_b", "A_b"),
            ("", ""),
        ] {
            assert_eq!(organization(name), format!("Organization: {wanted}"));
        }
    }
}
