//! The variables of kiln's environment that curl and git get: those of the network. Not passed are variables that change the
//! directory (`GIT_DIR` of a hook that calls kiln), run programs (`BASH_ENV`, exported functions) or name a configuration.

use std::{env, ffi::OsString};

/// The variables.
const NAMES: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    // Proxies, as curl reads them.
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    // Certificates.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    // Credentials.
    "SSH_AUTH_SOCK",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
];

/// Those that are set.
pub(super) fn variables() -> impl Iterator<Item = (OsString, OsString)> {
    NAMES.iter().filter_map(|name| env::var_os(name).map(|value| ((*name).into(), value)))
}
