"""The Liquid that marketers write: few tags and filters, hard limits, and never a blank where a value is missing."""

import difflib
import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any, TextIO
from urllib.parse import quote

from liquid import BoundTemplate, Environment, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.output import Output, OutputNode
from liquid.exceptions import LiquidError, UndefinedError
from liquid.static_analysis import Variable
from liquid.stringify import to_liquid_string
from liquid.undefined import FalsyStrictUndefined

from campaigns.markup import MARK, MARK_END, Encoded

TAGS = {"if", "unless", "case", "for", "break", "continue", "comment"}
FILTERS = {
    "abs", "append", "at_least", "at_most", "capitalize", "ceil", "compact", "date", "default", "divided_by", "downcase",
    "first", "floor", "join", "last", "minus", "modulo", "plus", "prepend", "remove", "reverse", "round", "size", "slice",
    "sort", "split", "squish", "strip", "strip_html", "times", "truncate", "truncatewords", "uniq", "upcase",
}  # fmt: skip
MAX_OUTPUT = 200_000
# Control characters, lone surrogates, and the marks that turn the direction of text around.
UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
VALUE, TAG = re.compile(r"{{.*?}}", re.DOTALL), re.compile(r"{%.*?%}", re.DOTALL)
# Whatever a filter makes of a strange value may go wrong in more ways than Liquid knows.
RENDER_ERRORS = (LiquidError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

Fields = dict[str, frozenset[str] | None]


class TemplateProblem(ValueError):
    """A template that can't be used; the sentence names the place and the cure. `line` counts from 1, if known."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.line = line


class Missing(FalsyStrictUndefined):
    """A value that is not there: false in a condition, replaced by a default, an error anywhere else."""

    force_liquid_default = True


class Trusted(str):
    """A value of ours that goes into the source as it is."""

    __slots__ = ()


class ValueNode(OutputNode):
    """Writes a mark in place of a value, and keeps the value for later (see campaigns.markup)."""

    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Write the mark; in a subject, which is no Markdown, the value itself."""
        value = self.expression.evaluate(context)
        if isinstance(value, Trusted):
            return buffer.write(value)
        text = Encoded(value) if isinstance(value, Encoded) else one_line(to_liquid_string(value, autoescape=False))
        values: list[str] | None = context.tag_namespace.get("values")
        if values is None:
            return buffer.write(text)
        values.append(text)
        context.tag_namespace["size"] += len(text)
        if context.tag_namespace["size"] > MAX_OUTPUT:
            raise LiquidError(f"the values are longer than {MAX_OUTPUT} characters", token=self.token)
        return buffer.write(f"{MARK}{len(values) - 1}{MARK_END}")


class ValueOutput(Output):
    """The tag behind `{{ … }}`."""

    node_class = ValueNode


class MailEnvironment(Environment):
    """Liquid without loaders, assignments and file tags; the limits are class attributes because the library reads them there."""

    block_nesting_limit = 10
    context_depth_limit = 20
    loop_iteration_limit = 1000
    output_stream_limit = MAX_OUTPUT

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Keep what is listed above; names in the library's registers that are no words are its own machinery."""
        super().setup_tags_and_filters(extra=False)
        self.tags = {name: tag for name, tag in self.tags.items() if name in TAGS or name in {"content", "output", "illegal"}}
        self.filters = {name: function for name, function in self.filters.items() if name in FILTERS}
        self.add_tag(ValueOutput)
        self.add_filter("url_encode", url_encode)


def url_encode(value: object) -> Encoded:
    """The filter for values inside a link: percent-encoded, once."""
    return Encoded(quote(str(value), safe=""))


ENVIRONMENT = MailEnvironment(undefined=Missing)


def one_line(value: str) -> str:
    """A value fit for a header and for running text: one line, without control characters."""
    return UNWANTED.sub("", " ".join(value.split()))


def blank_out(source: str) -> str:
    """The source with a mark in place of each value and without tags: Markdown whose links can be looked at."""
    return VALUE.sub(f"{MARK}0{MARK_END}", TAG.sub("", source))


@lru_cache(maxsize=256)
def compile_template(source: str) -> BoundTemplate:
    """Parse a template. Raises TemplateProblem."""
    if MARK in source:
        raise TemplateProblem(f"the word {MARK} is reserved; write something else", line=line_of(source, source.index(MARK)))
    try:
        return ENVIRONMENT.from_string(source)
    except LiquidError as error:
        raise problem(error) from error


def render_text(source: str, context: dict[str, Any]) -> str:
    """Render a template that is no Markdown, such as a subject. Raises TemplateProblem."""
    return run(compile_template(source), context, values=None)


def render_marked(source: str, context: dict[str, Any]) -> tuple[str, list[str]]:
    """Render a Markdown template: the source with marks, and the values they stand for. Raises TemplateProblem."""
    values: list[str] = []
    return run(compile_template(source), context, values=values), values


def run(template: BoundTemplate, context: dict[str, Any], *, values: list[str] | None) -> str:
    """Render with the limits on; any mishap is a TemplateProblem."""
    render_context = RenderContext(template, globals=context)
    render_context.tag_namespace |= {"values": values, "size": 0}
    buffer = render_context.get_buffer()
    try:
        template.render_with_context(render_context, buffer)
    except RENDER_ERRORS as error:
        raise problem(error) from error
    return buffer.getvalue()


def problem(error: Exception) -> TemplateProblem:
    """An error of the library, in our words."""
    token = getattr(error, "token", None)
    line = line_of(token.source, token.start_index) if token is not None and token.start_index >= 0 else None
    message = str(error.message if isinstance(error, LiquidError) else error)
    if isinstance(error, UndefinedError):
        return TemplateProblem(f"{message}; give it a default, for example {{{{ lead.name | default: 'there' }}}}", line=line)
    return TemplateProblem(f"{message}", line=line)


def line_of(source: str, index: int) -> int:
    """The line, from 1, of a position in a text."""
    return source.count("\n", 0, index) + 1


def check_variables(template: BoundTemplate, source: str, *, known: Fields) -> None:
    """Raise TemplateProblem for the first unknown filter, and the first variable without a default that can never have a value.

    `known` maps each root to its fields, or to None when any field may exist.
    """
    analysis = template.analyze(include_partials=False)
    for name, spans in analysis.filters.items():
        if name not in ENVIRONMENT.filters:
            raise TemplateProblem(f"there is no filter {name}{suggest(name, ENVIRONMENT.filters)}", line=line_of(source, spans[0].index))
    guarded = {expression.left.token.start_index for expression in outputs(template) if has_default(expression)}
    for variables in analysis.globals.values():
        for variable in variables:
            if variable.span.index not in guarded:
                check_variable(variable, line=line_of(source, variable.span.index), known=known)


def check_variable(variable: Variable, *, line: int, known: Fields) -> None:
    """Raise TemplateProblem unless the variable's root and field exist."""
    root, *path = variable.segments
    if root not in known:
        raise TemplateProblem(f"there is no variable {variable}{suggest(str(root), known)}", line=line)
    fields = known[str(root)]
    if fields is None:
        return
    if path and path[0] not in fields:
        raise TemplateProblem(f"{root} has no field {path[0]}{suggest(str(path[0]), fields)}", line=line)
    if fields and not path:
        raise TemplateProblem(f"{root} has several fields; write for example {{{{ {root}.{min(fields)} }}}}", line=line)


def suggest(word: str, known: Collection[str]) -> str:
    """A cure for a misspelt name."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(known))}"


def outputs(template: BoundTemplate) -> Iterator[FilteredExpression]:
    """All `{{ … }}` expressions of a template, at any depth."""
    context = RenderContext(template)
    nodes: list[Node] = list(template.nodes)
    while nodes:
        node = nodes.pop()
        nodes.extend(node.children(context, include_partials=False))
        yield from (expression for expression in node.expressions() if isinstance(expression, FilteredExpression))


def has_default(expression: FilteredExpression) -> bool:
    """Whether a default stands first among the filters of a variable."""
    return isinstance(expression.left, Path) and bool(expression.filters) and expression.filters[0].name == "default"  # type: ignore[index]
