"""A resource as the tagging API lists it; the moto inside LocalStack is older, and has no such type."""

try:
    from moto.core.resource_tagging import TaggedResource
except ImportError:
    from dataclasses import dataclass

    @dataclass
    class TaggedResource:  # type: ignore[no-redef]
        """The same fields; the older moto never asks for them."""

        arn: str
        tags: dict[str, str]
        resource_type: str


__all__ = ["TaggedResource"]
