"""Texts of our own with Markdown in them, for pages. Never for what people typed."""

from django import template
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt

register = template.Library()
MARKDOWN = MarkdownIt("commonmark", {"html": False})


@register.filter
def marked(text: str) -> SafeString:
    """Paragraphs of Markdown as HTML; markup in the text itself is shown, not run."""
    return SafeString(MARKDOWN.render(text))


@register.filter
def marked_line(text: str) -> SafeString:
    """One line of Markdown as HTML, without a paragraph around it."""
    return SafeString(MARKDOWN.renderInline(text))
