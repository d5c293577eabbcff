"""Expressions in JMESPath, of a whole document: compiled once, with what they depend on; evaluated within bounds.

The same document always gives the same result: maps are met with their keys sorted, and nothing is counted in time. What is no value,
is too large, takes too many steps, or does not fit what it meets (the sum of texts) is as if the expression had given null.
"""

from __future__ import annotations

from typing import Any

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError, LexerError, ParseError
from jmespath.visitor import TreeInterpreter

from palimpsest.errors import PalimpsestError
from palimpsest.state.dependencies import Unfit, dependencies
from palimpsest.state.paths import Path
from palimpsest.state.redact import ANY
from palimpsest.state.values import FROZEN_LIST, FROZEN_MAP, Value, check_value, encode_value, freeze

CHARACTERS_MAX = 1_000
"""Of an expression: a longer one is a program."""

RESULT_BYTES_MAX = 256 * 1024
"""Of a result, encoded."""

STEPS_MAX = 1_000_000
"""Of one evaluation: what it visits, and the size of all that it comes by. A second or two at the very worst."""

_LETTERS_A_STEP = 16


class InvalidExpression(Exception):
    """reason: why, with the character at which it stops making sense, where that can be told."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Expression(msgspec.Struct, frozen=True):
    """whole: paths, with `*` for any step, of all that the result depends on; exists: those of which it depends on whether there is anything."""

    text: str
    tree: Any
    whole: frozenset[Path]
    exists: frozenset[Path]
    keys: frozenset[str] | None
    """All that is looked at, at the top of the document; None: everything."""

    def evaluate(self, value: Value) -> Value:
        """The result, frozen; None where there is none. value: the document, frozen."""
        try:
            result = _Interpreter().visit(self.tree, self._plain(value))
            check_value(result)
            return freeze(result) if len(encode_value(result)) <= RESULT_BYTES_MAX else None
        except (JMESPathError, PalimpsestError, _Enough):
            return None
        except (ArithmeticError, AttributeError, RecursionError, TypeError, ValueError):
            return (
                None  # what jmespath lets through of what its functions meet, such as `contains` of a number in a text
            )

    def _plain(self, value: Any) -> Any:
        if self.keys is None or type(value) is not FROZEN_MAP:
            return _sorted(value)
        return {key: _sorted(value[key]) for key in sorted(self.keys) if key in value}


def parse_expression(text: str) -> Expression:
    """Raises InvalidExpression."""
    if len(text) > CHARACTERS_MAX:
        raise InvalidExpression(f"{len(text)} characters; an expression has at most {CHARACTERS_MAX}")
    try:
        tree: Any = jmespath.compile(text).parsed
        whole, exists = dependencies(tree)
    except LexerError as error:
        raise InvalidExpression(f"at character {error.lexer_position}: {error.message}") from error
    except ParseError as error:
        if error.token_type is None:
            raise InvalidExpression(f"at character {len(text)}: it ends too early") from error
        raise InvalidExpression(f"at character {error.lex_position}: {error.msg}") from error
    except (JMESPathError, Unfit) as error:
        raise InvalidExpression(str(error)) from error
    except RecursionError as error:
        raise InvalidExpression("it nests too deep") from error
    paths = whole | exists
    everything = any(not path or path[0] == ANY for path in paths)
    return Expression(text, tree, whole, exists, None if everything else frozenset(str(path[0]) for path in paths))


def _sorted(value: Any) -> Any:
    """A plain copy whose maps have their keys in order."""
    kind = type(value)
    if kind is FROZEN_MAP:
        return {key: _sorted(value[key]) for key in sorted(value)}
    if kind is FROZEN_LIST:
        return [_sorted(item) for item in value]
    return value


class _Enough(Exception):
    """More steps than are allowed."""


class _Interpreter(TreeInterpreter):
    """Counts steps. What a list or a map holds is counted as often as it holds it, so that nothing that shares its parts many times
    over is ever taken apart, compared or written down."""

    def __init__(self) -> None:
        super().__init__()
        self._left = STEPS_MAX
        self._sizes: dict[int, tuple[int, Any]] = {}
        """By identity; what was measured is kept alive, so that no other takes it over."""

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().visit(node, *args, **kwargs)
        self._left -= 1 + self._size(result)
        if self._left < 0:
            raise _Enough
        return result

    def _size(self, value: Any) -> int:
        kind = type(value)
        if kind is str:
            return len(value) // _LETTERS_A_STEP
        if kind is not dict and kind is not list:
            return 0
        known = self._sizes.get(id(value))
        if known is not None:
            return known[0]
        size = 1 + sum(1 + self._size(item) for item in (value.values() if kind is dict else value))
        self._sizes[id(value)] = size, value
        return size
