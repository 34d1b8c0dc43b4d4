//! `--secret`: BuildKit's syntax on the command line -> the source of a secret -> its value.
//!
//! Before it: `cli`. After it: the plan, which has only the source, and `engine`, which sends the value to the agent.

use std::path::PathBuf;

use kiln_protocol::Secret;

use crate::{
    env::Env,
    exit::Failure,
    input,
    plan::{SecretFrom, SecretSource},
};

/// BuildKit's limit.
const MOST_BYTES: usize = 500 * 1024;
/// The login for repositories.
const LOGIN: &str = "HTTP_AUTH";
/// The way out of each usage error.
const FORMS: &str = "write id=NAME,src=FILE or id=NAME,env=VARIABLE";

/// Reads the flag: `id=…`, and `src=`/`source=…` or `env=…`; with neither, the variable of that name.
///
/// # Errors
/// A usage error for another key, or an id that is not the name of a file.
pub fn parse(text: &str) -> Result<SecretSource, Failure> {
    // A user may write the value of the secret here by mistake: the message must not repeat it.
    let refuse = |why: String| Failure::usage(format!("--secret: {why}"), FORMS);
    if !text.split(',').any(|field| field.starts_with("id=")) {
        return Err(refuse("its value has no id=NAME".into()));
    }
    let (mut id, mut from, mut kind) = (None, None, None);
    for (index, field) in text.split(',').enumerate() {
        let not_a_pair = || refuse(format!("field {} of its value is not KEY=VALUE", index + 1));
        let (key, value) = field.split_once('=').ok_or_else(not_a_pair)?;
        match key {
            "id" => id = Some(value.to_owned()),
            "src" | "source" => from = Some(SecretFrom::File(PathBuf::from(value))),
            "env" => from = Some(SecretFrom::Variable(value.to_owned())),
            "type" if ["file", "env"].contains(&value) => kind = Some(value),
            _ => return Err(refuse(format!("{key}=… is not known"))),
        }
    }
    let id = id.filter(|id| is_name(id)).ok_or_else(|| {
        refuse("its id must be letters, digits, dots, dashes and underscores, at most 64 of them".into())
    })?;
    let from = match (from, kind) {
        (Some(from), None) => from,
        (Some(SecretFrom::File(path)), Some("file")) => SecretFrom::File(path),
        // `type=env,src=NAME`, as BuildKit reads it.
        (Some(SecretFrom::File(name)), Some(_)) => SecretFrom::Variable(name.to_string_lossy().into_owned()),
        (Some(SecretFrom::Variable(name)), Some("env")) => SecretFrom::Variable(name),
        (None, None | Some("env")) => SecretFrom::Variable(id.clone()),
        (_, Some(_)) => return Err(refuse("type=file wants src=FILE".into())),
    };
    Ok(SecretSource { id, from })
}

/// The variables that secrets come from, and that of a login, which only kiln itself sends.
pub fn variables(sources: &[SecretSource]) -> impl Iterator<Item = String> {
    let of_secrets = sources.iter().filter_map(|source| match &source.from {
        SecretFrom::Variable(name) => Some(name.clone()),
        SecretFrom::File(_) => None,
    });
    of_secrets.chain([LOGIN.to_owned()])
}

fn is_name(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=64).contains(&id.len()) && id.chars().all(plain) && !id.starts_with('.')
}

/// Reads the value of a secret.
///
/// # Errors
/// A host error (4) for a source that is missing or too large.
pub fn load(source: &SecretSource, env: &Env) -> Result<Secret, Failure> {
    let SecretSource { id, from } = source;
    let refuse = |why: String| Failure::host(format!("--secret id={id}: {from} {why}"), FORMS);
    let value = match from {
        SecretFrom::Variable(name) => {
            let value = env.get(name).ok_or_else(|| refuse("is not set".into()))?;
            value.as_encoded_bytes().to_vec()
        }
        SecretFrom::File(path) => {
            input::read(path, MOST_BYTES).map_err(|error| refuse(format!("cannot be read: {error}")))?
        }
    };
    if value.len() > MOST_BYTES {
        return Err(refuse(format!("is larger than {} KiB", MOST_BYTES / 1024)));
    }
    Ok(Secret { id: id.clone(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syntax_is_that_of_buildkit() {
        let file = |path: &str| SecretFrom::File(path.into());
        let variable = |name: &str| SecretFrom::Variable(name.into());
        for (text, from) in [
            ("id=a,src=/x/y", file("/x/y")),
            ("id=a,source=y", file("y")),
            ("type=file,id=a,src=y", file("y")),
            ("id=a,env=TOKEN", variable("TOKEN")),
            ("id=a,type=env,src=TOKEN", variable("TOKEN")),
            ("id=a", variable("a")),
        ] {
            assert_eq!(parse(text).map(|source| source.from), Ok(from), "{text}");
        }
    }

    #[test]
    fn no_child_has_the_variables_of_secrets_and_logins() {
        let sources = ["id=a,env=TOKEN", "id=b,src=x"].map(|text| parse(text).expect("valid"));
        assert_eq!(variables(&sources).collect::<Vec<_>>(), ["TOKEN", "HTTP_AUTH"]);
    }

    #[test]
    fn a_malformed_flag_is_refused_without_repeating_its_value() {
        for text in ["", "hunter2", "src=x", "id=../x,src=x", "id=a,value=hunter2", "id=a,type=file", "id="] {
            let failure = parse(text).expect_err("refused");
            assert_eq!(failure.code, crate::exit::Code::Usage, "{text}");
            assert!(!failure.what.contains("hunter2"), "{}", failure.what);
        }
        for (text, what) in [
            ("hunter2", "--secret: its value has no id=NAME"),
            ("id=a,hunter2", "--secret: field 2 of its value is not KEY=VALUE"),
        ] {
            assert_eq!(parse(text).map_err(|failure| failure.what), Err(what.into()), "{text}");
        }
    }

    #[test]
    fn a_large_or_endless_source_is_refused() {
        let large = "x".repeat(MOST_BYTES + 1);
        let env: Env = [("LARGE", &*large), ("ALL", &large[1..])].into_iter().collect();
        let load = |text: &str| load(&parse(text).expect("valid"), &env);
        for text in ["id=a,env=LARGE", "id=a,src=/dev/zero"] {
            let failure = load(text).expect_err("too large");
            assert!(failure.what.ends_with("is larger than 500 KiB"), "{}", failure.what);
        }
        assert_eq!(load("id=a,env=ALL").map(|secret| secret.value.len()), Ok(MOST_BYTES));
    }

    #[test]
    fn a_missing_source_is_named() {
        let env: Env = [("TOKEN", "hunter2")].into_iter().collect();
        let load = |text: &str| load(&parse(text).expect("valid"), &env);
        assert_eq!(load("id=a,env=TOKEN").map(|secret| secret.value), Ok(b"hunter2".to_vec()));
        assert_eq!(
            load("id=a,env=NONE").expect_err("unset").what,
            "--secret id=a: the variable NONE is not set"
        );
        assert!(load("id=a,src=/nowhere").is_err());
    }
}
