"""What the notebooks handed out say of the built pages: their numbers, names and addresses."""

import re

from docutils import nodes
from pybtex.backends.markdown import Backend
from pybtex.database import Entry
from sphinx.environment import BuildEnvironment
from sphinx.locale import _, admonitionlabels
from sphinxcontrib.bibtex.domain import Citation

from . import docstrings
from .myst import Directive


class BuiltPage:
    """A page of an edition as Sphinx has numbered it; answers what `plain.Page` asks for.

    Where the site has no address yet, a name stands in place of a link.
    """

    def __init__(self, env: BuildEnvironment, docname: str, address: str) -> None:
        self.env, self.docname, self.address = env, docname, address
        self.places = env.domaindata["std"]["anonlabels"]

    def reference(self, role: str, name: str, words: str | None) -> str:
        match role:
            case "math":
                return f"${name}$"
            case "eq":
                docname, _number = self.env.domaindata["math"]["objects"].get(name, (name, 0))
                return self._link(f"({self.equation(name)})", docname, _equation_anchor(name))
            case "numref":
                words = words.replace("%s", self._number(name)[1]) if words else self.figure(name)
                return self._link(words, *self.places.get(name, (name, "")))
            case "ref":
                if name not in self.places:  # Sphinx has warned of it
                    return words or name
                words, given = words or self._title(name), bool(words)
                return self._link(words, *self.places[name], quoted=not given)
            case "cite:p" | "cite:t" | "cite":
                return self._citations(name.split(","), textual=role == "cite:t")
        if role.startswith("py:"):
            return self._python(name, words)
        raise ValueError(f"{self.docname}: no plain Markdown is known for {{{role}}}`{name}`")

    def equation(self, label: str) -> str:
        docname, number = self.env.domaindata["math"]["objects"].get(label, (label, 0))
        numbers = self.env.toc_fignumbers.get(docname, {}).get("displaymath", {})
        return ".".join(map(str, numbers.get(_equation_anchor(label), [number])))

    def figure(self, label: str) -> str:
        kind, number = self._number(label)
        return self.env.config.numfig_format[kind] % number if kind else label

    def _number(self, label: str) -> tuple[str | None, str]:
        """The kind of what bears a label, such as a figure, and its number."""
        docname, anchor = self.places.get(label, (label, label))
        for kind, numbers in self.env.toc_fignumbers.get(docname, {}).items():
            if anchor in numbers:
                return kind, ".".join(map(str, numbers[anchor]))
        return None, label

    def title(self, kind: str) -> str:
        return str(admonitionlabels.get(kind, kind))

    def elsewhere(self, label: str) -> str:
        docname, anchor = self.places.get(label, (self.docname, ""))
        place = self._link(self._title(label), docname, anchor, quoted=True)
        return _("This part works on the page of the book alone: {}.").format(place)

    def block(self, found: Directive) -> str | None:
        if found.name == "bibliography":
            return "\n".join(
                f"- **{self._author_year(citation.key)}**: {_bibliography_entry(citation)}"
                for citation in self.env.domaindata["cite"]["citations"]
            )
        if found.name == "eval-rst":
            return docstrings.listed(found.body)
        return None

    def _link(self, words: str, docname: str, anchor: str, quoted: bool = False) -> str:
        """Words that lead to a place, or are marked as a title where they cannot."""
        if self.address and docname in self.env.found_docs:
            return f"[{words}]({self.address}/{docname}.html{anchor and '#' + anchor})"
        return f"“{words}”" if quoted else words

    def _title(self, label: str) -> str:
        """The title of the section that bears a label, formulas and all; of the page, where what
        bears the label has no title."""
        docname, anchor = self.places.get(label, (self.docname, ""))
        for entry in self.env.tocs[docname].findall(nodes.reference):
            if entry["anchorname"] == (anchor and f"#{anchor}"):
                return _markdown(entry)
        named = self.env.domaindata["std"]["labels"].get(label)
        return named[2] if named else self.env.titles[docname].astext()

    def _citations(self, keys: list[str], textual: bool) -> str:
        names = []
        for key in map(str.strip, keys):
            entry, words = self._entries().get(key), self._author_year(key)
            if textual:
                words = re.sub(r"(.*), (.*)", r"\1 (\2)", words)
            uri = _address_of(entry) if entry else None
            names.append(f"[{words}]({uri})" if uri else words)
        return ", ".join(names) if textual else f"({'; '.join(names)})"

    def _author_year(self, key: str) -> str:
        """As in Lin et al., 2017; a letter tells apart what the same authors wrote in a year."""
        entries = self._entries()
        if key not in entries:
            return key
        names = {each: _author_and_year(entry) for each, entry in entries.items()}
        alike = sorted(each for each, name in names.items() if name == names[key])
        return names[key] + (chr(ord("a") + alike.index(key)) if len(alike) > 1 else "")

    def _entries(self) -> dict[str, Entry]:
        return self.env.domaindata["cite"]["bibdata"].data.entries

    def _python(self, name: str, words: str | None) -> str:
        full = name.removeprefix("~")
        shown = full.rpartition(".")[2] if name.startswith("~") else full
        known = self.env.domaindata["py"]["objects"].get(full)
        words = words or f"`{shown}`"
        return self._link(words, known.docname, known.node_id) if known else words


def _equation_anchor(label: str) -> str:
    return nodes.make_id(f"equation-{label}")


def _markdown(node: nodes.Node) -> str:
    """A title as Markdown."""
    match node:
        case nodes.Text():
            return node.astext()
        case nodes.math():
            return f"${node.astext()}$"
        case nodes.literal():
            return f"`{node.astext()}`"
    return "".join(map(_markdown, node.children))


def _bibliography_entry(citation: Citation) -> str:
    text = " ".join(citation.formatted_entry.text.render(Backend()).split())
    return re.sub(r"\\([.,:()-])", r"\1", text)  # escaped in vain where no line begins


def _author_and_year(entry: Entry) -> str:
    names = [
        " ".join([*person.prelast_names, *person.last_names]).strip("{}")
        for person in entry.persons.get("author", entry.persons.get("editor", []))
    ]
    match names:
        case []:
            who = entry.fields.get("title", "").replace("{", "").replace("}", "")
        case [one]:
            who = one
        case [one, two] if two != "others":
            who = f"{one} and {two}"
        case _:
            who = f"{names[0]} et al."
    return f"{who}, {entry.fields['year']}"


def _address_of(entry: Entry) -> str | None:
    for field, prefix in (
        ("doi", "https://doi.org/"),
        ("url", ""),
        ("eprint", "https://arxiv.org/abs/"),
    ):
        if field in entry.fields:
            return prefix + entry.fields[field]
    return None
