"""Completion below `kubectl sidecar-injector`, for which kubectl runs a program of ours.

It runs `kubectl_complete-sidecar_injector` with the words so far, the last of them unfinished, and
reads a proposal a line and Cobra's directive.
https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/
https://github.com/spf13/cobra/blob/main/completions.go
"""

from __future__ import annotations

import sys

from click import shell_completion

FILES, NO_FILES = ":0", ":4"


class KubectlComplete(shell_completion.ShellComplete):
    """Speaks with kubectl instead of a shell."""

    name = "kubectl"
    source_template = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the unfinished one, and that."""
        *words, incomplete = sys.argv[1:] or [""]
        return words, incomplete

    def complete(self) -> str:
        """All proposals, and whether the shell proposes files."""
        items = self.get_completions(*self.get_completion_args())
        lines = [self.format_completion(item) for item in items if item.type == "plain"]
        is_file = any(item.type == "file" for item in items)
        return "\n".join((*lines, FILES if is_file else NO_FILES))

    def format_completion(self, item: shell_completion.CompletionItem) -> str:
        """The word and, after a tab, what it means."""
        about = " ".join((item.help or "").split())
        return f"{item.value}\t{about}" if about else item.value


def register() -> None:
    """Let click know it as it knows shells."""
    shell_completion.add_completion_class(KubectlComplete)
