"""Texts that are scripts where a page forgets to escape them, and a reader that finds those."""

from html.parser import HTMLParser

# What stands in every payload, so that it is found wherever it went.
CANARY = "kanarie"

SCRIPTS = [
    f"<script>alert('{CANARY}')</script>", f"<ScRiPt src=//{CANARY}></sCrIpT>",
    f"</script><script>{CANARY}()</script>", f"<img src=x onerror={CANARY}()>",
    f'"><img src=x onerror="{CANARY}()">', f"'><svg onload='{CANARY}()'>",
    f"<svg/onload={CANARY}()>", f"<svg><animate onbegin={CANARY}() attributeName=x></svg>",
    f"javascript:{CANARY}()", f"JaVaScRiPt:{CANARY}()", f"java\tscript:{CANARY}()",
    f"data:text/html,<script>{CANARY}()</script>", f"vbscript:{CANARY}",
    f"<a href=javascript:{CANARY}()>x</a>", f"<iframe srcdoc='<script>{CANARY}()</script>'>",
    f"<body onload={CANARY}()>", f"<math><mtext></mtext><script>{CANARY}</script></math>",
    f"<template><script>{CANARY}</script></template>", f"--><script>{CANARY}()</script><!--",
    f"]]><script>{CANARY}()</script>", f"</title><script>{CANARY}()</script>",
    f"</textarea><script>{CANARY}()</script>", f"{{{{{CANARY}}}}}{{% debug %}}",
    f"${{{CANARY}}}`{CANARY}`", f"\" autofocus onfocus={CANARY}() x=\"", f"&lt;script&gt;{CANARY}",
    f"<style>@import '//{CANARY}'</style>", f"<base href=//{CANARY}>",
    f"<meta http-equiv=refresh content='0;url=//{CANARY}'>", f"<form action=//{CANARY}><button>x",
]  # fmt: skip

# Attributes that lead somewhere; in one of the others a text is a text.
LEADING = {"href", "src", "srcdoc", "action", "formaction", "data", "xlink:href", "content"}
SAFE_SCHEMES = ("/", "?", "#", "http://testserver", "https://testserver")


class Page(HTMLParser):
    """Collects where the canary became part of the page instead of its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.live: list[str] = []
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at a tag's name and attributes."""
        self._open = tag
        for name, value in attrs:
            text = value or ""
            leads = name in LEADING and not text.strip().startswith(SAFE_SCHEMES)
            if CANARY in name + tag or (CANARY in text and (name.startswith("on") or leads)):
                self.live.append(f"<{tag} {name}={text!r}>")

    def handle_endtag(self, tag: str) -> None:
        """What follows stands outside."""
        self._open = ""

    def handle_data(self, data: str) -> None:
        """Look at what a script or a style would run."""
        if self._open in {"script", "style"} and CANARY in data:
            self.live.append(f"<{self._open}>{data[:200]!r}")
