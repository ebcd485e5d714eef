"""MyST as far as the book writes it: the parser, and the parts of a directive."""

import re
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin
from mdit_py_plugins.myst_role import myst_role_plugin

MARKDOWN = (
    MarkdownIt("commonmark")
    .enable("table")
    .use(dollarmath_plugin, double_inline=True)
    .use(myst_role_plugin)
    .use(myst_block_plugin)
    .use(colon_fence_plugin)
    .use(deflist_plugin)
)

_TARGET = re.compile(r"(.*?)\s*<([^<>]+)>", re.DOTALL)


class Directive(NamedTuple):
    """A block as in ``:::{name} argument``, with its options and what stands between the fences."""

    name: str
    argument: str
    options: dict[str, str]
    body: str


def directive(token: Token) -> Directive | None:
    """The directive that a fence is; None if it is code."""
    found = re.fullmatch(r"\{([\w:-]+)\}\s*(.*)", token.info.strip())
    if token.type not in ("fence", "colon_fence") or not found:
        return None
    lines, options = token.content.splitlines(), {}
    while lines and (option := re.fullmatch(r":([\w-]+):\s*(.*)", lines[0])):
        options[option[1]] = option[2]
        del lines[0]
    return Directive(found[1], found[2], options, "\n".join(lines).strip("\n"))


def target(content: str) -> tuple[str, str | None]:
    """What a role leads to, and its words if they are given: ``words <target>`` or ``target``."""
    found = _TARGET.fullmatch(content)
    return (found[2], found[1]) if found else (content, None)
