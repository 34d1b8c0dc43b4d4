#compdef kiln
# Completion of kiln for zsh. `kiln complete` gives the values; paths are zsh's own business.
_kiln() {
    local -a answer values
    local line value kind before
    # The kiln of PATH, whatever is typed: Tab must not run ./kiln of a directory that another user has made.
    answer=("${(@f)$(command kiln complete -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    kind=${answer[1]%%$'\t'*}
    before=${answer[1]##*$'\t'}
    for line in "${(@)answer[2,-1]}"; do
        value=${line%%$'\t'*}
        value=${value[before+1,-1]}
        # A colon begins the description.
        values+=("${${value//\\/\\\\}//:/\\:}:${line#*$'\t'}")
    done
    # Of `--option=value` and of lists only the end is completed.
    compset -p ${before:-0}
    (( $#values )) && _describe -V kiln values && return
    case $kind in
        build-files) _files -g '*.(yaml|yml)' ;;
        directories) _files -/ ;;
        files) _files ;;
        *) return 1 ;;
    esac
}
# Sourced it registers itself; in a directory of fpath it is called.
if [[ ${funcstack[1]} == _kiln ]]; then
    _kiln "$@"
else
    compdef _kiln kiln
fi
