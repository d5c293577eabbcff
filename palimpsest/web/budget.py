"""A bound that many requests share."""

from __future__ import annotations

from palimpsest.errors import Overloaded


class Budget:
    """Bytes that all bodies that are held at once may have together."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.held_bytes = 0

    def take(self, count: int) -> None:
        """Raises Overloaded, and takes nothing, where there is no room."""
        if self.held_bytes + count > self.bytes_max:
            raise Overloaded(
                f"bodies of requests take more than {self.bytes_max:,} bytes just now",
                limit="bodies_bytes_max",
                maximum=self.bytes_max,
            )
        self.held_bytes += count

    def give(self, count: int) -> None:
        self.held_bytes -= count
