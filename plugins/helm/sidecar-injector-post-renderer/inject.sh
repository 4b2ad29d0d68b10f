#!/bin/sh
# Helm 4 drops what a post-renderer writes to stderr, the reason of a failure included:
# https://github.com/helm/helm/blob/v4.3.1/internal/plugin/runtime_subprocess.go
# So it goes where Helm's own goes, or to the terminal. Helm would write over it in a file.
for stderr in "/proc/$PPID/fd/2" /dev/tty; do
	if [ ! -f "$stderr" ] && (: >>"$stderr") 2>/dev/null; then
		exec 2>>"$stderr"
		break
	fi
done
exec sidecar-injector inject -f - "$@"
