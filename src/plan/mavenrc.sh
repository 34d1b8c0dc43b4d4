# Written by kiln: Maven reads neither http_proxy nor https_proxy, Java only properties.
kiln_proxy() (
  place=${2#*://}
  place=${place%%/*}
  login=
  case $place in *@*) login=${place%@*} place=${place##*@} ;; esac
  test -n "$place" || exit 0
  printf ' -D%s.proxyHost=%s' "$1" "${place%:*}"
  case $place in *:*) printf ' -D%s.proxyPort=%s' "$1" "${place##*:}" ;; esac
  case $login in *:*) printf ' -D%s.proxyUser=%s -D%s.proxyPassword=%s' "$1" "${login%%:*}" "$1" "${login#*:}" ;; esac
)
kiln_direct() {
  printf %s "$1" | sed 's/[ ,][ ,]*/|/g; s/^\./*./; s/|\./|*./g; s/^./ -Dhttp.nonProxyHosts=&/'
}
MAVEN_OPTS="$MAVEN_OPTS$(kiln_proxy http "${http_proxy:-$HTTP_PROXY}")$(kiln_proxy https "${https_proxy:-$HTTPS_PROXY}")$(kiln_direct "${no_proxy:-$NO_PROXY}")"
# Maven 3.9 and later: its own transport asks Java only if it is told to.
MAVEN_OPTS="$MAVEN_OPTS -Daether.connector.http.useSystemProperties=true"
export MAVEN_OPTS
