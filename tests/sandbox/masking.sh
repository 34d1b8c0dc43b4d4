set +x
T=$(cat /run/secrets/tok)
each() { for i in $(seq ${#T}); do printf '%s' "$(printf '%s' "$T" | cut -c$i)"; "$@"; done; }
echo "<1> $T"
printf '<2> '; each true; echo
printf '<3> '; each sleep 0.12; echo
echo "<4> $(printf '%s' "$T" | base64) $(echo "$T" | base64)"
echo "<5> $(printf 'a%s' "$T" | base64)"
echo "<6> $(printf 'ab%s' "$T" | base64)"
echo "<7>"; printf '%s' "$T" | base64 -w 7; echo
echo "<8> $(printf '%s' "$T" | base64 | tr '+/' '-_')"
echo "<9> $(printf '%s' "$T" | od -An -tx1 | tr -d ' \n')"
echo "<10> $(printf '%s' "$T" | od -An -tx1 | tr -d ' \n' | tr a-f A-F)"
echo "<11> $(perl -e '$_=$ARGV[0]; s/([^A-Za-z0-9])/sprintf("%%%02X",ord $1)/ge; print' "$T") $(perl -e '$_=$ARGV[0]; s/([^A-Za-z0-9])/sprintf("%%%02x",ord $1)/ge; print' "$T")"
echo "<12> $(printf '%s' "$T" | sed 's/./&\x1b[38;5;9m/g')"
echo "<13>"; printf '%s\n%s\n' "${T%??????????}" "${T#???????????}"
echo "<14> $T$T"
echo "<15> $(printf '%s' "$T" | base64 | sed 's/./&\x1b[1m/g')"
printf '<16> %s\n' "$T" >&2
printf '<17> %s' "${T%?????}"; printf '<17>%s\n' "${T#????????????????}" >&2
printf '<18> '; printf '%s' "$T" | sed 's/./&\x1b[0m/g'; echo
printf '<19> %s\r\n' "$T"
printf '<20> '; printf '%s' "$T" | sed 's/./&\x00/g'; echo
printf '<21> '; printf '%s' "$T" | sed 's/./&\x08&/g'; echo
printf '<22> "%s"\n' "$T"
printf '<23> %q\n' "$T"
printf '<24> %s\b\b\n' "$T"
printf '<25> '; printf '%s' "$T" | sed 's/./&\xe2\x80\x8b/g'; echo; set -x; : "$T"; set +x
printf '\033]0;%s\007' "$T"
false
