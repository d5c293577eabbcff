"""What is the next value? Values, paths, deltas, diff: pure, with no input or output and no event loop."""

from palimpsest.state import ops
from palimpsest.state.delta import DELETE, AnyPath, Append, Delta, Increment, Insert, Remove
from palimpsest.state.diff import diff
from palimpsest.state.inverse import invert
from palimpsest.state.json_patch_export import to_json_patch
from palimpsest.state.names import Pattern, check_branch, check_name
from palimpsest.state.ops import Op, decode_delta, encode_delta
from palimpsest.state.paths import Path, format_path, parse_path
from palimpsest.state.values import (
    Plain,
    Value,
    check_value,
    decode_plain,
    decode_value,
    encode_value,
    equal,
    freeze,
    thaw,
)
from palimpsest.state.working import Working, apply_delta

__all__ = [
    "DELETE",
    "AnyPath",
    "Append",
    "Delta",
    "Increment",
    "Insert",
    "Op",
    "Path",
    "Pattern",
    "Plain",
    "Remove",
    "Value",
    "Working",
    "apply_delta",
    "check_branch",
    "check_name",
    "check_value",
    "decode_delta",
    "decode_plain",
    "decode_value",
    "diff",
    "encode_delta",
    "encode_value",
    "equal",
    "format_path",
    "freeze",
    "invert",
    "ops",
    "parse_path",
    "thaw",
    "to_json_patch",
]
