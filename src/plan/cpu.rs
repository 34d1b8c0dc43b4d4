//! The model of a guest's processor, which becomes the value of QEMU's `-cpu`: a name, and features that are on or off.
//! A build file cannot set anything else that QEMU reads there (`help`, other properties).

/// Reads `MODEL[,+FEATURE|,-FEATURE|,FEATURE=on|off…]`.
///
/// # Errors
/// The reason why it is not a model.
pub(super) fn model(text: &str) -> Result<String, String> {
    let mut parts = text.split(',');
    let model = parts.next().unwrap_or_default();
    if !is_name(model) || model == "help" {
        return Err(format!("cpumodel: {text:?} does not begin with the name of a model"));
    }
    match parts.find(|part| !is_feature(part)) {
        None => Ok(text.to_owned()),
        Some(part) => Err(format!("cpumodel: {part:?} is not a feature that is on or off")),
    }
}

fn is_feature(text: &str) -> bool {
    match (text.strip_prefix(['+', '-']), text.split_once('=')) {
        (Some(name), None) => is_name(name),
        (None, Some((name, "on" | "off"))) => is_name(name),
        (Some(_) | None, _) => false,
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_a_name_with_features() {
        for text in ["host", "max", "Skylake-Client-v4", "max,+avx2,-sse4.1,pmu=off", "qemu64,x2apic=on"] {
            assert_eq!(model(text), Ok(text.to_owned()));
        }
        for text in [
            "",
            "-x",
            "--x=y",
            "help",
            "?",
            "max,",
            "max,,x=on",
            "max,help",
            "max,vendor=x",
            "max,host-phys-bits-limit=1",
            "max,+",
            "max\n",
            "max,+a\nb",
            "max\0",
            "max -drive file=/etc/shadow",
        ] {
            assert!(model(text).is_err(), "{text:?}");
        }
    }
}
