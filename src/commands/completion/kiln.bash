# Completion of kiln for bash 4.4 and newer. `kiln complete` gives the values; paths are bash's own business.
_kiln() {
    local answer=() line quote=
    # The kiln of PATH, whatever is typed: Tab must not run ./kiln of a directory that another user has made.
    mapfile -t answer < <(command kiln complete --bash="$2" -- "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)
    COMPREPLY=()
    for line in "${answer[@]:1}"; do
        COMPREPLY+=("${line%%$'\t'*}")
        [[ ${COMPREPLY[-1]} == *[!A-Za-z0-9_.,:=@%+/-]* ]] && quote=yes
    done
    # Of a list only the end is a path.
    local before=${answer[0]##*$'\t'} kind=
    case ${answer[0]%%$'\t'*} in
        build-files)
            mapfile -t COMPREPLY < <(compgen -f -X '!*.yaml' -- "$2"; compgen -f -X '!*.yml' -- "$2")
            compopt -o filenames -o plusdirs
            ;;
        directories) kind=-d ;;
        files) kind=-f ;;
    esac
    if [[ -n $kind ]] && ((before || ${#COMPREPLY[@]})); then
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -P "${2:0:before}" "$kind" -- "${2:before}")
        quote=yes
    elif [[ -n $kind ]]; then
        [[ $kind == -d ]] && compopt -o dirnames || compopt -o default
    fi
    # Readline puts quotes only around what it takes for the name of a file.
    [[ -z $quote ]] || compopt -o filenames
} 2>/dev/null
complete -F _kiln kiln
