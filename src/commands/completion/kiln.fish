# Completion of kiln for fish. `kiln complete` gives the values; paths are fish's own business.
function __kiln_complete
    set -l typed (commandline --current-token --cut-at-cursor)
    # Its quote may be open.
    set -l current (string unescape -- "$typed"; or string unescape -- "$typed'"; or string unescape -- "$typed\"")
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    # The kiln of PATH, whatever is typed: Tab must not run ./kiln of a directory that another user has made.
    set -l answer (command kiln complete -- $words "$current" 2>/dev/null)
    or return
    set -l head (string split \t -- $answer[1])
    for line in $answer[2..]
        echo -- $line
    end
    # Of `--option=path` and of lists only the end is a path.
    set -l before (string sub --length $head[2] -- "$current")
    set -l path (string sub --start (math $head[2] + 1) -- "$current")
    set -l paths
    switch $head[1]
        case files
            set paths (__fish_complete_path "$path")
        case directories
            set paths (__fish_complete_directories "$path" '')
        case build-files
            set paths (__fish_complete_path "$path" | string match --regex -- '.*(?:\.ya?ml|/)(?:\t.*)?$')
    end
    for path in $paths
        echo -- "$before$path"
    end
end
complete --command kiln --no-files --keep-order --arguments '(__kiln_complete)'
