"""Markdown to the two parts of a mail, HTML with inline styles and plain text, from one syntax tree.

Values of people and events never pass through Markdown: the source holds a mark (a plain word) for each,
and the value is put into the finished tree. So nothing in a name can become a link, a heading or a tag.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.normalize_url import normalizeLink
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

MAX_URL = 2000
SCHEMES = frozenset({"http", "https", "mailto", "tel"})
# A mark is MARK + number + MARK_END; the words are such that nobody writes them.
MARK, MARK_END = "zqvalue", "qz"
MARKS = re.compile(rf"{MARK}(\d+){MARK_END}")

FONT = "font-family:-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
MONO = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"
STYLES = {
    "h1": "margin:0 0 16px;font-size:22px;line-height:28px;font-weight:600",
    "h2": "margin:24px 0 12px;font-size:18px;line-height:24px;font-weight:600",
    "h3": "margin:20px 0 8px;font-size:16px;line-height:24px;font-weight:600",
    "p": "margin:0 0 16px",
    "a": "color:#4f46e5;text-decoration:underline",
    "ul": "margin:0 0 16px;padding-left:24px",
    "ol": "margin:0 0 16px;padding-left:24px",
    "li": "margin:0 0 6px",
    "blockquote": "margin:0 0 16px;padding-left:12px;border-left:3px solid #d4d4dc;color:#52525b",
    "pre": f"margin:0 0 16px;padding:12px;background-color:#f4f4f5;border-radius:6px;line-height:20px;white-space:pre-wrap;{MONO}",
    "code": f"font-size:13px;background-color:#f4f4f5;{MONO}",
    "hr": "margin:24px 0;border:0;border-top:1px solid #e4e4e7",
    "img": "max-width:100%;border:0",
    "table": "margin:0 0 16px;border-collapse:collapse",
    "th": "padding:6px 12px 6px 0;border-bottom:1px solid #d4d4dc;text-align:left",
    "td": "padding:6px 12px 6px 0;border-bottom:1px solid #e4e4e7",
}
ATTRIBUTES = {"a": {"href", "style", "title"}, "img": {"src", "alt", "style", "title"}, "ol": {"start", "style"}}
TAGS = {*STYLES, "h4", "h5", "h6", "strong", "em", "br", "thead", "tbody", "tr"}


class BadLink(ValueError):
    """A link that must not go out; the sentence names it and the cure."""


class Encoded(str):
    """A value that is percent-encoded already."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """A mail's body: HTML (a fragment) and plain text."""

    html: str
    text: str


def markdown() -> MarkdownIt:
    """CommonMark with tables and without HTML. Every link is let through: `check_url` refuses the bad ones aloud."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return parser


MARKDOWN = markdown()


def convert(source: str, values: Sequence[str], *, address: Callable[[str], str]) -> Parts:
    """Turn Markdown with marks into the parts of a mail.

    `values` are what the marks stand for; `address` gives what a link's place in the mail leads to, and sees
    the links in order. Raises BadLink.
    """
    tokens = MARKDOWN.parse(source)
    for token in walk(tokens):
        fill(token, values, address)
    html = MARKDOWN.renderer.render(styled(tokens), MARKDOWN.options, {})
    html = html.replace("<pre>", f'<pre style="{STYLES["pre"]}">')  # the one tag that has no token of its own
    return Parts(html=clean(html), text=plain(SyntaxTreeNode(tokens)))


def check_links(source: str) -> None:
    """Raise BadLink for a link that is wrong whatever the values are."""
    for token in walk(MARKDOWN.parse(source)):
        url = str(token.attrGet("href") or token.attrGet("src") or "")
        if token.type in {"link_open", "image"} and not MARKS.match(url):
            check_url(MARKS.sub("x", url), image=token.type == "image")


def walk(tokens: Sequence[Token]) -> Iterator[Token]:
    """All tokens, with those inside paragraphs and images."""
    for token in tokens:
        yield token
        yield from walk(token.children or [])


def fill(token: Token, values: Sequence[str], address: Callable[[str], str]) -> None:
    """Put the values into one token, and check and replace where it leads."""
    if token.type == "link_open":
        url = fill_url(str(token.attrGet("href") or ""), values)
        check_url(url)
        token.attrSet("href", address(url))
        token.meta["url"] = url
    elif token.type == "image":
        url = fill_url(str(token.attrGet("src") or ""), values)
        check_url(url, image=True)
        token.attrSet("src", url)
    if title := token.attrGet("title"):
        token.attrSet("title", fill_text(str(title), values))
    token.content = fill_text(token.content, values)
    token.info = fill_text(token.info, values)


def fill_text(content: str, values: Sequence[str]) -> str:
    """`content` with its marks replaced, in one pass: what a value contains is not looked at again."""
    return MARKS.sub(lambda mark: values[int(mark[1])], content)


def fill_url(url: str, values: Sequence[str]) -> str:
    """An address with its marks replaced: a value that is the whole address as it is, one inside it percent-encoded."""
    if whole := MARKS.fullmatch(url):
        return values[int(whole[1])]

    def encode(mark: re.Match[str]) -> str:
        value = values[int(mark[1])]
        return value if isinstance(value, Encoded) else quote(value, safe="")

    if leading := MARKS.match(url):  # the value brings scheme and host, the rest is the path
        return values[int(leading[1])] + MARKS.sub(encode, url[leading.end() :])
    return MARKS.sub(encode, url)


def check_url(url: str, *, image: bool = False) -> None:
    """Raise BadLink unless this is a whole address that may stand in a mail."""
    if not url:
        raise BadLink("a link leads nowhere; give it an address")
    if len(url) > MAX_URL:
        raise BadLink(f"the link {url[:60]}… has {len(url)} characters; {MAX_URL} is the most")
    if "\\" in url or any(character <= " " for character in url):
        raise BadLink(f"the link {url!r} contains a backslash, a space or a control character; percent-encode it")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise BadLink(f"the link {url!r} is not an address: {error}") from error
    allowed = {"http", "https"} if image else SCHEMES
    if parts.scheme not in allowed:
        raise BadLink(f"the link {url!r} must be a whole address that begins with https:// (or mailto:), not {parts.scheme or 'a path'}")
    if parts.scheme in {"http", "https"} and (not parts.hostname or "@" in parts.netloc or is_link_local(parts.hostname)):
        raise BadLink(f"the link {url!r} has no plain host name; write it like https://docs.example.com/page")


def is_link_local(host: str) -> bool:
    """Whether the host is an address of the 169.254 kind, where clouds keep their secrets."""
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False


def styled(tokens: list[Token]) -> list[Token]:
    """Give every opening tag its inline style: mail clients drop style sheets."""
    for token in walk(tokens):
        if token.nesting >= 0 and token.tag in STYLES:
            token.attrSet("style", ";".join(filter(None, [STYLES[token.tag], str(token.attrGet("style") or "")])))
    return tokens


def clean(html: str) -> str:
    """A second lock on the door: only our tags and attributes, only harmless addresses."""
    attributes = {tag: ATTRIBUTES.get(tag, {"style"}) for tag in TAGS}
    return nh3.clean(html, tags=TAGS, attributes=attributes, url_schemes=set(SCHEMES), link_rel=None)


def plain(node: SyntaxTreeNode) -> str:
    """The text part of a document, or of the blocks inside one."""
    blocks = (PLAIN_BLOCKS.get(child.type, inline)(child) for child in node.children)
    return "\n\n".join(block for block in blocks if block)


def plain_list(node: SyntaxTreeNode) -> str:
    """A list, each item indented behind its bullet or number."""
    first = int(str(node.attrs.get("start", 1)))
    bullets = ("- " if node.type == "bullet_list" else f"{n}. " for n in range(first, first + len(node.children)))
    separator = "\n" if all(len(item.children) < 2 for item in node.children) else "\n\n"
    return separator.join(indent(plain(item), bullet) for bullet, item in zip(bullets, node.children, strict=False))


def plain_table(node: SyntaxTreeNode) -> str:
    """A table, one line for each row."""
    return "\n".join(" | ".join(inline(cell) for cell in row.children) for part in node.children for row in part.children)


def indent(block: str, first: str, rest: str | None = None) -> str:
    """`block` with `first` before its first line and `rest` (spaces of the same width) before the others."""
    rest = " " * len(first) if rest is None else rest
    return first + block.replace("\n", f"\n{rest}")


def inline(node: SyntaxTreeNode) -> str:
    """Running text; a link that says something else than its address is followed by it."""
    if node.type in {"text", "code_inline", "image"}:
        return node.content
    if node.type == "softbreak":
        return " "
    if node.type == "hardbreak":
        return "\n"
    words = "".join(inline(child) for child in node.children)
    if node.type != "link":
        return words
    href = str(node.attrs.get("href", ""))
    return href if words in {"", href, normalizeLink(href), node.meta.get("url")} else f"{words} ({href})"


PLAIN_BLOCKS: dict[str, Callable[[SyntaxTreeNode], str]] = {
    "heading": lambda node: f"{inline(node)}\n{'-' * min(len(inline(node)), 70)}",
    "bullet_list": plain_list,
    "ordered_list": plain_list,
    "blockquote": lambda node: indent(plain(node), "> ", "> "),
    "fence": lambda node: indent(node.content.rstrip("\n"), "    "),
    "code_block": lambda node: indent(node.content.rstrip("\n"), "    "),
    "hr": lambda node: "-" * 20,
    "table": plain_table,
}
