# Written by kiln: Maven reads neither http_proxy nor https_proxy, Java only properties.
kiln_decoded() (
  rest=$1
  while :; do
    case $rest in *%[0-9A-Fa-f][0-9A-Fa-f]*) ;; *) break ;; esac
    before=${rest%%\%[0-9A-Fa-f][0-9A-Fa-f]*}
    after=${rest#"$before"%??}
    code=${rest#"$before"%}
    printf '%s' "$before"
    printf "\\$(printf %03o "0x${code%"$after"}")"
    rest=$after
  done
  printf %s "$rest"
)
# kiln_proxy http|https URL
kiln_proxy() (
  case $2 in *://*) scheme=${2%%://*} ;; *) scheme=http ;; esac
  place=${2#*://} login=
  case $place in *@*) login=${place%@*} place=${place##*@} ;; esac
  place=${place%%[/?#]*}
  case $place in
    \[*\]*) host=${place#\[} host=${host%%\]*} port=${place##*\]} port=${port#:} ;;
    *:*) host=${place%:*} port=${place##*:} ;;
    *) host=$place port= ;;
  esac
  test -n "$host" || exit 0
  case $scheme in
    [Ss][Oo][Cc][Kk][Ss]*)
      printf ' -DsocksProxyHost=%s -DsocksProxyPort=%s' "$host" "${port:-1080}"
      user=java.net.socks.username password=java.net.socks.password
      ;;
    *)
      case $scheme in [Hh][Tt][Tt][Pp][Ss]) usual=443 ;; *) usual=80 ;; esac
      printf ' -D%s.proxyHost=%s -D%s.proxyPort=%s' "$1" "$host" "$1" "${port:-$usual}"
      user=$1.proxyUser password=$1.proxyPassword
      ;;
  esac
  case $login in *:*) ;; *) exit 0 ;; esac
  name=$(kiln_decoded "${login%%:*}") word=$(kiln_decoded "${login#*:}")
  case $name$word in
    # mvn splits MAVEN_OPTS at white space.
    *[[:space:]]*) echo "kiln: Maven cannot use a proxy whose password has white space in it" >&2 ;;
    *) printf ' -D%s=%s -D%s=%s' "$user" "$name" "$password" "$word" ;;
  esac
)
# Hosts that are reached directly: `name` and `.name` include subdomains.
kiln_direct() (
  set -f
  IFS=', 	'
  names=
  for name in $1; do
    case $name in
      \**) ;;
      .*) name="*$name" ;;
      *[!0-9./]*) name=${name%:*} name="$name|*.$name" ;;
    esac
    names="$names|$name"
  done
  test -z "$names" || printf ' -Dhttp.nonProxyHosts=%s -DsocksNonProxyHosts=%s' "${names#|}" "${names#|}"
)
kiln_all=${all_proxy:-$ALL_PROXY}
MAVEN_OPTS="$MAVEN_OPTS$(kiln_proxy http "${http_proxy:-${HTTP_PROXY:-$kiln_all}}")"
MAVEN_OPTS="$MAVEN_OPTS$(kiln_proxy https "${https_proxy:-${HTTPS_PROXY:-$kiln_all}}")$(kiln_direct "${no_proxy:-$NO_PROXY}")"
# Maven 3.9 and later: its own transport reads properties of Java only with this option.
MAVEN_OPTS="$MAVEN_OPTS -Daether.connector.http.useSystemProperties=true"
export MAVEN_OPTS
